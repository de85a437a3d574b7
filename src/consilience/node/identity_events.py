"""Events about identities that a journal holds: what a proof carries so that its keys can be checked.

Data flow: Store -> certificates in force, events of one identity -> `node.checkpoints`, `node.proving`.
"""

from __future__ import annotations

from collections.abc import Iterable

from consilience.core.bodies_identity import (
    ControllerNamed,
    IdentityCreated,
    KeyCertified,
    KeyRevoked,
    KeyRotated,
)
from consilience.core.events import identity_hive
from consilience.identity.proofs import StatementProofs
from consilience.journal.feed import Row, read_event
from consilience.journal.kinds import kind_named
from consilience.journal.proofs import SignedEvent, signed_event
from consilience.journal.store import Store

_IDENTITY_KINDS = tuple(map(kind_named, (IdentityCreated, KeyRotated, KeyCertified, KeyRevoked, ControllerNamed)))


def certified_in(store: Store) -> dict[str, str]:
    """Return the witness keys that identities in a journal certify and do not revoke, each with its operator."""
    found: dict[str, str] = {}
    proofs = StatementProofs()
    for row in identity_rows_in(store):
        body = read_event(row.payload, row.jws).body
        if isinstance(body, KeyCertified) and body.purpose == "witness" and not proofs.certificate(row.author, body):
            found.setdefault(body.key, row.author)
        if isinstance(body, KeyRevoked):
            found = {key: who for key, who in found.items() if who != row.author or body.key not in (key, row.author)}
    return found


def identity_rows_in(store: Store) -> list[Row]:
    """Return the events that identities wrote in their own hives, in order of arrival."""
    rows = [row for kind in _IDENTITY_KINDS for row in store.rows(kind=kind)]
    return sorted((row for row in rows if row.hive == identity_hive(row.author)), key=lambda row: row.position)


def events_of(rows: Iterable[Row], authors: Iterable[str]) -> tuple[SignedEvent, ...]:
    """Return the events of these identities, as proofs hold them."""
    wanted = set(authors)
    return tuple(signed_event(row) for row in rows if row.author in wanted)


def as_signed(rows: Iterable[Row]) -> tuple[SignedEvent, ...]:
    """Return stored events as proofs hold them."""
    return tuple(signed_event(row) for row in rows)
