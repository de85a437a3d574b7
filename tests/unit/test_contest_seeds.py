"""Which runs a contest asks for: the panel's order, failing incumbents, and proof of determinism."""

import math
import random
from collections import Counter
from typing import Any

from msgspec.structs import replace

from consilience.core.artifact import Artifact
from consilience.core.bodies import TrialFinished, TrialStarted, VerdictReached
from consilience.core.events import Event
from consilience.core.hypothesis import Hypothesis, Proposal
from consilience.core.outcome import Failure
from consilience.core.ports import ProposalView
from consilience.core.problem import EvaluatorSpec, Objective, Parameter, Problem, Surface
from consilience.core.study import Budget, Policy, StudySettings
from consilience.testing.memory_study import MemoryStudy, Score

PROBLEM = Problem(
    name="numbers",
    goal="",
    objective=Objective(metric="score", direction="maximize"),
    surface=Surface(parameters=(Parameter(name="number", type="integer", default=0, low=0, high=10**6),)),
    evaluator=EvaluatorSpec(kind="function"),
)


class Numbers:
    operator = "next-number"

    def __init__(self) -> None:
        self.last = 0

    def applies(self, view: ProposalView) -> bool:
        return True

    def propose(self, view: ProposalView, stream: random.Random) -> Proposal:
        self.last += 1
        artifact = view.parent.artifact.with_parameters({"number": self.last})
        hypothesis = Hypothesis(operator=self.operator, target="number", change="another", reason="test")
        return Proposal(artifact=artifact, hypothesis=hypothesis, parents=(view.parent.candidate,))


class FailingStudy(MemoryStudy):
    """A score of NaN stands for a run that crashed."""

    def _append(self, body: Any) -> Event:
        if isinstance(body, TrialFinished) and any(map(math.isnan, body.metrics.values())):
            body = replace(body, metrics={}, failure=Failure(reason="crash", message="fell over"))
        return super()._append(body)


def study(score: Score, trials: int, policy: Policy | None = None) -> FailingStudy:
    settings = StudySettings(budget=Budget(trials=trials), seed=3, policy=policy or Policy())
    made = FailingStudy(PROBLEM, Artifact(parameters={"number": 0}), settings, (Numbers(),), score)
    made.run()
    return made


def number(artifact: Artifact) -> int:
    return int(artifact.parameters["number"])


def runs(made: MemoryStudy, member: str) -> list[int]:
    return [e.body.seed for e in made.events if isinstance(e.body, TrialStarted) and e.body.proposed == member]


def gauss(artifact: Artifact, seed: int) -> float:
    return random.Random(f"{number(artifact)} {seed}").gauss(0.0, 1.0)


def test_every_candidate_is_run_on_the_panel_in_its_order() -> None:
    made = study(gauss, trials=120)
    panel = [made.state.panel_seed(index) for index in range(32)]
    assert len(set(panel)) == 32
    for event in made.state.members:
        seeds = runs(made, event)
        assert seeds == panel[: len(seeds)]


def test_a_seed_on_which_the_incumbent_fails_is_left_out() -> None:
    seen: list[int] = []

    def score(artifact: Artifact, seed: int) -> float:
        if not number(artifact) and seed not in seen:
            seen.append(seed)
        if not number(artifact) and len(seen) > 5 and seed == seen[5]:
            return math.nan
        return gauss(artifact, seed) + (3.0 if number(artifact) == 20 else 0.0)

    made = study(score, trials=200)
    assert made.state.baseline is not None
    assert made.state.incumbent is not None
    counts = Counter(runs(made, made.state.baseline.event))
    assert set(counts.values()) == {1}
    assert number(made.artifact(made.state.incumbent.body.candidate)) == 20
    assert len(made.state.members) > 50


def test_an_incumbent_that_fails_on_all_further_seeds_costs_one_panel_only() -> None:
    baseline_runs: list[int] = []

    def score(artifact: Artifact, seed: int) -> float:
        if number(artifact):
            return gauss(artifact, seed) + 2.0
        baseline_runs.append(seed)
        return gauss(artifact, seed) if len(baseline_runs) <= 5 else math.nan

    made = study(score, trials=200)
    assert len(baseline_runs) == len(set(baseline_runs)) <= 32
    verdicts = [event.body for event in made.events if isinstance(event.body, VerdictReached)]
    assert len(verdicts) > 20
    assert all(verdict.figures["pairs"] <= 32 for verdict in verdicts)


def test_determinism_is_proved_by_fewer_repeats_from_promotion_to_promotion() -> None:
    made = study(lambda artifact, seed: float(number(artifact)), trials=60)
    promoted = [e for e, member in made.state.members.items() if member.verdict == "promoted"]
    lengths = [len(runs(made, event)) for event in promoted]
    assert lengths[:2] == [4, 3]
    assert set(lengths[2:]) == {2}


def test_declared_determinism_needs_no_repeat() -> None:
    made = study(lambda artifact, seed: float(number(artifact)), trials=20, policy=Policy(deterministic=True))
    assert {len(runs(made, event)) for event in made.state.members} == {1}
    assert len(made.state.members) == 20


def test_one_pair_at_most_still_proves_determinism_by_a_second_seed() -> None:
    made = study(lambda artifact, seed: float(number(artifact)), trials=21, policy=Policy(maximum_pairs=1))
    promoted = [e for e, member in made.state.members.items() if member.verdict == "promoted"]
    assert [len(runs(made, event)) for event in promoted] == [2] * 8
