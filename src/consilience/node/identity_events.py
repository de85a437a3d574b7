"""Events about identities that a journal holds: what a proof carries so that its keys can be checked.

Data flow: Store -> certificates in force, events of one identity -> `node.checkpoints`, `node.proving`.
"""

from __future__ import annotations

from collections.abc import Iterable

from consilience.journal.feed import Row
from consilience.journal.proofs import SignedEvent, signed_event, witness_keys
from consilience.journal.store import Store
from consilience.node.verifying import keys_of


def certified_in(store: Store) -> dict[str, str]:
    """Return the witness keys that identities in a journal certify and do not revoke, each with its operator."""
    return witness_keys(keys_of(store))


def events_of(rows: Iterable[Row], authors: Iterable[str]) -> tuple[SignedEvent, ...]:
    """Return the events of these identities, as proofs hold them."""
    wanted = set(authors)
    return tuple(signed_event(row) for row in rows if row.author in wanted)


def as_signed(rows: Iterable[Row]) -> tuple[SignedEvent, ...]:
    """Return stored events as proofs hold them."""
    return tuple(signed_event(row) for row in rows)
