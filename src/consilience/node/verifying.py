"""Verifiers for journals whose authors may have rotated keys: the view of keys, behind a key ring.

Rules:
    1. A whole journal is verified with a fresh ring, which learns about keys in order of arrival.
    2. What comes next (a tail, foreign events, a range of rows that another process checks) is verified with a ring
       that knows what the journal says of keys before it.

Data flow: Store -> events about keys -> KeysView -> KeyRing -> `verify`, `check_tail`, `Journal.take`.
"""

from __future__ import annotations

from consilience.core.errors import IdentityError
from consilience.identity.keyring import KeyRing
from consilience.identity.proofs import StatementProofs
from consilience.journal.feed import Row, check_row
from consilience.journal.store import FIRST_POSITION, Store
from consilience.journal.views.keys import KEY_KINDS, KeysView


def fresh_keys() -> KeysView:
    """Return a view of keys that knows nothing yet."""
    return KeysView(StatementProofs())


class JournalRing(KeyRing):
    """A ring that knows nothing yet, for a journal that is verified from position 0, or in ranges from any."""

    def __init__(self) -> None:
        super().__init__(fresh_keys())

    def at(self, store: Store, position: int) -> KeyRing:
        """Return a ring that knows what the journal says of keys before a position."""
        return ring_of(store, position)


def fresh_ring() -> JournalRing:
    """Return a ring that knows nothing yet."""
    return JournalRing()


def ring_of(store: Store, before: int | None = None) -> KeyRing:
    """Return a ring that knows what a journal says of keys, up to before a local position; None is all."""
    return KeyRing(keys_of(store, before))


def keys_of(store: Store, before: int | None = None) -> KeysView:
    """Return what a journal says of keys; events that do not hold are left out (`consilience verify` names them)."""
    keys = fresh_keys()
    ring = KeyRing(keys)
    for row in key_rows(store, before):
        check_row(row, ring)
    return keys


def key_rows(store: Store, before: int | None = None) -> list[Row]:
    """Return a journal's events about keys, in order of arrival, up to before a local position; None is all."""
    last = None if before is None else max(before - 1, FIRST_POSITION)
    found = [row for kind in KEY_KINDS for row in store.rows(kind=kind, to=last)]
    return sorted(found, key=lambda row: row.position)


def refuse_retired(store: Store, author: str, key: str) -> None:
    """Refuse a key of which the journal knows that it signs nothing more: what it wrote would spoil the journal.

    A key file that came back from a backup is such a key, and so is a stolen one.

    Raises:
        IdentityError: the key was replaced, or the identity was revoked.
    """
    state = keys_of(store).state(author)
    if key in [span.key for span in state.spans[:-1]]:
        hint = f"restore the file of the key in force, {state.key}"
        raise IdentityError(f"the key {key} was replaced by a rotation that this journal holds", hint=hint)
    if state.revoked is not None:
        hint = "make another identity: `consilience id new`"
        raise IdentityError(f"the identity {author} was revoked, and this journal holds the event", hint=hint)
