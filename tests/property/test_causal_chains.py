"""The causal chain leaves out nothing that a number rests on, and takes in nothing that was built on it."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from number_studies import study, with_a_cheat

from consilience.core.bodies import CandidateProposed, NoiseMeasured, TrialStarted, VerdictReached
from consilience.journal.causes import causal_chain
from consilience.journal.kinds import BY_NAME, references


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 300), pick=st.randoms(use_true_random=False))
def test_a_chain_is_closed_and_in_order(seed: int, pick: random.Random) -> None:
    made = study(seed, score=with_a_cheat)
    target = pick.choice(made.events)
    chain = causal_chain(made.events, [target.id])
    ids = [event.id for event in chain]
    assert ids == [event.id for event in made.events if event.id in set(ids)]
    for event in chain:
        kind = BY_NAME[event.fields.kind]
        assert set(references(event.body, (*kind.rests_on, *kind.mentions))) <= set(ids)
    assert causal_chain(made.events, [target.id, "unknown", target.id]) == chain


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 300))
def test_the_chain_of_the_best_has_its_whole_history_and_no_more(seed: int) -> None:
    made = study(seed)
    best = made.state.incumbent
    assert best is not None
    chain = {event.id: event for event in causal_chain(made.events, [best.event])}
    told = [event.body for event in chain.values()]
    assert sum(isinstance(body, NoiseMeasured) for body in told) == 1
    line = [best.event]
    while parents := made.state.members[line[-1]].body.parents:
        line.append(parents[0])
    for name in line:
        mine = [e.id for e in made.events if isinstance(e.body, TrialStarted) and e.body.proposed == name]
        assert {name, *mine, *made.state.members[name].evidence} <= chain.keys()
    judged = {body.candidate for body in told if isinstance(body, VerdictReached)}
    candidates = {name for name, event in chain.items() if isinstance(event.body, CandidateProposed)}
    assert judged <= candidates, "a verdict is told with its candidate, never only because somebody else was in it"
    rivals = {event.body.incumbent for event in chain.values() if isinstance(event.body, VerdictReached)}
    assert candidates <= rivals | judged | {made.state.members[line[-1]].event}


def test_an_excision_is_part_of_the_story() -> None:
    made = study(2)
    target = made.state.promoted[0].event
    excision = made.excise(target)
    back = made.take_back(excision.id)
    chain = {event.id for event in causal_chain(made.events, [target])}
    assert {excision.id, back.id} <= chain
