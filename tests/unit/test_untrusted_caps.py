"""Whatever an executor or a person hands in, what is recorded is capped; hypotheses keep to one line."""

import random

from consilience.core.artifact import Artifact
from consilience.core.bodies import CandidateProposed, TrialFinished
from consilience.core.canonical import sha256_hex
from consilience.core.hypothesis import Hypothesis, Proposal
from consilience.core.outcome import Failure, Isolation, Outcome, weaker
from consilience.core.ports import ProposalView
from consilience.core.problem import EvaluatorSpec, Limits, Objective, Parameter, Problem, Surface
from consilience.core.study import Budget, Spend, StudySettings
from consilience.interfaces.text import held, weaknesses
from consilience.node.recording import MOST_METRICS, RunContext, record_outcome
from consilience.search.budget import Reservation
from consilience.testing.memory_study import MemoryStudy

HELD = Isolation(level="strong", domain="split")


class Blobs:
    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def put(self, data: bytes) -> str:
        self.kept[sha256_hex(data)] = data
        return sha256_hex(data)

    put_erasable = put

    def get(self, name: str) -> bytes:
        return self.kept[name]


def recorded(outcome: Outcome) -> tuple[TrialFinished, Blobs]:
    context = RunContext(comparability_key="k", environment="e", metric="score", constrained=("size",))
    blobs = Blobs()
    reservation = Reservation(spend=Spend(trials=1), limits=Limits(), cut=False)
    body = record_outcome(context, "s", reservation, outcome, blobs, 1)
    assert isinstance(body, TrialFinished)
    return body, blobs


def test_every_text_of_an_outcome_is_capped() -> None:
    failure = Failure(reason="crash", message="m" * 10_000)
    body, blobs = recorded(Outcome(failure=failure, isolation=HELD, log="l" * 10**6 + "end", feedback="f" * 10**6))
    assert body.failure is not None
    assert len(body.failure.message) == 500
    assert blobs.get(body.log).endswith(b"end")
    assert len(blobs.get(body.log)) == 64 * 1024
    assert len(blobs.get(body.feedback)) == 16 * 1024


def test_metrics_are_capped_but_for_those_that_decide() -> None:
    many = {f"m{number}": 1.0 for number in range(1000)}
    body, _ = recorded(Outcome(metrics={**many, "y" * 300: 1.0, "size": 2.0, "score": 3.0}, isolation=HELD))
    assert len(body.metrics) == MOST_METRICS + 2
    assert (body.metrics["score"], body.metrics["size"]) == (3.0, 2.0)
    assert "y" * 300 not in body.metrics


class Talkative:
    operator = "talkative"

    def applies(self, view: ProposalView) -> bool:
        return True

    def propose(self, view: ProposalView, stream: random.Random) -> Proposal:
        artifact = view.parent.artifact.with_parameters({"number": stream.randrange(1, 10**6)})
        text = "first\nsecond\r\nthird\u2028fourth " + "x" * 5000
        hypothesis = Hypothesis(operator=self.operator, target=text, change=text, reason=text)
        return Proposal(artifact=artifact, hypothesis=hypothesis, parents=(view.parent.candidate,))


def test_a_hypothesis_is_held_to_one_capped_line_each() -> None:
    problem = Problem(
        name="n",
        goal="",
        objective=Objective(metric="score", direction="maximize"),
        surface=Surface(parameters=(Parameter(name="number", type="integer", default=0, low=0, high=10**6),)),
        evaluator=EvaluatorSpec(kind="function"),
    )
    settings = StudySettings(budget=Budget(trials=8))
    made = MemoryStudy(problem, Artifact(parameters={"number": 0}), settings, (Talkative(),), lambda _a, seed: seed / 2)
    made.run()
    offered = [event.body for event in made.events if isinstance(event.body, CandidateProposed)][1:]
    assert offered
    for body in offered:
        texts = (body.hypothesis.target, body.hypothesis.change, body.hypothesis.reason)
        assert [len(text.splitlines()) for text in texts] == [1, 1, 1]
        assert [len(text) for text in texts] == [200, 500, 500]
        assert texts[1].startswith("first second third fourth x")


def test_runs_together_claim_the_weakest_of_each_property() -> None:
    forked = Isolation(level="restricted", domain="split", execution="fork")
    shared = Isolation(level="strong", domain="shared-process", gpu=True)
    both = weaker(forked, shared)
    assert both == Isolation(level="restricted", domain="shared-process", execution="fork", gpu=True)
    assert weaker(HELD, HELD) == HELD
    assert held(HELD) == "strong/split/fresh"
    assert weaknesses(HELD) == []
    assert held(both) == "restricted/shared-process/fork/gpu*"
    assert [line.split(":")[0] for line in weaknesses(both)] == ["restricted", "shared-process", "gpu"]
