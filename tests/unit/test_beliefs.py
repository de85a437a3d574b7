"""Beliefs: evidence makes them, age fades it, and one decision hangs on each."""

import pytest
from msgspec.structs import replace

from consilience.core.artifact import Artifact
from consilience.core.bodies import NoiseMeasured, PhaseSwitched, VerdictReached
from consilience.core.bodies_identity import BeliefHeld
from consilience.core.bodies_journal import ExcisionWithdrawn, ResultExcised
from consilience.core.events import Event, payload_bytes
from consilience.core.problem import EvaluatorSpec, FileDigest, Objective, Parameter, Problem, Surface, evaluator_digest
from consilience.core.study import Budget, ExecutionPolicy, StudySettings
from consilience.journal.excision import excisions_of
from consilience.journal.feed import FeedHead, advance, next_payload, read_event
from consilience.journal.reader import fold
from consilience.journal.views.beliefs import HALF_LIFE_EVENTS, BeliefRow, BeliefsView, strength
from consilience.node.beliefs import DOUBT_BELOW, REPEATS, choose_execution, new_belief
from consilience.search.proposers import default_proposers
from consilience.testing.memory_study import MemoryStudy, Score

PROBLEM = Problem(
    name="bowl",
    goal="",
    objective=Objective(metric="depth", direction="minimize"),
    surface=Surface(
        parameters=tuple(Parameter(name=name, type="float", default=3.0, low=-5.0, high=5.0) for name in ("x", "y"))
    ),
    evaluator=EvaluatorSpec(kind="function", entry="evaluator.py"),
)
ME, HIVE = "did:me", "h"


def bowl(artifact: Artifact, seed: int) -> float:
    x, y = (float(artifact.parameters[name]) for name in ("x", "y"))
    return (x - 1.0) ** 2 + 2.0 * (y + 0.5) ** 2


def study(forked: Score, trials: int = 80) -> MemoryStudy:
    settings = StudySettings(budget=Budget(trials=trials))
    start = Artifact(parameters={"x": 3.0, "y": -4.0})
    made = MemoryStudy(PROBLEM, start, settings, default_proposers(), bowl)
    made.forked_score = forked
    made.run()
    return made


def drawn(made: MemoryStudy) -> BeliefHeld | None:
    return new_belief(PROBLEM, fold(BeliefsView(), made.events), "nobody")


class Feed:
    """One author's feed in a hive, of whatever bodies."""

    def __init__(self) -> None:
        self._head = FeedHead(hive=HIVE, author=ME, feed="f")
        self.events: list[Event] = []

    def add(self, body: object) -> Event:
        event = read_event(payload_bytes(next_payload(self._head, body, at=0)), "")
        self._head = advance(self._head, event)
        self.events.append(event)
        return event

    def idle(self, count: int = 1) -> Event:
        for _ in range(count):
            last = self.add(PhaseSwitched(phase="explore", figures={}, reason=""))
        return last

    def belief(self) -> BeliefRow:
        found = fold(BeliefsView(), excisions_of(self.events).without(self.events)).find(ME, REPEATS, "s")
        assert found is not None
        return found


def held(*, supports: tuple[str, ...] = (), contradicts: tuple[str, ...] = ()) -> BeliefHeld:
    return BeliefHeld(type=REPEATS, subject="s", supports=supports, contradicts=contradicts)


def test_winners_that_repeat_are_evidence_for_each_once() -> None:
    made = study(bowl)
    body = drawn(made)
    assert body is not None
    promoted = [m for m in made.state.members.values() if m.verdict == "promoted"]
    assert len(body.supports) == len(promoted) > 0
    assert body.contradicts == ()
    assert body.subject == evaluator_digest(PROBLEM)
    made._append(body)
    assert drawn(made) is None, "what is held already is no news"
    assert new_belief(PROBLEM, fold(BeliefsView(), made.events), "somebody else") is None


def _holding(body: BeliefHeld) -> list[Event]:
    feed = Feed()
    feed.add(body)
    return feed.events


