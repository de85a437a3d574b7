"""What the values of `problem.toml` must satisfy beyond their types.

Rules:
    1. Every check names file, key, what was found and what was expected.
    2. Numbers are finite; limits and budgets are above zero.
    3. A metric pattern has exactly one group; it is searched with `re.MULTILINE`.
"""

from __future__ import annotations

import math
import re

from consilience.core.errors import ProblemError
from consilience.core.problem import Constraint, Limits, Objective, Parameter
from consilience.core.study import Budget, Policy
from consilience.problems.decode import decode
from consilience.problems.faults import did_you_mean, require, show
from consilience.problems.schema import BudgetTable, ObjectiveTable, ParameterTable, PolicyTable, SeedsTable

_NAME = r"[A-Za-z_][A-Za-z0-9_.@/-]{0,63}"
_CONSTRAINT = re.compile(rf"\s*(?P<metric>{_NAME})\s*(?P<sign><=|>=|==|<|>)\s*(?P<bound>\S+)\s*")
_NAME_WORDS = "a name of letters, digits and _ . @ / -, not starting with a digit"
_EXACT = 2**53  # beyond it JSON numbers lose integers (RFC 8785, section 3.2.2.3)
_SEED_LIMIT = 2**31  # what C libraries, NumPy and PYTHONHASHSEED accept


def check_metric(metric: str, where: tuple[str, str]) -> None:
    """Refuse a metric name that could not be written in a constraint.

    Raises:
        ProblemError: it is not a name.
    """
    require(re.fullmatch(_NAME, metric) is not None, where, found=show(metric), expected=_NAME_WORDS)


def read_objective(table: ObjectiveTable, file: str) -> Objective:
    """Check the metric's name and the bound, and return the objective.

    Raises:
        ProblemError: the metric is not a name, or the bound not finite.
    """
    check_metric(table.metric, (file, "objective.metric"))
    finite = table.bound is None or math.isfinite(table.bound)
    require(finite, (file, "objective.bound"), found=str(table.bound), expected="a finite number")
    return Objective(metric=table.metric, direction=table.direction, unit=table.unit)


def check_pattern(pattern: str, where: tuple[str, str]) -> None:
    """Refuse a metric pattern that does not compile or has not exactly one group.

    Raises:
        ProblemError: as said.
    """
    try:
        groups = re.compile(pattern, re.MULTILINE).groups
    except re.error as error:
        raise ProblemError(*where, found=f"{show(pattern)} ({error})", expected="a regular expression") from error
    expected = r"exactly one group, such as ^val_bpb:\s*(\S+)"
    require(groups == 1, where, found=f"{show(pattern)} with {groups} groups", expected=expected)


def read_constraint(text: str, where: tuple[str, str]) -> Constraint:
    """Parse a predicate such as ``accuracy >= 0.9``.

    Raises:
        ProblemError: it has another form, or the bound is no finite number.
    """
    expected = 'a metric, one of <= < >= > ==, and a number, such as "accuracy >= 0.9"'
    match = _CONSTRAINT.fullmatch(text)
    bound = _number(match["bound"]) if match else math.nan
    if match is None or not math.isfinite(bound):
        raise ProblemError(*where, found=show(text), expected=expected)
    return Constraint(metric=match["metric"], sign=match["sign"], bound=bound)  # type: ignore[arg-type]  # the regex allows signs only


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def read_parameter(name: str, raw: object, file: str) -> Parameter:
    """Decode and check one ``[parameters.NAME]`` table.

    Raises:
        ProblemError: a wrong key, bounds out of order, or a default outside them.
    """
    key = f"parameters.{name}"
    expected = "letters, digits and _, not starting with a digit"
    require(name.isidentifier(), (file, key), found=f"the name {name!r}", expected=expected)
    table = decode(raw, ParameterTable, file, key)
    if table.type in ("float", "integer"):
        _check_number(table, file, key)
    elif table.type == "categorical":
        _check_choices(table, file, key)
    else:
        _check_boolean(table, file, key)
    default = float(table.default) if table.type == "float" else table.default
    return Parameter(
        name=name,
        type=table.type,
        default=default,
        low=table.low,
        high=table.high,
        log=table.log,
        choices=table.choices,
    )


def _check_number(table: ParameterTable, file: str, key: str) -> None:
    low, high, default = _bounds(table, file, key)
    require(low < high, (file, f"{key}.low"), found=f"low {low:g} and high {high:g}", expected="low below high")
    require(not table.log or low > 0, (file, f"{key}.low"), found=f"{low:g}", expected="above 0 where log = true")
    expected = f"between low {low:g} and high {high:g}"
    require(low <= default <= high, (file, f"{key}.default"), found=f"{default:g}", expected=expected)
    if table.type == "integer":
        for field, value in (("low", table.low), ("high", table.high), ("default", table.default)):
            whole = float(value or 0).is_integer() and not isinstance(value, str)
            require(whole, (file, f"{key}.{field}"), found=show(value), expected="a whole number")
        is_int = isinstance(table.default, int)
        require(is_int, (file, f"{key}.default"), found=show(table.default), expected="an integer")
    require(not table.choices, (file, f"{key}.choices"), found="choices", expected="none for a number")


