"""Re-runs and holdout trials, whatever they score, leave every decision as it was; only what they spend counts."""

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from msgspec.structs import replace
from number_studies import PROBLEM, Numbers

from consilience.core.artifact import Artifact
from consilience.core.bodies import TrialFinished, TrialPurpose
from consilience.core.events import Event
from consilience.core.outcome import Failure
from consilience.core.study import Budget, Policy, Spend, StudySettings
from consilience.journal.views.budget import BudgetView
from consilience.journal.views.leaderboard import LeaderboardView
from consilience.search.state import SearchState
from consilience.testing.memory_study import MemoryStudy


class Repeating(MemoryStudy):
    """After some outcomes, the same trial again as a re-run or holdout trial, with another score or a failure."""

    def __init__(self, chance: float, *arguments: Any) -> None:
        self.extra = 0
        self._again = random.Random(7)
        self._chance = chance
        super().__init__(*arguments)

    def _append(self, body: Any) -> Event:
        event = super()._append(body)
        if isinstance(body, TrialFinished) and self._again.random() < self._chance:
            self._repeat(body)
        return event

    def _repeat(self, body: TrialFinished) -> None:
        started = self.state.started.get(body.started)
        if started is None:
            return
        purpose: TrialPurpose = self._again.choice(("rerun", "holdout"))
        free = replace(started, number=self.state.trials, purpose=purpose, reserved=Spend())  # both studies end alike
        again = super()._append(free)
        failure = Failure(reason="crash", message="fell over") if self._again.random() < 0.3 else None
        metrics = {} if failure else {"score": self._again.uniform(-100.0, 100.0)}
        super()._append(replace(body, started=again.id, metrics=metrics, failure=failure, spent=Spend()))
        self.extra += 1


def gauss(artifact: Artifact, seed: int) -> float:
    number = int(artifact.parameters["number"])
    return random.Random(f"{number}").gauss(0.0, 2.0) + random.Random(f"{number} {seed}").gauss(0.0, 0.5)


def dump(state: SearchState) -> dict[str, object]:
    """Return all that decisions rest on, by candidates' numbers instead of event ids."""
    members = {member.event: member for member in state.members.values()}
    return {
        "members": [(m.body.candidate, m.scores, m.verdict, len(m.evidence), m.failure) for m in members.values()],
        "pool": [member.number for member in state.pool],
        "incumbent": state.incumbent.number if state.incumbent else None,
        "noise": state.noise,
        "tried": state.tried,
        "contests": state.contests,
        "credit": structs.astuple(state.credit.of("next-number")),
        "phase": state.governor.phase,
    }


@settings(max_examples=12, deadline=None)
@given(st.sampled_from([0.1, 0.5, 1.0]), st.integers(0, 1000))
def test_a_study_with_repeats_is_the_study_without(chance: float, seed: int) -> None:
    configured = StudySettings(budget=Budget(trials=50), seed=seed, policy=Policy(maximum_pairs=8))
    baseline = Artifact(parameters={"number": 0})
    plain, repeated = (
        Repeating(share, PROBLEM, baseline, configured, (Numbers(10**6),), gauss) for share in (0.0, chance)
    )
    plain.run()
    repeated.run()
    assert plain.extra == 0
    assert dump(plain.state) == dump(repeated.state)
    assert repeated.state.trials == plain.state.trials + repeated.extra
    assert not repeated.state.in_flight
    assert ranking(plain) == ranking(repeated)


def test_what_a_rerun_reserves_and_spends_counts() -> None:
    configured = StudySettings(budget=Budget(trials=50), policy=Policy(maximum_pairs=8))
    made = MemoryStudy(PROBLEM, Artifact(parameters={"number": 0}), configured, (Numbers(10**6),), gauss)
    made.run()
    view = BudgetView()
    for event in made.events:
        view.apply(event)
    finished = next(event for event in made.events if isinstance(event.body, TrialFinished))
    started = next(event for event in made.events if event.id == finished.body.started)
    view.apply(replace(started, id="again", body=replace(started.body, purpose="rerun", reserved=Spend(trials=1))))
    assert view.remaining("trials") == -1
    view.apply(replace(finished, id="ended", body=replace(finished.body, started="again", spent=Spend(trials=1))))
    assert (view.remaining("trials"), view.reserved) == (-1, {})


def ranking(made: MemoryStudy) -> list[tuple[str, float, int, int]]:
    board = LeaderboardView(PROBLEM.objective)
    for event in made.events:
        board.apply(event)
    return [(row.candidate, row.mean, row.runs, row.failures) for row in board.rows("")]
