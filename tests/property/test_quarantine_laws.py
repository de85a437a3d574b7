"""No candidate with a score beyond the bound is ever promoted, credited, built on or ranked, whatever its scores."""

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from number_studies import Numbers

from consilience.core.artifact import Artifact
from consilience.core.bodies import CandidateProposed, StudyConfigured, VerdictReached
from consilience.core.events import Event
from consilience.core.plausibility import TOLERANCE, is_beyond
from consilience.core.problem import Direction, EvaluatorSpec, Objective, Parameter, Problem, Surface
from consilience.core.study import Budget, Policy, StudySettings
from consilience.journal.views.leaderboard import LeaderboardView
from consilience.testing.memory_study import MemoryStudy


def problem(direction: Direction) -> Problem:
    return Problem(
        name="bounded",
        goal="",
        objective=Objective(metric="score", direction=direction),
        surface=Surface(parameters=(Parameter(name="number", type="integer", default=0, low=0, high=10**6),)),
        evaluator=EvaluatorSpec(kind="function"),
    )


class Watched(MemoryStudy):
    """Checks the law after each event."""

    def _append(self, body: Any) -> Event:
        state = self.state
        if isinstance(body, CandidateProposed):
            parents = [state.members[parent] for parent in body.parents]
            assert not any(map(state.implausibility, parents)), "built on a candidate in quarantine"
        if isinstance(body, VerdictReached) and body.verdict in {"promoted", "escalated"}:
            assert not state.implausibility(state.members[body.candidate]), "promoted from quarantine"
        if isinstance(body, VerdictReached) and body.verdict == "implausible":
            gains = state.credit.earning("next-number").gain_mean
            event = super()._append(body)
            assert state.credit.earning("next-number").gain_mean == gains
        else:
            event = super()._append(body)
        assert not any(map(state.implausibility, state.pool))
        if state.incumbent is not None and state.incumbent is not state.baseline:
            assert not state.implausibility(state.incumbent)
        return event

    def configure(self, bound: float | None) -> None:
        """Let another bound take effect in the middle of the study."""
        policy = Policy(bound=bound, maximum_pairs=8)
        self._append(StudyConfigured(version=2, settings=StudySettings(budget=Budget(trials=160), policy=policy)))


def scores(cheats: float, sign: float, noise: float, sometimes: float) -> Any:
    """Honest scores lie within 1 of the bound's good side; a share of candidates jumps beyond it, on some seeds."""

    def score(artifact: Artifact, seed: int) -> float:
        number = artifact.parameters["number"]
        candidate, run = random.Random(f"{number}"), random.Random(f"{number} {seed}")
        honest = -2.0 if number == 0 else -candidate.uniform(0.5, 2.0)
        honest = min(honest + run.uniform(-noise, noise), -0.1)
        is_cheat = number != 0 and candidate.random() < cheats and run.random() < sometimes
        return 10.0 + sign * (5.0 if is_cheat else honest)

    return score


@settings(max_examples=30, deadline=None)
@given(
    direction=st.sampled_from(["maximize", "minimize"]),
    cheats=st.sampled_from([0.0, 0.3, 0.9]),
    noise=st.sampled_from([0.0, 0.2]),
    sometimes=st.sampled_from([1.0, 0.3]),
    late=st.booleans(),
)
def test_nothing_implausible_is_promoted_or_built_on(
    direction: Direction, cheats: float, noise: float, sometimes: float, late: bool
) -> None:
    sign = 1.0 if direction == "maximize" else -1.0
    first = None if late else 10.0
    policy = Policy(bound=first, maximum_pairs=8)
    started = StudySettings(budget=Budget(trials=80), policy=policy)
    made = Watched(
        problem(direction),
        Artifact(parameters={"number": 0}),
        started,
        (Numbers(10**6),),
        scores(cheats, sign, noise, sometimes),
    )
    made.run()
    made.configure(10.0)
    made.run()
    board = LeaderboardView(made.state.problem.objective)
    for event in made.events:
        board.apply(event)
    apart = board.quarantined("")
    assert {row.candidate for row in board.rows("")} & {row.candidate for row in apart} == set()
    assert all(row.mean * sign <= 10.0 * sign for row in board.rows(""))
    if cheats and not late:
        assert {row.verdict for row in apart} <= {"implausible", "open"}
    if cheats == 0.9 and sometimes == 1.0 and not late:
        assert apart


@given(st.floats(-1e12, 1e12), st.floats(0.0, 1.0), st.sampled_from(["maximize", "minimize"]))
def test_rounding_at_the_bound_is_plausible_and_more_is_not(bound: float, share: float, direction: Direction) -> None:
    objective = Objective(metric="score", direction=direction)
    sign = 1.0 if direction == "maximize" else -1.0
    room = TOLERANCE * abs(bound)
    assert not is_beyond(objective, bound + sign * share * room * 0.99, bound)
    assert not is_beyond(objective, bound - sign * share * 1e6, bound)
    assert is_beyond(objective, bound + sign * (2.0 * room + 1e-3), bound)
    assert not is_beyond(objective, bound + sign, None)