def _bounds(table: ParameterTable, file: str, key: str) -> tuple[float, float, float]:
    for field, value in (("low", table.low), ("high", table.high), ("default", table.default)):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        fits = is_number and math.isfinite(float(value or 0)) and abs(float(value or 0)) <= _bound_limit(table)
        found = "nothing" if value is None else show(value)
        require(fits, (file, f"{key}.{field}"), found=found, expected="a finite number")
    return float(table.low or 0), float(table.high or 0), float(table.default)


def _bound_limit(table: ParameterTable) -> float:
    return float(_EXACT) if table.type == "integer" else math.inf


def _check_choices(table: ParameterTable, file: str, key: str) -> None:
    distinct = len(set(table.choices)) == len(table.choices) > 1
    found = f"{list(table.choices)!r}"
    require(distinct, (file, f"{key}.choices"), found=found, expected="at least two different choices")
    if table.default not in table.choices:
        hint = did_you_mean(str(table.default), table.choices)
        expected = "one of " + ", ".join(table.choices)
        raise ProblemError(file, f"{key}.default", found=show(table.default), expected=expected, hint=hint)
    _check_no_bounds(table, file, key)


def _check_boolean(table: ParameterTable, file: str, key: str) -> None:
    is_bool = isinstance(table.default, bool)
    require(is_bool, (file, f"{key}.default"), found=show(table.default), expected="true or false")
    require(not table.choices, (file, f"{key}.choices"), found="choices", expected="none for a boolean")
    _check_no_bounds(table, file, key)


def _check_no_bounds(table: ParameterTable, file: str, key: str) -> None:
    for field, value in (("low", table.low), ("high", table.high)):
        require(value is None, (file, f"{key}.{field}"), found=f"{value}", expected=f"no bound for type {table.type}")
    require(not table.log, (file, f"{key}.log"), found="log = true", expected=f"no log for type {table.type}")


def _above_zero(value: float, where: tuple[str, str]) -> None:
    holds = math.isfinite(value) and 0 < value <= _EXACT / 1000
    require(holds, where, found=f"{value:g}", expected="a finite number above 0")


LARGEST_LIMITS = {"wall_seconds": 1e7, "cpu_seconds": 1e7, "memory_mb": 2**24, "output_kb": 2**21}
LARGEST_BUDGET = 1e12
LARGEST_PAIRS = 10_000


def check_limits(limits: Limits, file: str) -> None:
    """Refuse limits under which no trial could run.

    Raises:
        ProblemError: one is not above zero.
    """
    for field in ("wall_seconds", "cpu_seconds", "memory_mb", "output_kb"):
        value = getattr(limits, field)
        _above_zero(value, (file, f"limits.{field}"))
        most = LARGEST_LIMITS[field]
        require(value <= most, (file, f"limits.{field}"), found=f"{value:g}", expected=f"at most {most:g}")


def read_budget(table: BudgetTable, default_trials: int, file: str) -> Budget:
    """Turn the budget's table into whole milliseconds; an empty table means the default number of trials.

    Raises:
        ProblemError: an amount is not above zero.
    """
    for field in ("trials", "wall_seconds", "cpu_seconds"):
        value = getattr(table, field)
        if value is not None:
            _above_zero(value, (file, f"budget.{field}"))
            fits = value <= LARGEST_BUDGET
            require(fits, (file, f"budget.{field}"), found=f"{value:g}", expected=f"at most {LARGEST_BUDGET:g}")
    trials = default_trials if table == BudgetTable() else table.trials
    return Budget(trials=trials, wall_ms=_milliseconds(table.wall_seconds), cpu_ms=_milliseconds(table.cpu_seconds))


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else max(1, round(seconds * 1000))


def read_policy(table: PolicyTable, seeds: SeedsTable, file: str) -> Policy:
    """Join policy and seeds.

    Raises:
        ProblemError: a rate outside (0, 1), a count that is too small, a seed out of range.
    """
    rate, gain = table.false_promotion_rate, table.minimum_gain
    require(0 < rate < 1, (file, "policy.false_promotion_rate"), found=f"{rate:g}", expected="between 0 and 1")
    holds = math.isfinite(gain) and gain >= 0
    require(holds, (file, "policy.minimum_gain"), found=f"{gain:g}", expected="a finite number, 0 or above")
    pairs = table.maximum_pairs
    fits = 1 <= pairs <= LARGEST_PAIRS
    require(fits, (file, "policy.maximum_pairs"), found=str(pairs), expected=f"at least 1, at most {LARGEST_PAIRS}")
    least = 1 if table.deterministic else 2
    expected = f"at least {least}" + ("" if table.deterministic else ": the noise floor is a spread")
    require(seeds.baseline >= least, (file, "seeds.baseline"), found=str(seeds.baseline), expected=expected)
    days = table.retention_days
    require(days is None or days >= 0, (file, "policy.retention_days"), found=str(days), expected="0 or above")
    in_range = 0 <= seeds.study < _SEED_LIMIT
    require(in_range, (file, "seeds.study"), found=str(seeds.study), expected="between 0 and 2147483647")
    for role in table.excision_roles:
        require(role.isidentifier(), (file, "policy.excision_roles"), found=repr(role), expected="names of roles")
    return Policy(
        minimum_isolation=table.minimum_isolation,
        baseline_seeds=seeds.baseline,
        false_promotion_rate=rate,
        maximum_pairs=pairs,
        minimum_gain=gain,
        deterministic=table.deterministic,
        execution=table.execution,
        excision_roles=table.excision_roles,
        allow_gpu=table.allow_gpu,
        retention_days=days,
    )
