"""Verifiers for journals whose authors may have rotated keys: the view of keys, behind a key ring.

Rules:
    1. A whole journal is verified with a fresh ring, which learns about keys in order of arrival.
    2. What comes next (a tail, foreign events) is verified with a ring that knows the journal already.

Data flow: Store -> events about keys -> KeysView -> KeyRing -> `verify`, `check_tail`, `Journal.take`.
"""

from __future__ import annotations

from consilience.identity.keyring import KeyRing
from consilience.identity.proofs import StatementProofs
from consilience.journal.feed import Row, check_row
from consilience.journal.store import Store
from consilience.journal.views.keys import KEY_KINDS, KeysView


def fresh_keys() -> KeysView:
    """Return a view of keys that knows nothing yet."""
    return KeysView(StatementProofs())


def fresh_ring() -> KeyRing:
    """Return a ring that knows nothing yet, for a journal that is verified from position 0."""
    return KeyRing(fresh_keys())


def ring_of(store: Store) -> KeyRing:
    """Return a ring that knows what a journal says of keys."""
    return KeyRing(keys_of(store))


def keys_of(store: Store) -> KeysView:
    """Return what a journal says of keys; events that do not hold are left out (`consilience verify` names them)."""
    keys = fresh_keys()
    ring = KeyRing(keys)
    for row in key_rows(store):
        check_row(row, ring)
    return keys


def key_rows(store: Store) -> list[Row]:
    """Return a journal's events about keys, in order of arrival."""
    found = [row for kind in KEY_KINDS for row in store.rows(kind=kind)]
    return sorted(found, key=lambda row: row.position)
