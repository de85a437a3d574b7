"""Settings in layers: flag > CONSILIENCE_* > problem > user file > default, each value with its origin.

Rules:
    1. Every setting is declared once, here; an unknown name in the user file is an error, not a shrug.
    2. A wrong value names the setting and the layer that it came from.

Data flow: flags, environment, LoadedProblem, user file -> `resolve` -> Settings -> `node.study`.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

from msgspec import Struct

from consilience.core.chance import SEED_BITS
from consilience.core.errors import BudgetError, SettingError
from consilience.core.outcome import IsolationLevel
from consilience.core.study import Autonomy, Budget, ExecutionPolicy, Policy, StudySettings

PREFIX = "CONSILIENCE_"
PASSPHRASE = "CONSILIENCE_PASSPHRASE"  # noqa: S105  the variable's name, not a secret
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_MILLISECONDS = 1000
_LARGEST = 1e12  # of any amount: what fits JSON's whole numbers in milliseconds


class Setting(Struct, frozen=True, kw_only=True):
    """One setting: how its text is read, its default, and what it means."""

    name: str
    read: Callable[[Any], Any]
    default: Any
    meaning: str


class Resolved(Struct, frozen=True, kw_only=True):
    """A setting's value and the layer that gave it."""

    name: str
    value: Any
    origin: str
    meaning: str


def read_seconds(value: Any) -> float:
    """Read a duration: a number of seconds, or text such as ``90s``, ``15m``, ``8h``.

    Raises:
        ValueError: not a duration.
    """
    if isinstance(value, bool):
        raise ValueError("not a duration")  # noqa: TRY004  one error for every wrong value
    if isinstance(value, int | float):
        return _bounded(float(value))
    text = str(value).strip().lower()
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = text[len(number) :].strip() or "s"
    if unit not in _UNITS:
        raise ValueError(f"unit {unit!r}; use ms, s, m, h or d")
    return _bounded(_read_number(number) * _UNITS[unit])


def _read_number(value: Any) -> float:
    try:
        return float(value)
    except ValueError:
        raise ValueError("not a number") from None


def _bounded(number: float) -> float:
    if not abs(number) <= _LARGEST:
        raise ValueError(f"beyond {_LARGEST:g}")
    return number


def _read_count(value: Any) -> int:
    number = _bounded(_read_number(value)) if not isinstance(value, bool) else 0.5
    if number != int(number):
        raise ValueError("not a whole number")
    return int(number)


def _read_seed(value: Any) -> int:
    seed = _read_count(value)
    if not 0 <= seed < 2**SEED_BITS:
        raise ValueError(f"not between 0 and {2**SEED_BITS - 1}")
    return seed


def _read_autonomy(value: Any) -> str:
    if value in ("auto", "portfolio"):
        raise ValueError("not in this release; use suggest or sandbox")
    return _read_choice(*get_args(Autonomy))(value)


def _read_choice(*choices: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"not one of {', '.join(choices)}")
        return str(value)

    return read


def _read_flag(value: Any) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if str(value).strip().lower() not in words:
        raise ValueError("not true or false")
    return words[str(value).strip().lower()]


def _read_names(value: Any) -> tuple[str, ...]:
    """Read names: a list, or text with commas between them; ``none`` and the empty text are none."""
    names = str(value).split(",") if isinstance(value, str) else list(value)
    found = tuple(str(name).strip() for name in names if str(name).strip())
    if found == ("none",):
        return ()
    for name in found:
        if not name.isidentifier():
            raise ValueError(f"{name!r} is no name of a role")
    return found


def _read_bound(value: Any) -> float | None:
    """Read a number; ``none`` takes a bound that the problem states away."""
    if isinstance(value, str) and value.strip().lower() == "none":
        return None
    bound = _read_number(value)
    if isinstance(value, bool) or not math.isfinite(bound):
        raise ValueError("not a finite number")
    return bound


def _read_days(value: Any) -> int | None:
    """Read a number of days; ``none`` takes a limit that the problem states away."""
    if isinstance(value, str) and value.strip().lower() == "none":
        return None
    days = _read_count(value.strip().lower().removesuffix("d") if isinstance(value, str) else value)
    if days < 0:
        raise ValueError("below 0")
    return days


def _read_rate(value: Any) -> float:
    rate = _read_number(value)
    if not 0.0 < rate < 0.5:  # noqa: PLR2004  a rate of one half would accept anything
        raise ValueError("not between 0 and 0.5")
    return rate


_POLICY = Policy()

