"""A fake executor for tests of the search: a function of artifact and seed, in this process.

Rules:
    1. It says that it is a fake: its outcomes are `told`, at isolation level `none`.
    2. Its durations are counted, not measured, so that two runs give the same bytes.

Data flow: TrialRequest -> the test's function -> Outcome.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from consilience.core.artifact import Artifact
from consilience.core.outcome import Failure, Isolation, Outcome, Resources
from consilience.core.ports import TrialRequest

Scorer = Callable[[Artifact, int], Mapping[str, float] | Failure]


class FunctionExecutor:
    """Scores by a function in this process: no sandbox, no clock.

    Attributes:
        requests: every request so far, in order.
        closed: whether `close` was called.
    """

    def __init__(self, score: Scorer, *, wall_ms: int = 10, cpu_ms: int = 10, memory_kb: int = 1024) -> None:
        self._score = score
        self._resources = Resources(wall_ms=wall_ms, cpu_ms=cpu_ms, memory_kb=memory_kb)
        self.requests: list[TrialRequest] = []
        self.closed = False

    @property
    def isolation(self) -> Isolation:
        """A fake holds nothing."""
        return Isolation(level="none", domain="told")

    def run(self, request: TrialRequest) -> Outcome:
        """Score one trial; a metric that is not finite fails it, as in real executors."""
        self.requests.append(request)
        result = self._score(request.artifact, request.seed)
        if not isinstance(result, Failure):
            broken = [f"{name} = {value}" for name, value in result.items() if not math.isfinite(value)]
            result = Failure(reason="non_finite", message="; ".join(broken)) if broken else result
        if isinstance(result, Failure):
            return Outcome(failure=result, resources=self._resources, isolation=self.isolation)
        return Outcome(metrics=dict(result), resources=self._resources, isolation=self.isolation)

    def close(self) -> None:
        """Note that it was closed."""
        self.closed = True
