"""Excision: taking it back is the identity, it equals never having had the result, and order plays no part."""

import random
from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs
from msgspec.structs import replace
from number_studies import PROBLEM, more, plain, study, with_a_cheat

from consilience.core.bodies import CandidateProposed, NoiseMeasured, TrialFinished, VerdictReached
from consilience.core.bodies_identity import BeliefHeld
from consilience.core.events import Event
from consilience.journal.excision import descendants, excision_digest, excisions_of, results_below
from consilience.journal.journal import fold
from consilience.journal.kinds import BY_NAME
from consilience.journal.order import canonical_order
from consilience.journal.standing import fold_standing
from consilience.journal.views.beliefs import BeliefsView
from consilience.journal.views.budget import BudgetView
from consilience.journal.views.leaderboard import LeaderboardView
from consilience.journal.views.lineage import LineageView
from consilience.journal.views.run_state import RunStateView
from consilience.journal.views.trials import TrialsView
from consilience.search.state import SearchState
from consilience.testing.memory_study import MemoryStudy

RESULTS = st.sampled_from((CandidateProposed, TrialFinished, NoiseMeasured, VerdictReached))


def fold_all(events: Sequence[Event]) -> list[Any]:
    views: list[Any] = [
        TrialsView(), LeaderboardView(PROBLEM.objective), LineageView(), BudgetView(), RunStateView(),
        SearchState(PROBLEM),
    ]  # fmt: skip
    fold_standing(views, events, excisions_of(events))
    return views


def ranking(events: Sequence[Event]) -> list[tuple[Any, ...]]:
    rows = fold_all(events)[1].rows("")
    return [(row.candidate, row.mean, row.bound, row.runs, row.failures, row.verdict) for row in rows]


def standing(state: SearchState) -> dict[str, Any]:
    """Return what of the search rests on results alone."""
    members = [m for m in state.members.values() if not m.excised]
    return {
        "members": [(m.event, m.scores, m.verdict, m.evidence, m.failure) for m in members],
        "pool": [member.event for member in state.pool],
        "incumbent": state.incumbent.event if state.incumbent else None,
        "noise": state.noise,
        "credit": structs.astuple(state.credit.of("next-number")),
        "open": sorted(state.open),
    }


def targets(made: MemoryStudy, body: type[Any], draw: random.Random) -> str:
    return draw.choice([event.id for event in made.events if isinstance(event.body, body)])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 500), body=RESULTS, pick=st.randoms(use_true_random=False))
def test_excised_and_taken_back_is_the_identity_on_every_view(seed: int, body: type[Any], pick: random.Random) -> None:
    made = study(seed)
    before = plain(fold_all(made.events))
    digest = excision_digest(excisions_of(made.events))
    excision = made.excise(targets(made, body, pick))
    assert plain(fold_all(made.events)) != before
    assert excision_digest(excisions_of(made.events)) != digest
    made.take_back(excision.id)
    assert plain(fold_all(made.events)) == before
    assert excision_digest(excisions_of(made.events)) == digest == ""
    assert plain(made.state) == before[-1]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 500), pick=st.randoms(use_true_random=False))
def test_a_belief_falls_with_its_evidence_and_comes_back(seed: int, pick: random.Random) -> None:
    made = study(seed, trials=20)
    evidence = targets(made, TrialFinished, pick)
    made._append(BeliefHeld(type="forked-trials-repeat", subject="s", supports=(evidence,), contradicts=()))

    def beliefs() -> BeliefsView:
        view = BeliefsView()
        fold_standing([view], made.events, excisions_of(made.events))
        return view

    (before,) = beliefs().rows("nobody")
    excision = made.excise(evidence)
    assert beliefs().rows("nobody") == []
    made.take_back(excision.id)
    assert plain(beliefs()) == plain(fold(BeliefsView(), made.events)), "as if the two events were any others"
    (after,) = beliefs().rows("nobody")
    assert after.age == before.age + 2, "evidence fades with every event of the hive"
    assert (after.supports, after.events) == (before.supports, before.events)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 500), body=RESULTS, pick=st.randoms(use_true_random=False))
