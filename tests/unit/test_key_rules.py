"""Which key may sign what: rotations, certificates, revocations and controllers, good ones and every bad one."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from consilience.core.bodies_identity import ControllerNamed, KeyRevoked
from consilience.core.events import Event, event_id
from consilience.identity.keyring import KeyRing, check_signature
from consilience.identity.keys import Identity
from consilience.identity.proofs import StatementProofs
from consilience.identity.statements import consent_statement, release_statement, rotation_statement
from consilience.identity.witness_keys import WitnessKey
from consilience.journal.feed import check_row, row_of
from consilience.journal.views.keys import KeysView
from consilience.testing.key_events import OTHER_HIVE, KeyFeed, certificate, genesis, rotation

FIRST, SECOND, THIRD, FOURTH, STRANGER = (Identity.generate() for _ in range(5))
A = FIRST.did
SOUL, STUDY, LATER = "a" * 32, "b" * 32, "c" * 32


class World:
    """An identity with a soul feed and a study feed, and a verifier that has seen what was written."""

    def __init__(self) -> None:
        self.keys = KeysView(StatementProofs())
        self.ring = KeyRing(self.keys)
        self.soul = KeyFeed(A, SOUL)
        self.study = KeyFeed(A, STUDY, OTHER_HIVE)
        self.root = self.soul.write(genesis(SECOND), FIRST)
        assert self.fault(self.root) == ""

    def fault(self, event: Event) -> str:
        return check_row(row_of(event), self.ring)

    def write(self, body: Any, key: Identity) -> str:
        return self.fault(self.soul.write(body, key))

    def rotate(self, **closes: int) -> Event:
        event = self.soul.write(rotation(self.root, SECOND, THIRD, closes), FIRST)
        assert self.fault(event) == ""
        return event


@pytest.fixture
def world() -> World:
    return World()


def test_keys_follow_one_another(world: World) -> None:
    assert world.fault(world.study.note(FIRST)) == ""
    rotated = world.rotate(**{SOUL: 0, STUDY: 0})
    assert world.fault(world.study.note(SECOND)) == ""
    again = world.soul.write(rotation(rotated, THIRD, FOURTH, {SOUL: 1, STUDY: 1}), SECOND)
    assert world.fault(again) == ""
    assert world.fault(world.study.note(THIRD)) == ""
    state = world.keys.state(A)
    assert [span.key for span in state.spans] == [FIRST.did, SECOND.did, THIRD.did]
    assert [span.event for span in state.spans] == [world.root.id, rotated.id, again.id]
    assert state.author == A
    assert not state.faults
    assert not state.quarantined


def test_the_header_names_the_key_in_force_and_the_author_stays(world: World) -> None:
    world.rotate()
    second = Identity(SECOND._key, A)
    event = world.study.note(second)
    assert event.fields.author == A == second.did
    assert world.fault(event) == ""
    assert world.keys.is_plain(STRANGER.did)
    assert not world.keys.is_plain(A)


@pytest.mark.parametrize(
    ("change", "signer", "reason"),
    [
        (lambda root: rotation(root, STRANGER, THIRD, {}), FIRST, "not the one that was promised"),
        (lambda root: replace(rotation(root, SECOND, THIRD, {}), proof=""), FIRST, "the proof is missing"),
        (lambda root: replace(rotation(root, SECOND, THIRD, {}), next_key="0" * 64), FIRST, "proof"),
        (lambda root: replace(rotation(root, SECOND, THIRD, {}), closes={STUDY: 9}), FIRST, "proof"),
        (lambda root: rotation(root, SECOND, THIRD, {}), STRANGER, "signed by the key that it follows"),
        (lambda root: rotation(root, SECOND, THIRD, {}), SECOND, "signed by the key that it follows"),
        (lambda root: replace(rotation(root, SECOND, THIRD, {}), previous="0" * 64), FIRST, "put no key"),
        (lambda root: replace(rotation(root, SECOND, THIRD, {}), key="did:key:zNone"), FIRST, "promised"),
    ],
    ids=["promise", "no proof", "next changed", "closes changed", "stranger", "itself", "previous", "no key"],
)
def test_a_bad_rotation_changes_nothing(world: World, change: Any, signer: Identity, reason: str) -> None:
    before = world.keys.state(A)
    assert reason in world.write(change(world.root), signer)
    assert world.keys.state(A) == before
    world.soul.back()
    world.rotate()


def test_a_proof_for_one_identity_is_none_for_another(world: World) -> None:
    theirs = Identity.generate()
    feed = KeyFeed(theirs.did)
    root = feed.write(genesis(SECOND), theirs)
    assert world.fault(root) == ""
    stolen = replace(rotation(world.root, SECOND, THIRD, {}), previous=root.id)
    assert "proof" in world.fault(feed.write(stolen, theirs))


def test_a_key_is_refused_before_its_rotation(world: World) -> None:
    early = world.study.note(SECOND)
    assert "has not named as a key" in world.fault(early)
    world.rotate()
    assert world.fault(early) == ""  # in a feed that the old key never wrote


def test_a_stranger_is_refused(world: World) -> None:
    assert "has not named" in world.fault(world.study.note(STRANGER))
    world.rotate()
    assert "has not named" in world.fault(world.study.note(STRANGER))


def test_a_retired_key_signs_what_its_rotation_closes_and_no_more(world: World) -> None:
    held = [world.study.note(FIRST) for _ in range(3)]
    world.rotate(**{SOUL: 0, STUDY: 1})
    assert [world.fault(event) for event in held[:2]] == ["", ""]
    assert "was retired before seq 2" in world.fault(held[2])
    assert "was retired before seq 0" in world.fault(KeyFeed(A, LATER, OTHER_HIVE).note(FIRST))


def test_a_new_key_does_not_sign_what_belongs_to_the_old_one(world: World) -> None:
    world.rotate(**{SOUL: 0, STUDY: 1})
    assert "belongs to an earlier one" in world.fault(world.study.note(SECOND))
    assert "belongs to an earlier one" in world.fault(world.study.note(SECOND))
    assert world.fault(world.study.note(SECOND)) == ""


def test_what_was_taken_in_too_early_is_void_whatever_order_it_came_in(world: World) -> None:
    good, bad = world.study.note(FIRST), world.study.note(FIRST)
    assert [world.fault(good), world.fault(bad)] == ["", ""]  # nobody knows of a rotation yet
    rotated = world.rotate(**{SOUL: 0, STUDY: 0})
    world.study.back()
    owners = world.study.note(SECOND)
    void = world.keys.void([bad, world.root, owners, good, rotated])
    assert set(void) == {bad.id}
    assert "retired" in void[bad.id]


def test_two_rotations_that_follow_one_event_are_proof_against_their_author(world: World) -> None:
    world.rotate(**{SOUL: 0})
    elsewhere = KeyFeed(A, LATER).write(rotation(world.root, SECOND, FOURTH, {}), FIRST)
    assert world.fault(elsewhere) == ""  # let in, although the feed is not closed: it is the proof
    assert world.keys.quarantined() == {A: "two rotations follow one event"}


def test_a_retired_key_cannot_begin_the_identity_again(world: World) -> None:
    world.rotate(**{SOUL: 0})
    feed = KeyFeed(A, LATER)
    begun = feed.write(genesis(STRANGER), FIRST)
    assert "retired" in world.fault(begun)
    assert "put no key" in world.fault(feed.write(rotation(begun, STRANGER, FOURTH, {}), FIRST))
    assert world.keys.state(A).key == SECOND.did


def test_who_stole_the_key_cannot_begin_again_with_a_promise_of_his_own(world: World) -> None:
    feed = KeyFeed(A, LATER)
    begun = feed.write(genesis(STRANGER), FIRST)
    assert "began already" in world.fault(begun)
    assert "put no key" in world.fault(feed.write(rotation(begun, STRANGER, FOURTH, {}), FIRST))
    assert world.fault(world.root) == ""  # the same one again is no second one
    assert not world.keys.quarantined()
    world.rotate(**{SOUL: 0})


def test_two_beginnings_in_one_journal_quarantine_the_identity(world: World) -> None:
    world.keys.apply(KeyFeed(A, LATER).write(genesis(FOURTH), FIRST))
    assert world.keys.quarantined() == {A: "the identity began twice"}


def test_without_a_genesis_nothing_is_said_of_keys() -> None:
    keys = KeysView(StatementProofs())
    ring = KeyRing(keys)
    feed = KeyFeed(A)
    root = feed.write(genesis(SECOND), FIRST)
    event = feed.write(rotation(root, SECOND, THIRD, {}), FIRST)
    assert "genesis is not in the journal" in check_row(row_of(event), ring)
    assert keys.is_plain(A)


def test_a_genesis_is_signed_by_the_first_key_in_its_own_hive() -> None:
    keys = KeysView(StatementProofs())
    ring = KeyRing(keys)
    assert "own hive" in check_row(row_of(KeyFeed(A, hive=OTHER_HIVE).write(genesis(SECOND), FIRST)), ring)
    assert "not named" in check_row(row_of(KeyFeed(A).write(genesis(SECOND), STRANGER)), ring)
    assert keys.state(A).genesis == ""


def test_keys_are_certified_with_their_own_proof(world: World) -> None:
    agent, witness = Identity.generate(), WitnessKey.generate()
    assert world.write(certificate(A, agent, agent.did), FIRST) == ""
    assert world.write(certificate(A, witness, witness.did, "witness", ("witness",)), FIRST) == ""
    assert world.keys.operator_of(agent.did) == A
    assert world.keys.operator_of(witness.did) == ""  # a witness key is nobody's agent
    assert [each.purpose for each in world.keys.state(A).certificates] == ["agent", "witness"]


def test_certificates_that_do_not_hold_are_refused() -> None:
    world = World()
    agent, witness = Identity.generate(), WitnessKey.generate()
    good = certificate(A, agent, agent.did)
    for bad, reason in [
        (replace(good, proof=""), "missing"),
        (replace(good, name="another"), "proof"),
        (replace(good, key=STRANGER.did), "proof"),
        (certificate(STRANGER.did, agent, agent.did), "proof"),
        (certificate(A, witness, witness.did, "agent"), "witness key is an Ed25519"),
        (certificate(A, agent, agent.did, "witness"), "witness key is an Ed25519"),
    ]:
        assert reason in world.write(bad, FIRST)
        world.soul.back()
    assert world.keys.certificates(agent.did) == {}


def test_nobody_gives_more_than_his_ceiling() -> None:
    keys = KeysView(StatementProofs())
    ring = KeyRing(keys)
    feed = KeyFeed(A)
    assert check_row(row_of(feed.write(genesis(SECOND, ("run",)), FIRST)), ring) == ""
    agent = Identity.generate()
    greedy = feed.write(certificate(A, agent, agent.did, may=("run", "spend")), FIRST)
    assert "allows spend, beyond the ceiling" in check_row(row_of(greedy), ring)


def test_a_key_with_two_operators_is_nobodys(world: World) -> None:
    agent, other = Identity.generate(), Identity.generate()
    feed = KeyFeed(other.did)
    assert world.fault(feed.write(genesis(SECOND), other)) == ""
    assert world.write(certificate(A, agent, agent.did), FIRST) == ""
    assert world.fault(feed.write(certificate(other.did, agent, agent.did), other)) == ""
    assert world.keys.operator_of(agent.did) == ""
    assert set(world.keys.certificates(agent.did)) == {A, other.did}


def test_a_revoked_agent_signs_nothing_more(world: World) -> None:
    agent = Identity.generate()
    assert world.write(certificate(A, agent, agent.did), FIRST) == ""
    feed = KeyFeed(agent.did, STUDY, OTHER_HIVE)
    events = [feed.note(agent) for _ in range(2)]
    assert world.write(KeyRevoked(key=agent.did, reason="lost", closes={STUDY: 0}), FIRST) == ""
    assert world.fault(events[0]) == ""
    assert f"revoked by {A}" in world.fault(events[1])
    assert world.keys.operator_of(agent.did) == A  # whose it was stays known


def test_only_its_operator_revokes_a_key(world: World) -> None:
    agent = Identity.generate()
    assert "never certified" in world.write(KeyRevoked(key=agent.did, reason="", closes={}), FIRST)
    assert world.fault(KeyFeed(agent.did, STUDY, OTHER_HIVE).note(agent)) == ""


def test_a_revoked_identity_signs_nothing_more(world: World) -> None:
    held = [world.study.note(FIRST) for _ in range(2)]
    assert world.write(KeyRevoked(key=A, reason="stolen", closes={SOUL: 0, STUDY: 0}), FIRST) == ""
    assert world.fault(held[0]) == ""
    assert "its author was revoked" in world.fault(held[1])
    agent = Identity.generate()
    assert "revoked" in world.write(certificate(A, agent, agent.did), FIRST)
    assert world.keys.state(A).revoked_event


def test_a_stranger_cannot_widen_a_revocation(world: World) -> None:
    held = world.study.note(FIRST)
    assert world.write(KeyRevoked(key=A, reason="", closes={STUDY: 0}), FIRST) == ""
    assert world.write(KeyRevoked(key=A, reason="", closes={}), STRANGER) != ""
    assert world.fault(held) == ""


def test_a_retired_key_cannot_revoke(world: World) -> None:
    world.rotate(**{SOUL: 0})
    assert "retired" in world.fault(KeyFeed(A, LATER).write(KeyRevoked(key=A, reason="", closes={}), FIRST))
    assert world.fault(world.study.note(SECOND)) == ""


def naming(old: Identity | None, new: Identity | None) -> ControllerNamed:
    successor = new.did if new else ""
    return ControllerNamed(
        controller=successor,
        consent=new.sign(consent_statement(A, successor)) if new else "",
        release=old.sign(release_statement(A, old.did, successor)) if old else "",
    )


def test_a_controller_consents_and_lets_go(world: World) -> None:
    cold, colder = Identity.generate(), Identity.generate()
    assert world.write(naming(None, cold), FIRST) == ""
    assert world.keys.state(A).controller == cold.did
    assert world.write(naming(cold, colder), FIRST) == ""
    assert world.keys.state(A).controller == colder.did
    assert world.write(naming(colder, None), FIRST) == ""
    assert world.keys.state(A).controller == ""


def test_who_stole_the_hot_key_does_not_get_the_stakes(world: World) -> None:
    cold, thief = Identity.generate(), Identity.generate()
    assert "proof" in world.write(replace(naming(None, cold), consent=""), FIRST)
    world.soul.back()
    assert world.write(naming(None, cold), FIRST) == ""
    for bad in (naming(None, thief), naming(thief, thief), naming(None, None), naming(thief, None)):
        assert world.write(bad, FIRST) != ""
        world.soul.back()
    taken = replace(naming(cold, None), controller=thief.did, consent=naming(None, thief).consent)
    assert "proof" in world.write(taken, FIRST)  # a release names the successor
    assert world.keys.state(A).controller == cold.did


def test_a_genesis_with_a_controller_needs_its_consent() -> None:
    cold = Identity.generate()
    for consent, good in ((cold.sign(consent_statement(A, cold.did)), True), ("", False)):
        keys = KeysView(StatementProofs())
        body = replace(genesis(SECOND), controller=cold.did, consent=consent)
        fault = check_row(row_of(KeyFeed(A).write(body, FIRST)), KeyRing(keys))
        assert (fault == "") is good
        assert keys.state(A).controller == (cold.did if good else "")


def test_the_fold_keeps_what_does_not_count_and_says_why(world: World) -> None:
    bad = world.soul.write(rotation(world.root, STRANGER, THIRD, {}), FIRST)
    world.keys.apply(bad)
    world.keys.apply(bad)
    assert "promised" in world.keys.state(A).faults[bad.id]
    assert world.keys.state(A).key == A
    assert world.keys.authors() == (A,)


def test_a_proof_never_passes_for_an_event(world: World) -> None:
    body = rotation(world.root, SECOND, THIRD, {})
    statement = rotation_statement(A, body)
    assert check_signature(statement, body.proof) == ""
    forged = replace(row_of(world.root), payload=statement, jws=body.proof, id=event_id(statement))
    assert "not an event" in check_row(forged, world.ring)
    assert "proof" in world.write(replace(body, proof=world.root.jws), FIRST)