SETTINGS: tuple[Setting, ...] = (
    Setting(name="trials", read=_read_count, default=100, meaning="total trials of the study"),
    Setting(name="wall_seconds", read=read_seconds, default=None, meaning="total time of the study's runs"),
    Setting(name="cpu_seconds", read=read_seconds, default=None, meaning="total CPU time of the study's trials"),
    Setting(name="seed", read=_read_seed, default=0, meaning="seed of every random choice"),
    Setting(
        name="autonomy",
        read=_read_autonomy,
        default="sandbox",
        meaning="suggest leaves promotion to a person",
    ),
    Setting(
        name="minimum_isolation",
        read=_read_choice(*get_args(IsolationLevel)),
        default=_POLICY.minimum_isolation,
        meaning="refuse to run candidates below this level",
    ),
    Setting(
        name="baseline_seeds",
        read=_read_count,
        default=_POLICY.baseline_seeds,
        meaning="runs of the baseline that measure the noise floor",
    ),
    Setting(
        name="false_promotion_rate",
        read=_read_rate,
        default=_POLICY.false_promotion_rate,
        meaning="chance, over the whole study, that any promotion is noise",
    ),
    Setting(
        name="maximum_pairs",
        read=_read_count,
        default=_POLICY.maximum_pairs,
        meaning="most paired seeds spent on one candidate",
    ),
    Setting(name="minimum_gain", read=float, default=_POLICY.minimum_gain, meaning="smaller gains are not promoted"),
    Setting(
        name="holdout_queries",
        read=_read_count,
        default=_POLICY.holdout_queries,
        meaning="how often the holdout may be asked over the life of the study",
    ),
    Setting(
        name="execution",
        read=_read_choice(*get_args(ExecutionPolicy)),
        default=_POLICY.execution,
        meaning="start candidates fresh, fork them from a warm process, or auto",
    ),
    Setting(
        name="allow_gpu",
        read=_read_flag,
        default=_POLICY.allow_gpu,
        meaning="let trials of problems that need a device reach one, and its driver",
    ),
    Setting(
        name="excision_roles",
        read=_read_names,
        default=_POLICY.excision_roles,
        meaning="roles whose members may excise results of others; none leaves it to their authors",
    ),
    Setting(
        name="bound",
        read=_read_bound,
        default=_POLICY.bound,
        meaning="best score that can be true; beyond it is quarantine, none is no bound",
    ),
    Setting(
        name="retention_days",
        read=_read_days,
        default=_POLICY.retention_days,
        meaning="keep logs and other erasable texts at least so long; none is no limit",
    ),
    Setting(
        name="durability",
        read=_read_choice("full", "normal"),
        default="full",
        meaning="full: an acknowledged event survives power loss",
    ),
    Setting(name="state", read=str, default="", meaning="folder of the journal; beside the problem when empty"),
    Setting(
        name="python_wasm",
        read=str,
        default="",
        meaning="CPython-WASI of one's own for isolation level wasm; the packaged one when empty",
    ),
    Setting(name="key", read=str, default="", meaning="key file; the user's data folder when empty"),
)
_BY_NAME = {setting.name: setting for setting in SETTINGS}


class Settings:
    """All settings with their origins."""

    def __init__(self, resolved: Mapping[str, Resolved]) -> None:
        self.resolved = resolved

    def value(self, name: str) -> Any:
        """Return a setting's value."""
        return self.resolved[name].value

    def replaced(self, name: str, value: Any, origin: str) -> Settings:
        """Return settings in which one value is another, from another origin."""
        changed = Resolved(name=name, value=value, origin=origin, meaning=self.resolved[name].meaning)
        return Settings({**self.resolved, name: changed})

    def study(self, declared: Policy) -> StudySettings:
        """Return the study's settings.

        Args:
            declared: the problem's policy, for what is not a setting of its own.

        Raises:
            BudgetError: a budget that allows nothing.
        """
        return StudySettings(
            budget=Budget(
                trials=self._amount("trials", 1),
                wall_ms=self._amount("wall_seconds", _MILLISECONDS),
                cpu_ms=self._amount("cpu_seconds", _MILLISECONDS),
            ),
            seed=self.value("seed"),
            autonomy=self.value("autonomy"),
            policy=Policy(
                minimum_isolation=self.value("minimum_isolation"),
                baseline_seeds=self._at_least("baseline_seeds", 1),
                false_promotion_rate=self.value("false_promotion_rate"),
                maximum_pairs=self._at_least("maximum_pairs", 1),
                minimum_gain=self.value("minimum_gain"),
                deterministic=declared.deterministic,
                holdout_queries=self._at_least("holdout_queries", 0),
                execution=self.value("execution"),
                allow_gpu=self.value("allow_gpu"),
                bound=self.value("bound"),
                excision_roles=self.value("excision_roles"),
                retention_days=self.value("retention_days"),
            ),
        )

    def _amount(self, name: str, scale: int) -> int | None:
        value = self.value(name)
        if value is None:
            return None
        if value <= 0:
            origin = self.resolved[name].origin
            raise BudgetError(f"{name} = {value:g} (from {origin}) allows nothing", hint=f"give {name} more than 0")
        return round(float(value) * scale)

    def _at_least(self, name: str, least: int) -> int:
        value = int(self.value(name))
        if value < least:
            raise SettingError(f"{name} = {value} (from {self.resolved[name].origin})", hint=f"at least {least}")
        return value