def test_winners_that_only_a_forked_process_scores_are_evidence_against() -> None:
    made = study(lambda artifact, seed: bowl(artifact, seed) - (float(artifact.parameters["x"]) - 3.0) ** 2)
    body = drawn(made)
    assert body is not None
    faults = [m.event for m in made.state.members.values() if m.recheck_fault]
    judged = {e.id: e.body.candidate for e in made.events if isinstance(e.body, VerdictReached)}
    assert [judged[name] for name in body.contradicts] == faults
    assert len(faults) > 1
    row = fold(BeliefsView(), _holding(body)).rows(ME)[0]
    assert row.strength < DOUBT_BELOW
    choice = choose_execution("auto", row)
    assert choice.execution == "fresh"
    assert f"{len(faults)} of {len(faults) + len(body.supports)} winners" in choice.reason
    assert f"{row.strength:.2f}" in choice.reason


def test_without_rechecks_there_is_nothing_to_believe() -> None:
    settings = StudySettings(budget=Budget(trials=40))
    made = MemoryStudy(PROBLEM, Artifact(parameters={"x": 3.0, "y": -4.0}), settings, default_proposers(), bowl)
    made.run()
    assert any(m.verdict == "promoted" for m in made.state.members.values())
    assert drawn(made) is None


def test_one_candidate_alone_overturns_nothing_and_two_do() -> None:
    assert strength(0, 0) == pytest.approx(0.8)
    assert strength(0, 1) > DOUBT_BELOW > strength(0, 2)
    assert strength(2, 3) >= DOUBT_BELOW > strength(2, 4)


@pytest.mark.parametrize("execution", ["fork", "fresh"])
def test_what_the_policy_says_outright_is_done(execution: ExecutionPolicy) -> None:
    feed = Feed()
    feed.add(held(contradicts=tuple("abcdefgh")))
    assert choose_execution(execution, feed.belief()).execution == execution
    assert choose_execution("auto", feed.belief()).execution == "fresh"
    assert choose_execution("auto", None).execution == "auto"


def test_evidence_counts_once_and_on_both_sides_against() -> None:
    feed = Feed()
    feed.add(held(supports=("a", "b"), contradicts=("c",)))
    once = feed.belief()
    feed.add(held(supports=("a", "c")))
    again = feed.belief()
    assert (again.supports, again.contradicts) == (once.supports, once.contradicts) == (("a", "b"), ("c",))
    assert len(again.events) == 2


def test_evidence_halves_with_the_events_of_its_hive_and_doubt_passes() -> None:
    feed = Feed()
    feed.add(held(contradicts=("a", "b")))
    assert choose_execution("auto", feed.belief()).execution == "fresh"
    feed.idle(HALF_LIFE_EVENTS)
    row = feed.belief()
    assert row.age == HALF_LIFE_EVENTS
    assert row.weight_against == pytest.approx(1.0)
    assert row.strength == pytest.approx(strength(0.0, 1.0))
    assert choose_execution("auto", row).execution == "auto", "it is tried again"


def test_a_belief_falls_with_the_evidence_it_rests_on_and_rises_with_it() -> None:
    feed = Feed()
    noise = NoiseMeasured(mean=0.0, deviation=0.0, degrees=1, deterministic=True, trials=())
    evidence = [feed.add(noise), feed.add(noise)]
    feed.add(held(contradicts=tuple(event.id for event in evidence)))
    assert choose_execution("auto", feed.belief()).execution == "fresh"
    excision = feed.add(ResultExcised(target=evidence[0].id, reason="the machine was broken"))
    assert fold(BeliefsView(), excisions_of(feed.events).without(feed.events)).rows(ME) == []
    feed.add(ExcisionWithdrawn(excision=excision.id, reason="it was not"))
    assert choose_execution("auto", feed.belief()).execution == "fresh"


def test_what_else_a_fallen_belief_rested_on_is_pending_again() -> None:
    made = study(bowl)
    body = drawn(made)
    assert body is not None
    assert len(body.supports) > 1
    made._append(body)
    made._append(ResultExcised(target=body.supports[0], reason="the machine was broken"))
    again = new_belief(PROBLEM, fold(BeliefsView(), excisions_of(made.events).without(made.events)), "nobody")
    assert again is not None
    assert again.supports == body.supports[1:]


def test_another_evaluator_is_another_subject() -> None:
    changed = replace(PROBLEM.evaluator, files=(FileDigest(path="evaluator.py", sha256="0" * 64),))
    assert evaluator_digest(PROBLEM) != evaluator_digest(replace(PROBLEM, evaluator=changed))
    assert evaluator_digest(PROBLEM) == evaluator_digest(replace(PROBLEM, name="other", goal="other"))
