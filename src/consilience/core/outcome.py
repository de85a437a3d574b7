"""What came of one trial: metrics, or a failure with its reason. Never an exception, never a made-up score.

Rules:
    1. Either `failure` is set and `metrics` say nothing about rank, or it is None and every metric is finite.
    2. Wall, CPU and memory are taken outside the candidate.
    3. The isolation that was really enforced travels with every outcome.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

IsolationLevel = Literal["none", "wasm", "restricted", "strong"]
Execution = Literal["fresh", "fork"]
EvaluationDomain = Literal["split", "shared-process", "command", "told"]
FailureReason = Literal[
    "crash",
    "timeout",
    "cpu_limit",
    "memory",
    "violation",
    "invalid_output",
    "non_finite",
    "missing_metric",
    "evaluator_error",
    "evaluator_timeout",
    "budget",
]

LEVEL_RANK: dict[IsolationLevel, int] = {"none": 0, "wasm": 1, "restricted": 2, "strong": 3}


class Failure(Struct, frozen=True, kw_only=True):
    """Why a trial has no score. `message` is capped text and may come from untrusted code."""

    reason: FailureReason
    message: str


class Resources(Struct, frozen=True, kw_only=True):
    """What the whole tree of a trial's processes used, measured outside it."""

    wall_ms: int = 0
    cpu_ms: int = 0
    memory_kb: int = 0


class Isolation(Struct, frozen=True, kw_only=True):
    """How the candidate was held: the probed level, and who shared a process with whom.

    `split`: candidate and evaluator in separate processes. `shared-process`: the evaluator imports the
    candidate, sandboxed as a whole. `command`: the artifact prints its own metric. `told`: scored outside.
    `execution` says whether the candidate's process was started for it alone (`fresh`) or forked from one that
    had its libraries loaded (`fork`). `gpu` says that a device of the machine was in reach: a lower class, for
    its driver is a large piece of kernel.
    """

    level: IsolationLevel
    domain: EvaluationDomain
    execution: Execution = "fresh"
    gpu: bool = False


_DOMAIN_RANK: dict[EvaluationDomain, int] = {"told": 0, "command": 1, "shared-process": 2, "split": 3}


def weaker(one: Isolation, other: Isolation) -> Isolation:
    """Return what two outcomes together can claim: the weaker of each property."""
    return Isolation(
        level=min(one.level, other.level, key=LEVEL_RANK.__getitem__),
        domain=min(one.domain, other.domain, key=_DOMAIN_RANK.__getitem__),
        execution="fork" if "fork" in (one.execution, other.execution) else "fresh",
        gpu=one.gpu or other.gpu,
    )


class Outcome(Struct, frozen=True, kw_only=True):
    """The result of one trial.

    `log` is the capped tail of what the candidate and evaluator printed; `feedback` is text that the
    evaluator gives to proposers. Both are untrusted.
    """

    metrics: dict[str, float] = {}
    failure: Failure | None = None
    resources: Resources = Resources()
    isolation: Isolation
    log: str = ""
    feedback: str = ""

    @property
    def ok(self) -> bool:
        """Tell whether the trial has a score."""
        return self.failure is None
