"""The problem: what to improve, what may change, what scores it and under which limits.

Rules:
    1. A problem's id hashes what decides a score and nothing else: objective, mutable surface,
       evaluator, data, constraints, per-trial limits, holdout commitment. Name, goal, budget and
       seeds are not in it: more trials are the same problem, another evaluator is not.
    2. Everything here is frozen data; loaders (`problems`) read files, this module does not.

Data flow: a folder -> `problems` -> Problem -> `search`, `trials`, `journal`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, Literal

from msgspec import Struct, to_builtins

from consilience.core.canonical import hash_value

Direction = Literal["maximize", "minimize"]
ParameterType = Literal["float", "integer", "categorical", "boolean"]
ParameterValue = bool | int | float | str
EvaluatorKind = Literal["function", "program", "openevolve", "command"]
Region = Literal["whole", "blocks"]
ComparisonSign = Literal["<=", "<", ">=", ">", "=="]

_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    "<": operator.lt,
    ">=": operator.ge,
    ">": operator.gt,
    "==": operator.eq,
}


class Objective(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is measured, in which unit, and which way is better."""

    metric: str
    direction: Direction
    unit: str = ""

    def gain(self, new: float, old: float) -> float:
        """Return how much better `new` is than `old`, in the metric's unit; positive is better."""
        return new - old if self.direction == "maximize" else old - new


class Constraint(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A hard predicate over one metric, such as ``accuracy >= 0.9``; checked before any gain."""

    metric: str
    sign: ComparisonSign
    bound: float

    def __str__(self) -> str:
        return f"{self.metric} {self.sign} {self.bound:g}"

    def holds(self, metrics: Mapping[str, float]) -> bool:
        """Tell whether the metrics satisfy it; a metric that is absent does not."""
        value = metrics.get(self.metric)
        return value is not None and _COMPARE[self.sign](value, self.bound)


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one trial may use. Part of the problem's id: a longer limit is another problem."""

    wall_seconds: float = 60.0
    cpu_seconds: float = 60.0
    memory_mb: int = 2048
    output_kb: int = 1024


class Parameter(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A typed number or choice that may change. `low` and `high` are inclusive; `log` searches the exponent."""

    name: str
    type: ParameterType
    default: ParameterValue
    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple[str, ...] = ()


class SurfaceFile(Struct, frozen=True, kw_only=True):
    """A file that may change: wholly, or inside its EVOLVE-BLOCK markers (`fixed` hashes what is outside)."""

    path: str
    region: Region
    fixed: str = ""


class Surface(Struct, frozen=True, kw_only=True):
    """The mutable surface: all that a candidate may differ in."""

    files: tuple[SurfaceFile, ...] = ()
    parameters: tuple[Parameter, ...] = ()


class FileDigest(Struct, frozen=True, kw_only=True):
    """A file by its path inside the problem and the hash of its bytes."""

    path: str
    sha256: str


class EvaluatorSpec(Struct, frozen=True, kw_only=True):
    """How a candidate is scored.

    `function`: `entry` defines ``evaluate(candidate, seed)`` and runs apart from the candidate.
    `program`: the same, but the candidate is run as the whole `command` in its sandbox, beside its `visible`
    files, and hands over `outputs` as data.
    `openevolve`: `entry` defines ``evaluate(path)`` and imports the candidate; sandboxed as a whole.
    `command`: `command` runs the artifact, `metric_pattern` (one regex group) finds the metric in its output.
    """

    kind: EvaluatorKind
    entry: str = ""
    command: tuple[str, ...] = ()
    metric_pattern: str = ""
    cascade_thresholds: tuple[float, ...] = ()
    excluded_metrics: tuple[str, ...] = ()
    files: tuple[FileDigest, ...] = ()
    visible: tuple[FileDigest, ...] = ()
    outputs: tuple[str, ...] = ()


class Problem(Struct, frozen=True, kw_only=True):
    """What to improve. See `problem_id` for which fields decide its identity.

    `environment` holds variables that candidates are given beyond the sandbox's own.
    """

    name: str
    goal: str
    objective: Objective
    surface: Surface
    evaluator: EvaluatorSpec
    data: tuple[FileDigest, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    limits: Limits = Limits()
    holdout_commitment: str = ""
    environment: dict[str, str] = {}


PARAMETERS_FILE = "parameters.json"  # in which a run of a whole program finds its parameter values
_LATER_FIELDS = ("visible", "outputs")  # of an evaluator: left out where unused, so that older ids stay as they were
_SPACE_FIELDS = ("low", "high", "log", "default")


def problem_id(problem: Problem) -> str:
    """Hash what decides a score.

    Bounds and defaults of parameters are the space that is searched, not what decides a score:
    they may be widened (an event) without making another problem.
    """
    surface = to_builtins(problem.surface)
    for parameter in surface["parameters"]:
        for field in _SPACE_FIELDS:
            del parameter[field]
    return hash_value(
        {
            "objective": problem.objective,
            "surface": surface,
            "data": problem.data,
            "constraints": problem.constraints,
            "limits": problem.limits,
            "holdout": problem.holdout_commitment,
            **_measure(problem),
        }
    )


def comparability_key(problem: Problem, platform_class: str) -> str:
    """Hash what two results must share to be ranked together.

    Args:
        problem: its evaluator, data, metric, unit, direction and per-trial limits count.
        platform_class: such as ``linux-x86_64-cpu``; results of other platforms are ranked apart.
    """
    return hash_value(
        {
            "data": problem.data,
            "objective": problem.objective,
            "limits": problem.limits,
            "platform_class": platform_class,
            **_measure(problem),
        }
    )


def evaluator_digest(problem: Problem) -> str:
    """Hash how a candidate is measured: the evaluator with its files, and the environment where one is stated."""
    return hash_value(_measure(problem))


def _measure(problem: Problem) -> dict[str, Any]:
    """Return how a candidate is measured: the evaluator, and the environment where one is stated."""
    evaluator = to_builtins(problem.evaluator)
    for field in _LATER_FIELDS:
        if not evaluator[field]:
            del evaluator[field]
    stated = {"environment": problem.environment} if problem.environment else {}
    return {"evaluator": evaluator, **stated}