def problem_layer(study: StudySettings, stated: tuple[str, ...]) -> dict[str, Any]:
    """Return the settings that a problem states itself, in the settings' own units."""
    budget, policy = study.budget, study.policy
    values = {
        "trials": budget.trials,
        "wall_seconds": None if budget.wall_ms is None else budget.wall_ms / _MILLISECONDS,
        "cpu_seconds": None if budget.cpu_ms is None else budget.cpu_ms / _MILLISECONDS,
        "seed": study.seed,
        "autonomy": study.autonomy,
        "minimum_isolation": policy.minimum_isolation,
        "baseline_seeds": policy.baseline_seeds,
        "false_promotion_rate": policy.false_promotion_rate,
        "maximum_pairs": policy.maximum_pairs,
        "minimum_gain": policy.minimum_gain,
        "holdout_queries": policy.holdout_queries,
        "execution": policy.execution,
        "allow_gpu": policy.allow_gpu,
        "bound": policy.bound,
        "excision_roles": policy.excision_roles,
        "retention_days": policy.retention_days,
    }
    return {name: value for name, value in values.items() if name in stated}


def read_user_file(path: Path) -> dict[str, Any]:
    """Return the user file's settings; an absent file has none.

    Raises:
        SettingError: not TOML, or a name that is no setting.
    """
    try:
        found = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise SettingError(f"{path}: {error}", hint="mend or remove the file") from error
    for name in found:
        if name not in _BY_NAME:
            raise SettingError(f"{path}: {name!r} is no setting", hint="`consilience config` lists them")
    return found


def resolve(
    flags: Mapping[str, Any],
    environment: Mapping[str, str],
    problem: Mapping[str, Any],
    user: Mapping[str, Any],
    user_file: Path,
) -> Settings:
    """Lay the layers over each other.

    Raises:
        SettingError: a flag that is no setting, or a value that its setting cannot read.
    """
    for name in flags:
        if name not in _BY_NAME:
            raise SettingError(f"{name!r} is no setting", hint=f"one of {', '.join(_BY_NAME)}")
    _check_environment(environment)
    layers: tuple[tuple[str, Mapping[str, Any]], ...] = (
        ("flag", flags),
        ("environment", {s.name: environment[_variable(s.name)] for s in SETTINGS if _variable(s.name) in environment}),
        ("problem", problem),
        (str(user_file), user),
    )
    return Settings({setting.name: _resolve_one(setting, layers) for setting in SETTINGS})


def _check_environment(environment: Mapping[str, str]) -> None:
    """Refuse a misspelt variable, as the user file refuses a misspelt name."""
    known = {*map(_variable, _BY_NAME), PASSPHRASE}
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in known:
            raise SettingError(f"{name} is no setting", hint=f"unset it, or use one of {', '.join(sorted(known))}")


def _resolve_one(setting: Setting, layers: tuple[tuple[str, Mapping[str, Any]], ...]) -> Resolved:
    for origin, values in layers:
        value = values.get(setting.name)
        if value is None:
            continue
        origin = _variable(setting.name) if origin == "environment" else origin  # noqa: PLW2901  the exact name
        try:
            read = setting.read(value)
        except (ValueError, TypeError, OverflowError) as error:
            raise SettingError(
                f"{setting.name} = {value!r} (from {origin}): {error}", hint=f"{setting.name}: {setting.meaning}"
            ) from error
        return Resolved(name=setting.name, value=read, origin=origin, meaning=setting.meaning)
    return Resolved(name=setting.name, value=setting.default, origin="default", meaning=setting.meaning)


def _variable(name: str) -> str:
    return PREFIX + name.upper()
