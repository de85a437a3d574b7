"""The tables of `problem.toml`, as they are written.

Rules:
    1. Unknown keys are refused everywhere; each key that is absent has the default below.
    2. These structs say what may be written; `own` checks what it means.

Data flow: tomllib -> ProblemFile -> `own` -> LoadedProblem.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from consilience.core.outcome import IsolationLevel
from consilience.core.problem import Direction, EvaluatorKind, Limits, ParameterType, ParameterValue
from consilience.core.study import Autonomy, ExecutionPolicy, Policy

FILE = "problem.toml"
DEFAULT_ENTRY = "evaluator.py"
DEFAULT_TRIALS = 100


class ObjectiveTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[objective]``: see `core.problem.Objective`; `bound` is policy and not part of the problem's id."""

    metric: str
    direction: Direction
    unit: str = ""
    bound: float | None = None


class ArtifactTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[artifact]``: the text files that may change, wholly or inside their EVOLVE-BLOCK markers."""

    files: tuple[str, ...] = ()


class ParameterTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[parameters.NAME]``: a typed value that may change."""

    type: ParameterType
    default: ParameterValue
    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple[str, ...] = ()


class EvaluatorTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[evaluator]``: what scores a candidate. `support` and `command` are explained in the template."""

    kind: EvaluatorKind = "function"
    entry: str = ""
    support: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    metric_pattern: str = ""
    interpreter: str = ""
    visible: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()


class HoldoutTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[holdout]``: files for ``holdout(candidate, seed)`` alone, and how often it may be asked."""

    files: tuple[str, ...] = ()
    queries: int = Policy().holdout_queries


class SandboxTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[sandbox]``: what a trial may use of this machine; nothing of it where a key is absent. See `granting`."""

    readable: tuple[str, ...] = ()
    scratch: tuple[str, ...] = ()
    scratch_mb: int | None = None
    environment: dict[str, str] = {}
    gpus: int = 0


class BudgetTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[budget]``: totals over the life of the study."""

    trials: int | None = None
    wall_seconds: float | None = None
    cpu_seconds: float | None = None


class SeedsTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[seeds]``: the study's seed, and how many seeds measure the baseline."""

    study: int = 0
    baseline: int = 5


class PolicyTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[policy]``: see `core.study.Policy`."""

    minimum_isolation: IsolationLevel = "strong"
    false_promotion_rate: float = 0.05
    maximum_pairs: int = 32
    minimum_gain: float = 0.0
    deterministic: bool | None = None
    execution: ExecutionPolicy = "auto"
    allow_gpu: bool = False
    excision_roles: tuple[str, ...] = Policy().excision_roles
    retention_days: int | None = None


class ProblemFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole `problem.toml`. Parameters are decoded one by one, so that errors can name them."""

    objective: ObjectiveTable
    name: str = ""
    goal: str = ""
    autonomy: Autonomy = "sandbox"
    artifact: ArtifactTable = ArtifactTable()
    parameters: dict[str, Any] = {}
    evaluator: EvaluatorTable = EvaluatorTable()
    sandbox: SandboxTable = SandboxTable()
    data: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    budget: BudgetTable = BudgetTable(trials=DEFAULT_TRIALS)
    limits: Limits = Limits()
    seeds: SeedsTable = SeedsTable()
    policy: PolicyTable = PolicyTable()
    holdout: HoldoutTable | None = None
