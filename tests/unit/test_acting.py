"""Who acts for whom: operators for their agents, agents only where every certificate up to the operator says so."""

from __future__ import annotations

import pytest

from consilience.core.bodies_identity import Capability, KeyRevoked
from consilience.core.events import Event
from consilience.identity.keys import Identity
from consilience.identity.proofs import StatementProofs
from consilience.identity.witness_keys import WitnessKey
from consilience.journal.acting import acts_for
from consilience.journal.views.keys import KeysView
from consilience.testing.key_events import KeyFeed, certificate, genesis

TOP, MIDDLE, LOW, OTHER = (Identity.generate() for _ in range(4))
EXCISE: tuple[Capability, ...] = ("run", "certify", "excise")


def fresh_keys() -> KeysView:
    return KeysView(StatementProofs())


def began(identity: Identity) -> tuple[KeyFeed, list[Event]]:
    feed = KeyFeed(identity.did)
    return feed, [feed.write(genesis(OTHER), identity)]


def certified(operator: Identity, *agents: tuple[Identity, tuple[Capability, ...]]) -> list[Event]:
    feed, events = began(operator)
    events += [feed.write(certificate(operator.did, agent, agent.did, may=may), operator) for agent, may in agents]
    return events


@pytest.mark.parametrize(
    ("of_middle", "of_low", "low_acts_for"),
    [
        (EXCISE, EXCISE, {TOP.did, MIDDLE.did}),
        (("run",), EXCISE, {MIDDLE.did}),
        (EXCISE, ("run",), set()),
    ],
    ids=["both", "not the middle one", "not the low one"],
)
def test_up_a_chain_every_certificate_must_say_so(
    of_middle: tuple[Capability, ...], of_low: tuple[Capability, ...], low_acts_for: set[str]
) -> None:
    events = [*certified(TOP, (MIDDLE, of_middle)), *certified(MIDDLE, (LOW, of_low))]
    found = acts_for(events, fresh_keys)
    assert found[TOP.did] == {MIDDLE.did, LOW.did}, "an operator, for all below it"
    assert found.get(LOW.did, frozenset()) == low_acts_for
    assert LOW.did in found[MIDDLE.did]


def test_two_operators_are_none_and_a_circle_ends() -> None:
    assert acts_for([*certified(TOP, (LOW, EXCISE)), *certified(MIDDLE, (LOW, EXCISE))], fresh_keys) == {}
    circle = acts_for([*certified(TOP, (MIDDLE, EXCISE)), *certified(MIDDLE, (TOP, EXCISE))], fresh_keys)
    assert circle == {TOP.did: {MIDDLE.did}, MIDDLE.did: {TOP.did}}


def test_who_was_revoked_still_was_its_operators() -> None:
    feed, events = began(TOP)
    events.append(feed.write(certificate(TOP.did, LOW, LOW.did, may=EXCISE), TOP))
    events.append(feed.write(KeyRevoked(key=LOW.did, reason="lost", closes={}), TOP))
    assert acts_for(events, fresh_keys) == {TOP.did: {LOW.did}, LOW.did: {TOP.did}}


def test_witness_keys_and_proofs_that_do_not_hold_make_no_agents() -> None:
    feed, events = began(TOP)
    witness = WitnessKey.generate()
    events.append(feed.write(certificate(TOP.did, witness, witness.did, "witness", ("witness",)), TOP))
    events.append(feed.write(certificate(MIDDLE.did, LOW, LOW.did, may=EXCISE), TOP))  # LOW's proof is to another
    assert acts_for(events, fresh_keys) == {}
    assert acts_for(certified(TOP, (LOW, EXCISE)), None) == {}, "without keys nothing is known"
