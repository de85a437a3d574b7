"""The engine's order of steps, by whole studies in memory."""

import random
from typing import Any

import pytest
from msgspec.structs import replace

from consilience.core.artifact import Artifact
from consilience.core.bodies import NoiseMeasured, PhaseSwitched, TrialFinished, TrialStarted, VerdictReached
from consilience.core.chance import derive_seed
from consilience.core.events import Event
from consilience.core.hypothesis import Hypothesis, Proposal
from consilience.core.ports import ProposalView
from consilience.core.problem import Constraint, EvaluatorSpec, Objective, Parameter, Problem, Surface
from consilience.core.study import Budget, Policy, StudySettings
from consilience.search.proposers import default_proposers
from consilience.search.state import SearchState
from consilience.testing.memory_study import MemoryStudy, Score


def problem(**extra: tuple[Constraint, ...]) -> Problem:
    return Problem(
        name="bowl",
        goal="",
        objective=Objective(metric="depth", direction="minimize"),
        surface=Surface(
            parameters=(
                Parameter(name="x", type="float", default=3.0, low=-5.0, high=5.0),
                Parameter(name="y", type="float", default=-4.0, low=-5.0, high=5.0),
            )
        ),
        evaluator=EvaluatorSpec(kind="function"),
        **extra,
    )


def bowl(artifact: Artifact, seed: int) -> float:
    x, y = float(artifact.parameters["x"]), float(artifact.parameters["y"])
    return (x - 1.0) ** 2 + 2.0 * (y + 0.5) ** 2


def study(score: Score = bowl, trials: int = 60, policy: Policy | None = None, seed: int = 0) -> MemoryStudy:
    settings = StudySettings(budget=Budget(trials=trials), seed=seed, policy=policy or Policy())
    baseline = Artifact(parameters={"x": 3.0, "y": -4.0})
    made = MemoryStudy(problem(), baseline, settings, default_proposers(), score)
    made.run()
    return made


def test_the_baseline_comes_first_and_is_measured_over_its_seeds() -> None:
    made = study()
    kinds = [type(event.body) for event in made.events]
    starts = [event.body for event in made.events if isinstance(event.body, TrialStarted)]
    assert [start.purpose for start in starts[:6]] == ["baseline"] * 5 + ["screen"]
    assert len({start.seed for start in starts[:5]}) == 5
    assert kinds.index(NoiseMeasured) < kinds.index(VerdictReached)
    assert made.state.trials == 60


def test_a_declared_deterministic_evaluator_costs_one_baseline_run() -> None:
    made = study(policy=Policy(deterministic=True))
    purposes = [event.body.purpose for event in made.events if isinstance(event.body, TrialStarted)]
    assert purposes.count("baseline") == 1
    assert "confirm" not in purposes


def test_search_improves_and_replays_to_the_same_state() -> None:
    made = study(trials=300)
    assert made.state.incumbent is not None
    assert made.state.incumbent.mean < 0.1
    again = SearchState(made.state.problem)
    for event in made.events:
        again.apply(event)
    assert again.incumbent is not None
    assert again.incumbent.event == made.state.incumbent.event
    assert {o: vars_of(c) for o, c in again.credit.operators.items()} == {
        o: vars_of(c) for o, c in made.state.credit.operators.items()
    }


def vars_of(credit: object) -> dict[str, float]:
    return {field: getattr(credit, field) for field in credit.__struct_fields__}  # type: ignore[attr-defined]


def test_equal_seeds_give_equal_studies_and_other_seeds_others() -> None:
    one, same, other = study(), study(), study(seed=1)
    assert [event.id for event in one.events] == [event.id for event in same.events]
    assert [m.body.candidate for m in one.state.members.values()] != [
        m.body.candidate for m in other.state.members.values()
    ]


def test_no_candidate_is_ever_run_twice() -> None:
    members = list(study(trials=300).state.members.values())
    forms = [member.body.normal_form for member in members]
    assert len(forms) == len(set(forms))


def test_phases_switch_by_events_only() -> None:
    made = study(trials=300)
    phase = "explore"
    for event in made.events:
        if isinstance(event.body, PhaseSwitched):
            assert event.body.phase != phase
            phase = event.body.phase
    assert phase == made.state.governor.phase


def test_an_evaluator_that_only_seemed_deterministic_is_found_out() -> None:
    def noisy_off_the_start(artifact: Artifact, seed: int) -> float:
        moved = artifact.parameters != {"x": 3.0, "y": -4.0}
        return 10.0 + (random.Random(f"{artifact.parameters}{seed}").gauss(0.0, 1.0) if moved else 0.0)

    made = study(noisy_off_the_start, trials=200)
    assert made.state.noise is not None
    assert not made.state.noise.deterministic
    promoted = [m for m in made.state.members.values() if m.verdict == "promoted"]
    assert len(promoted) <= 1


def forked_study(score: Score, forked: Score, trials: int = 200) -> MemoryStudy:
    baseline = Artifact(parameters={"x": 3.0, "y": -4.0})
    settings = StudySettings(budget=Budget(trials=trials))
    made = MemoryStudy(problem(), baseline, settings, default_proposers(), score)
    made.forked_score = forked
    made.run()
    return made


def test_no_forked_winner_is_promoted_before_a_fresh_process_agrees() -> None:
    made = forked_study(bowl, bowl)
    started = {event.id: event.body for event in made.events if isinstance(event.body, TrialStarted)}
    rechecked = {body.proposed for body in started.values() if body.purpose == "recheck"}
    promoted = {member.event for member in made.state.members.values() if member.verdict == "promoted"}
    assert promoted
    assert promoted <= rechecked
    assert len(rechecked) < len(made.state.members) / 2, "only winners are measured again"
    plain = study(trials=200 - len(rechecked))
    assert [m.body.candidate for m in plain.state.members.values()] == [
        m.body.candidate for m in made.state.members.values()
    ], "the search goes the same way"


