"""OpenEvolve's `config.yaml`: what of it decides scores and budget is read, the rest is named and left.

The keys and defaults are those of OpenEvolve 0.4 (its `config.py`): timeout 300 s, cascade evaluation on with
thresholds 0.5, 0.75 and 0.9, seed 42, feature dimensions complexity and diversity. Its default of 10,000
iterations is not taken over: a study without a stated budget has our own default.

Rules:
    1. A key that changes nothing here is a warning, never a silent loss; an unknown one gets its neighbour's name.
    2. A key that is used and wrong is a ProblemError.

Data flow: config.yaml -> OpenEvolveConfig -> `openevolve`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from msgspec import Struct

from consilience.core.errors import ProblemError
from consilience.problems.faults import did_you_mean, show
from consilience.problems.files import read_text
from consilience.problems.openevolve_keys import UNUSED, USED
from consilience.problems.schema import DEFAULT_TRIALS

T = TypeVar("T")

_SEED_LIMIT = 2**31


class OpenEvolveConfig(Struct, frozen=True, kw_only=True):
    """What is used of a `config.yaml`. `timeout` is in seconds of wall time for one evaluation."""

    trials: int = DEFAULT_TRIALS
    seed: int = 42
    timeout: float = 300.0
    cascade: bool = True
    thresholds: tuple[float, ...] = (0.5, 0.75, 0.9)
    feature_dimensions: tuple[str, ...] = ("complexity", "diversity")
    goal: str = ""
    warnings: tuple[str, ...] = ()


def read_config(path: Path) -> OpenEvolveConfig:
    """Read a `config.yaml`.

    Raises:
        ProblemError: it is not YAML, or a key that is used has a wrong value.
    """
    raw = _read_yaml(path)
    file, default = path.name, OpenEvolveConfig()
    evaluator, database, prompt = (_group(raw, name, file) for name in ("evaluator", "database", "prompt"))
    get = _Getter(file)
    return OpenEvolveConfig(
        trials=get.value(raw, "max_iterations", _count, default.trials),
        seed=get.value(raw, "random_seed", _seed, default.seed),
        timeout=get.value(evaluator, "evaluator.timeout", _seconds, default.timeout),
        cascade=get.value(evaluator, "evaluator.cascade_evaluation", _flag, default.cascade),
        thresholds=get.value(evaluator, "evaluator.cascade_thresholds", _thresholds, default.thresholds),
        feature_dimensions=get.value(database, "database.feature_dimensions", _names, default.feature_dimensions),
        goal=get.value(prompt, "prompt.system_message", _text, "").strip(),
        warnings=tuple(_warnings(raw, file)),
    )


def _read_yaml(path: Path) -> dict[str, Any]:
    where = (path.name, "")
    try:
        raw = yaml.safe_load(read_text(path, where))
    except (yaml.YAMLError, RecursionError) as error:
        first = " ".join(str(error).split())
        raise ProblemError(*where, found=f"a syntax error: {first}", expected="valid YAML") from error
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise ProblemError(*where, found=show(raw), expected="keys with values")
    return {str(key): value for key, value in raw.items()}


def _group(raw: Mapping[str, Any], name: str, file: str) -> dict[str, Any]:
    group = raw.get(name)
    if group is None:
        return {}
    if not isinstance(group, dict):
        raise ProblemError(file, name, found=show(group), expected="keys with values")
    return {str(key): value for key, value in group.items()}


class _Getter:
    """Takes values out of tables of one file; null means the default."""

    def __init__(self, file: str) -> None:
        self._file = file

    def value(self, table: Mapping[str, Any], key: str, read: Callable[[Any], T], default: T) -> T:
        """Return the value under the key's last part; `read` raises ValueError with what it expects."""
        raw = table.get(key.rpartition(".")[2])
        if raw is None:
            return default
        try:
            return read(raw)
        except ValueError as error:
            raise ProblemError(self._file, key, found=show(raw), expected=str(error)) from None


def _count(raw: Any) -> int:
    if isinstance(raw, int) and not isinstance(raw, bool) and raw > 0:
        return raw
    raise ValueError("a whole number above 0")


def _seed(raw: Any) -> int:
    if isinstance(raw, int) and not isinstance(raw, bool) and 0 <= raw < _SEED_LIMIT:
        return raw
    raise ValueError("a whole number between 0 and 2147483647")


def _seconds(raw: Any) -> float:
    if isinstance(raw, int | float) and not isinstance(raw, bool) and math.isfinite(raw) and raw > 0:
        return float(raw)
    raise ValueError("a finite number of seconds above 0")


def _flag(raw: Any) -> bool:
    if isinstance(raw, bool):
        return raw
    raise ValueError("true or false")


def _text(raw: Any) -> str:
    if isinstance(raw, str):
        return raw
    raise ValueError("a text")


def _thresholds(raw: Any) -> tuple[float, ...]:
    numbers = isinstance(raw, list) and raw and all(type(item) in (int, float) and math.isfinite(item) for item in raw)
    if numbers:
        return tuple(float(item) for item in raw)
    raise ValueError("a list of at least one number")


def _names(raw: Any) -> tuple[str, ...]:
    if isinstance(raw, list) and all(isinstance(item, str) for item in raw):
        return tuple(raw)
    raise ValueError("a list of metric names")


def _warnings(raw: Mapping[str, Any], file: str) -> Iterator[str]:
    """Name what is left aside: one line for each group, and one for each key that nobody knows."""
    groups = [name for name in USED if name]
    for name in ("", *groups):
        table = _group(raw, name, file) if name else {key: raw[key] for key in raw if key not in groups}
        unused = sorted(set(table) & UNUSED[name])
        if unused:
            yield f"{file}: not used here: {', '.join(_dotted(name, key) for key in unused)}"
        known = USED[name] | UNUSED[name] | (set() if name else set(groups))
        for key in sorted(set(table) - known):
            hint = did_you_mean(key, sorted(known))
            yield f"{file}: unknown key {_dotted(name, key)} is ignored" + (f"; {hint}" if hint else "")


def _dotted(group: str, key: str) -> str:
    return f"{group}.{key}" if group else key