def test_excised_is_as_if_it_and_its_descendants_had_never_been(
    seed: int, body: type[Any], pick: random.Random
) -> None:
    made = study(seed)
    target = targets(made, body, pick)
    gone = set(descendants(results_below(made.events), target))
    without = [event for event in made.events if event.id not in gone]
    spent = made.state.budget.spent
    trials, members, forms = made.state.trials, len(made.state.members), set(made.state.forms)
    made.excise(target)
    assert set(excisions_of(made.events).withdrawn) == gone
    assert ranking(made.events) == ranking(without)
    assert standing(made.state) == standing(fold_all(without)[-1])
    state = made.state
    assert (state.budget.spent, state.trials, len(state.members), set(state.forms)) == (spent, trials, members, forms)
    assert not state.in_flight


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 500), body=RESULTS, pick=st.randoms(use_true_random=False))
def test_the_study_goes_on_and_repeats_nothing(seed: int, body: type[Any], pick: random.Random) -> None:
    made = study(seed)
    tried = {member.body.normal_form for member in made.state.members.values()}
    before = len(made.events)
    made.excise(targets(made, body, pick))
    more(made, 90)
    assert made.run().reason in {"budget", "exhausted"}
    excisions = excisions_of(made.events)
    later = [event for event in made.events[before:] if isinstance(event.body, CandidateProposed)]
    assert not {event.body.normal_form for event in later if event.body.parents} & tried
    assert all(name in {e.id for e in made.events[:before]} for name in excisions.withdrawn)
    state = made.state
    assert state.incumbent is not None
    assert not state.incumbent.excised
    assert state.noise is not None
    assert not any(member.excised for member in state.pool)
    numbers = [event.body.number for event in made.events if event.fields.kind == "trial.started"]
    assert numbers == list(range(len(numbers)))
    assert plain(fold_all(made.events)[-1]) == plain(made.state)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 200), body=RESULTS, shuffle=st.randoms(use_true_random=False))
def test_arrival_order_plays_no_part(seed: int, body: type[Any], shuffle: random.Random) -> None:
    made = study(seed)
    made.excise(targets(made, body, shuffle))
    arrived = list(made.events)
    shuffle.shuffle(arrived)
    assert plain(fold_all(canonical_order(arrived))) == plain(fold_all(canonical_order(made.events)))
    below = results_below(arrived)  # no order at all, not even the canonical one
    for excision in excisions_of(made.events).in_force:
        assert set(descendants(below, excision.target)) == set(excisions_of(made.events).withdrawn)


def test_only_what_rests_on_results_is_withdrawn() -> None:
    made = study(3)
    made.excise(made.state.baseline.event if made.state.baseline else "")
    withdrawn = excisions_of(made.events).withdrawn
    kinds = {event.fields.kind for event in made.events if event.id in withdrawn}
    assert kinds == {"candidate.proposed", "trial.started", "trial.finished", "noise.measured", "verdict.reached"}
    assert all(BY_NAME[kind].result for kind in kinds)
    assert made.state.baseline is None


def test_an_excision_of_an_excision_or_a_setting_has_no_effect() -> None:
    made = study(4)
    first = made.excise(targets(made, VerdictReached, random.Random(1)))
    configured = next(event for event in made.events if event.fields.kind == "study.configured")
    for target in (first.id, configured.id, "0" * 64):
        made.excise(target)
    found = excisions_of(made.events)
    assert [excision.refused for excision in found.stated] == [
        "",
        "result.excised is no result, and only results can be excised",
        "study.configured is no result, and only results can be excised",
        "its target is not here",
    ]
    assert [excision.event for excision in found.in_force] == [first.id]


def test_a_rerun_of_an_excised_candidate_is_paid_for_and_counts_for_nothing() -> None:
    made = study(5)
    trial = next(event for event in made.events if event.fields.kind == "trial.started" and event.body.number == 10)
    made.excise(trial.body.proposed)
    again = made._append(replace(trial.body, number=made.state.trials, purpose="rerun"))
    assert again.id in made.state.in_flight
    assert made.state.budget.reserved
    finished = next(event for event in made.events if getattr(event.body, "started", "") == trial.id)
    made._append(replace(finished.body, started=again.id))
    assert not made.state.in_flight
    assert not made.state.budget.reserved
    assert {again.id, made.events[-1].id} <= excisions_of(made.events).withdrawn.keys()


def test_what_came_back_is_the_incumbent_again_where_it_is_better() -> None:
    """Work between an excision and its taking back promotes others; the better of the two heads wins."""
    made = study(11, trials=60)
    best = made.state.incumbent
    assert best is not None
    assert len(made.state.promoted) > 1, "a study with a story"
    mean = best.mean
    excision = made.excise(made.state.promoted[0].event)
    more(made, 90)
    made.run()
    assert made.state.incumbent is not None
    assert made.state.incumbent.event != best.event
    between = made.state.incumbent.mean
    made.take_back(excision.id)
    assert made.state.incumbent is not None
    assert made.state.incumbent.mean == max(mean, between)


def test_a_candidate_that_lost_to_a_cheat_is_judged_again() -> None:
    made = study(11, trials=60, score=with_a_cheat)
    lost = [e for e in made.events if isinstance(e.body, VerdictReached) and e.body.verdict == "discarded"]
    cheat = next(member for member in made.state.promoted if member.mean > 40.0)
    made.excise(cheat.event)
    withdrawn = excisions_of(made.events).withdrawn
    again = [e.body.candidate for e in lost if e.id in withdrawn and e.body.candidate not in withdrawn]
    assert again, "somebody lost to it"
    assert set(again) <= set(made.state.open), "those that lost to it, and what beat only it"
    more(made, 200)
    made.run()
    judged = {
        e.body.candidate for e in made.events[-400:] if isinstance(e.body, VerdictReached) and e.id not in withdrawn
    }
    assert set(again) <= judged
    assert not made.state.open