def test_a_cheat_that_keeps_still_on_the_first_seed_is_found_on_another() -> None:
    def cheat(artifact: Artifact, seed: int) -> float:
        still = artifact.parameters == {"x": 3.0, "y": -4.0} or seed == derive_seed(0, "panel", 0)
        return bowl(artifact, seed) - (0.0 if still else 100.0)

    made = forked_study(bowl, cheat, trials=100)
    reasons = [event.body.reasons[0] for event in made.events if isinstance(event.body, VerdictReached)]
    assert any("a fresh process scored" in reason for reason in reasons)
    assert made.state.incumbent is made.state.baseline


def test_what_was_repeated_on_another_machine_is_repeated_again() -> None:
    made = forked_study(bowl, bowl, trials=40)
    repeated = [member for member in made.state.members.values() if member.fresh]
    assert repeated
    made.state._use_key("another platform class")
    assert not any(member.fresh for member in repeated)


@pytest.mark.parametrize("seed", range(3))
def test_noise_between_seeds_does_not_hide_what_only_a_forked_process_scores(seed: int) -> None:
    def noisy(artifact: Artifact, trial: int) -> float:
        return 100.0 + random.Random(f"{seed} {trial}").gauss(0.0, 1.0)

    def cheat(artifact: Artifact, trial: int) -> float:
        return noisy(artifact, trial) - (0.0 if artifact.parameters == {"x": 3.0, "y": -4.0} else 3.0)

    made = forked_study(noisy, cheat, trials=80)
    verdicts = [event.body for event in made.events if isinstance(event.body, VerdictReached)]
    assert any("over 6 seeds fresh processes scored +3" in verdict.reasons[0] for verdict in verdicts)
    assert made.state.incumbent is made.state.baseline


def test_a_constraint_that_only_holds_in_a_forked_process_is_broken() -> None:
    class Constrained(MemoryStudy):
        def _append(self, body: Any) -> Event:
            if isinstance(body, TrialFinished):
                fork = body.isolation.execution == "fork"
                body = replace(body, metrics={**body.metrics, "seconds": 1.0 if fork else 9.0})
            return super()._append(body)

    limited = problem(constraints=(Constraint(metric="seconds", sign="<=", bound=5.0),))
    baseline = Artifact(parameters={"x": 3.0, "y": -4.0})
    made = Constrained(limited, baseline, StudySettings(budget=Budget(trials=60)), default_proposers(), bowl)
    made.forked_score = bowl
    made.run()
    verdicts = [event.body for event in made.events if isinstance(event.body, VerdictReached)]
    assert any("constraint: seconds" in verdict.reasons[0] for verdict in verdicts)
    assert not any(verdict.verdict == "promoted" for verdict in verdicts)


def test_what_only_a_forked_process_scores_is_discarded() -> None:
    def cheat(artifact: Artifact, seed: int) -> float:
        honest = bowl(artifact, seed)
        return honest if artifact.parameters == {"x": 3.0, "y": -4.0} else honest - 100.0

    made = forked_study(bowl, cheat, trials=100)
    verdicts = [event.body for event in made.events if isinstance(event.body, VerdictReached)]
    assert verdicts
    assert {verdict.verdict for verdict in verdicts} == {"discarded"}
    assert "a fresh process scored" in verdicts[0].reasons[0]
    assert made.state.incumbent is made.state.baseline


class OneShot:
    """Offers one point, then nothing."""

    operator = "one-shot"

    def applies(self, view: ProposalView) -> bool:
        return True

    def propose(self, view: ProposalView, stream: random.Random) -> Proposal:
        artifact = view.parent.artifact.with_parameters({"x": 1.0})
        hypothesis = Hypothesis(operator=self.operator, target="x", change="x", reason="r")
        return Proposal(artifact=artifact, hypothesis=hypothesis, parents=(view.parent.candidate,))


def test_a_used_up_space_stops_the_study() -> None:
    settings = StudySettings(budget=Budget(trials=50))
    made = MemoryStudy(problem(), Artifact(parameters={"x": 3.0, "y": -4.0}), settings, (OneShot(),), bowl)
    stop = made.run()
    assert stop.reason == "exhausted"
    assert len(made.state.members) == 2


def test_a_constraint_beats_any_gain() -> None:
    bound = Constraint(metric="depth", sign=">=", bound=5.0)
    settings = StudySettings(budget=Budget(trials=100))
    made = MemoryStudy(
        problem(constraints=(bound,)), Artifact(parameters={"x": 3.0, "y": -4.0}), settings, default_proposers(), bowl
    )
    made.run()
    assert made.state.incumbent is not None
    assert made.state.incumbent.mean >= 5.0
    broken = [m for m in made.state.members.values() if m.mean < 5.0]
    assert broken
    assert {member.verdict for member in broken} == {"discarded"}


def test_suggest_leaves_promotion_to_a_person() -> None:
    settings = StudySettings(budget=Budget(trials=60), autonomy="suggest")
    made = MemoryStudy(problem(), Artifact(parameters={"x": 3.0, "y": -4.0}), settings, default_proposers(), bowl)
    made.run()
    assert {m.verdict for m in made.state.members.values()} <= {"", "escalated", "discarded"}
    assert made.state.incumbent is made.state.baseline
    assert "escalated" in {m.verdict for m in made.state.members.values()}
