"""Feeds of one identity in memory, signed by whichever key a test says: to make good key events and bad ones.

Data flow: bodies + keys -> signed rows, in order -> a verifier or a view of keys.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from consilience.core.bodies import PhaseSwitched
from consilience.core.bodies_identity import (
    CAPABILITIES,
    Capability,
    IdentityCreated,
    KeyCertified,
    KeyPurpose,
    KeyRotated,
)
from consilience.core.events import Event, identity_hive, payload_bytes
from consilience.core.study import Policy
from consilience.identity.did import promise_of
from consilience.identity.keys import Identity
from consilience.identity.proofs import Prover
from consilience.identity.statements import certificate_statement, rotation_statement
from consilience.journal.feed import FeedHead, advance, next_payload, read_event

OTHER_HIVE = "0" * 32


class KeyFeed:
    """One feed of an author. Every event has the next seq and links to the one before."""

    def __init__(self, author: str, feed: str = "f" * 32, hive: str = "") -> None:
        self.head = FeedHead(hive=hive or identity_hive(author), author=author, feed=feed)

    def write(self, body: Any, key: Identity, after: tuple[str, ...] = ()) -> Event:
        """Sign the next event with a key, whosesoever it is."""
        data = payload_bytes(next_payload(self.head, body, at=0, after=after))
        event = read_event(data, key.sign(data))
        self.head = advance(self.head, event)
        return event

    def note(self, key: Identity) -> Event:
        """Sign an event about something else."""
        return self.write(PhaseSwitched(phase="explore", figures={}, reason=""), key)

    def back(self, steps: int = 1) -> None:
        """Forget the latest events, to fork the feed."""
        seq = self.head.seq - steps
        self.head = replace(self.head, seq=seq, id=self.head.id if seq >= 0 else None)


def genesis(promised: Identity, ceiling: tuple[Capability, ...] = CAPABILITIES) -> IdentityCreated:
    """Return a genesis that promises a key."""
    return IdentityCreated(
        origin="generated",
        lineage=(),
        policy=Policy(),
        ceiling=ceiling,
        next_key=promise_of(promised.key_did),
        controller="",
        consent="",
    )


def rotation(previous: Event, key: Identity, promised: Identity, closes: dict[str, int]) -> KeyRotated:
    """Return the body of a rotation to `key`, with its proof."""
    body = KeyRotated(
        previous=previous.id, key=key.key_did, next_key=promise_of(promised.key_did), closes=closes, proof=""
    )
    return replace(body, proof=key.sign(rotation_statement(previous.fields.author, body)))


def certificate(
    operator: str, key: Prover, did: str, purpose: KeyPurpose = "agent", may: tuple[Capability, ...] = ("run",)
) -> KeyCertified:
    """Return the body of a certificate, with the key's proof."""
    body = KeyCertified(key=did, purpose=purpose, name="a key", may=may, proof="")
    return replace(body, proof=key.sign(certificate_statement(operator, body)))
