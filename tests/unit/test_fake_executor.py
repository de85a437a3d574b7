"""The fake executor: says that it is one, counts time, keeps the contract on failures."""

from __future__ import annotations

from consilience.core.artifact import Artifact
from consilience.core.outcome import Failure
from consilience.core.ports import Executor
from consilience.testing.executors import FunctionExecutor
from consilience.testing.trivial import artifact, request


def score(candidate: Artifact, seed: int) -> dict[str, float] | Failure:
    if "fail" in candidate.text("program.py"):
        return Failure(reason="crash", message="as asked")
    return {"score": float("nan") if seed == 0 else float(seed)}


def test_scores_failures_and_non_finite_numbers() -> None:
    fake = FunctionExecutor(score, wall_ms=7)
    assert isinstance(fake, Executor)
    outcome = fake.run(request(artifact("x"), seed=3))
    assert outcome.metrics == {"score": 3.0}
    assert outcome.resources.wall_ms == 7
    assert (outcome.isolation.level, outcome.isolation.domain) == ("none", "told")
    for program, seed, reason in (("fail", 1, "crash"), ("x", 0, "non_finite")):
        failed = fake.run(request(artifact(program), seed=seed))
        assert failed.failure is not None
        assert failed.failure.reason == reason
        assert failed.metrics == {}
    assert [each.seed for each in fake.requests] == [3, 1, 0]
    fake.close()
    assert fake.closed
