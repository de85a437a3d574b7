"""Two nodes with each other's events draw the same conclusion: excision without authority has no effect on either."""

from pathlib import Path

import pytest

from consilience.core.bodies import CandidateProposed, HiveFounded
from consilience.core.bodies_journal import ExcisionWithdrawn, ResultExcised
from consilience.core.canonical import sha256_hex
from consilience.core.events import Event
from consilience.core.study import Policy
from consilience.identity.keys import EnvelopeVerifier, Identity
from consilience.journal.excision import Excisions, excision_digest, excisions_of
from consilience.journal.intake import Blob
from consilience.journal.journal import Journal
from consilience.testing.candidates import plain_candidate
from consilience.testing.clocks import ManualClock

HIVE = "0" * 32
ARTIFACTS = {sha256_hex(name): Blob(data=name) for name in (b"mine", b"theirs", b"child")}


def candidate(name: str, *parents: str) -> CandidateProposed:
    return plain_candidate(sha256_hex(name.encode()), *parents, normal_form=name)


class Node:
    """One identity with a journal of its own."""

    def __init__(self, folder: Path) -> None:
        self.identity = Identity.generate()
        self.journal = Journal.create(folder / "state", self.identity, ManualClock())
        self._marks = folder / "marks"

    def enter(self) -> None:
        self.journal.enter(HIVE, self._marks)

    def write(self, body: object) -> Event:
        event = self.journal.append(body)
        self.journal.commit()
        return event

    def take_from(self, other: "Node") -> None:
        self.journal.take(list(other.journal.store.rows()), EnvelopeVerifier(), ARTIFACTS)
        self.journal.commit()

    def excisions(self) -> Excisions:
        return excisions_of(self.journal.events(HIVE))


@pytest.fixture
def nodes(tmp_path: Path) -> tuple[Node, Node]:
    owner, guest = Node(tmp_path / "owner"), Node(tmp_path / "guest")
    owner.enter()
    owner.write(
        HiveFounded(
            problem="p",
            specification="",
            policy=Policy(),
            roles={"owner": (owner.identity.did,), "runner": (guest.identity.did,)},
            supply="0",
            witnesses=(owner.identity.did,),
            auditors=(),
        )
    )
    guest.take_from(owner)
    guest.enter()
    return owner, guest


def exchange(owner: Node, guest: Node) -> None:
    owner.take_from(guest)
    guest.take_from(owner)
    assert owner.excisions() == guest.excisions()
    assert excision_digest(owner.excisions()) == excision_digest(guest.excisions())


def test_both_nodes_conclude_the_same(nodes: tuple[Node, Node]) -> None:
    owner, guest = nodes
    mine = owner.write(candidate("mine"))
    theirs = guest.write(candidate("theirs"))
    exchange(owner, guest)
    child = owner.write(candidate("child", theirs.id))

    attack = guest.write(ResultExcised(target=mine.id, reason="envy"))
    exchange(owner, guest)
    assert not owner.excisions().withdrawn
    assert "only its author and members of these roles" in owner.excisions().stated[0].refused

    cut = owner.write(ResultExcised(target=theirs.id, reason="a cheat"))
    exchange(owner, guest)
    assert guest.excisions().withdrawn == {theirs.id: cut.id, child.id: cut.id}

    guest.write(ExcisionWithdrawn(excision=cut.id, reason="it was none"))
    exchange(owner, guest)
    assert guest.excisions().withdrawn, "who was excised by a role cannot take that back"

    owner.write(ExcisionWithdrawn(excision=cut.id, reason="it was none, indeed"))
    exchange(owner, guest)
    assert not guest.excisions().withdrawn
    assert [excision.event for excision in guest.excisions().stated if excision.refused] == [attack.id]
