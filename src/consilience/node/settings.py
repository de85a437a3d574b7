"""Settings in layers: flag > CONSILIENCE_* > problem > user file > default, each value with its origin.

Rules:
    1. Every setting is declared once, here; an unknown name in the user file is an error, not a shrug.
    2. A wrong value names the setting and the layer that it came from.

Data flow: flags, environment, LoadedProblem, user file -> `resolve` -> Settings -> `node.study`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

from msgspec import Struct

from consilience.core.errors import BudgetError, SettingError
from consilience.core.outcome import IsolationLevel
from consilience.core.study import Budget, ExecutionPolicy, Policy, StudySettings
from consilience.node.setting_values import (
    read_autonomy,
    read_bound,
    read_choice,
    read_count,
    read_days,
    read_flag,
    read_names,
    read_rate,
    read_seconds,
    read_seed,
)

PREFIX = "CONSILIENCE_"
PASSPHRASE = "CONSILIENCE_PASSPHRASE"  # noqa: S105  the variable's name, not a secret
_MILLISECONDS = 1000


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


_POLICY = Policy()

SETTINGS: tuple[Setting, ...] = (
    Setting(name="trials", read=read_count, default=100, meaning="total trials of the study"),
    Setting(name="wall_seconds", read=read_seconds, default=None, meaning="total time of the study's runs"),
    Setting(name="cpu_seconds", read=read_seconds, default=None, meaning="total CPU time of the study's trials"),
    Setting(name="seed", read=read_seed, default=0, meaning="seed of every random choice"),
    Setting(
        name="autonomy",
        read=read_autonomy,
        default="sandbox",
        meaning="suggest leaves promotion to a person",
    ),
    Setting(
        name="minimum_isolation",
        read=read_choice(*get_args(IsolationLevel)),
        default=_POLICY.minimum_isolation,
        meaning="refuse to run candidates below this level",
    ),
    Setting(
        name="baseline_seeds",
        read=read_count,
        default=_POLICY.baseline_seeds,
        meaning="runs of the baseline that measure the noise floor",
    ),
    Setting(
        name="false_promotion_rate",
        read=read_rate,
        default=_POLICY.false_promotion_rate,
        meaning="chance, over the whole study, that any promotion is noise",
    ),
    Setting(
        name="maximum_pairs",
        read=read_count,
        default=_POLICY.maximum_pairs,
        meaning="most paired seeds spent on one candidate",
    ),
    Setting(name="minimum_gain", read=float, default=_POLICY.minimum_gain, meaning="smaller gains are not promoted"),
    Setting(
        name="holdout_queries",
        read=read_count,
        default=_POLICY.holdout_queries,
        meaning="how often the holdout may be asked over the life of the study",
    ),
    Setting(
        name="execution",
        read=read_choice(*get_args(ExecutionPolicy)),
        default=_POLICY.execution,
        meaning="start candidates fresh, fork them from a warm process, or auto",
    ),
    Setting(
        name="allow_gpu",
        read=read_flag,
        default=_POLICY.allow_gpu,
        meaning="let trials of problems that need a device reach one, and its driver",
    ),
    Setting(
        name="excision_roles",
        read=read_names,
        default=_POLICY.excision_roles,
        meaning="roles whose members may excise results of others; none leaves it to their authors",
    ),
    Setting(
        name="bound",
        read=read_bound,
        default=_POLICY.bound,
        meaning="best score that can be true; beyond it is quarantine, none is no bound",
    ),
    Setting(
        name="retention_days",
        read=read_days,
        default=_POLICY.retention_days,
        meaning="keep logs and other erasable texts at least so long; none is no limit",
    ),
    Setting(
        name="durability",
        read=read_choice("full", "normal"),
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
