"""Gathering: what a hive's order is made from, out of a journal that may hold many hives.

Rules:
    1. A hive's own events, and those of the identities that signed them and of their operators.
    2. A cause that is here in another hive holds nothing back; one that is nowhere does.

Data flow: Store -> here -> `order_events` -> JournalReader.
"""

from __future__ import annotations

from collections.abc import Iterator

from consilience.core.bodies_identity import IdentityCreated, KeyRotated
from consilience.core.bodies_journal import FeedOpened
from consilience.core.events import Event
from consilience.journal.feed import read_event
from consilience.journal.operators import KeyFolds
from consilience.journal.order import Ordered, order_events
from consilience.journal.quarantine import Proof
from consilience.journal.queries import Elsewhere, all_hives, hive_authors, identity_hives, is_unforked, rare_rows
from consilience.journal.store import Store

_FORKED = "SELECT 1 FROM event WHERE hive = ? GROUP BY feed HAVING count(*) > max(seq) + 1 LIMIT 1"


def ordered(store: Store, hive: str, to: int | None = None, keys: KeyFolds | None = None) -> Ordered:
    """Return a hive's events in canonical order with its identities', up to local position `to`."""
    own = list(_read(store, hive, to))
    hives = identity_hives(store, {event.fields.author for event in own})
    about = [event for name in hives if name != hive for event in _read(store, name, to)]
    return order_events([*about, *own], Elsewhere(store, [hive, *hives]), keys() if keys else None)


def _read(store: Store, hive: str, to: int | None) -> Iterator[Event]:
    for row in store.rows(hive=hive, to=to):
        yield read_event(row.payload, row.jws)


def proofs(store: Store, hive: str, keys: KeyFolds | None = None) -> tuple[Proof, ...]:
    """Return the proofs against authors that hold in a hive, in order of author.

    Where nothing forks in the whole journal this takes a few look-ups for each feed. The events are read only where a
    feed has more of them than seqs, where more than one spending feed was opened, or where two rotations follow one
    event.
    """
    unforked = is_unforked(store)
    hives = [hive, *identity_hives(store, hive_authors(store, hive))]
    return (
        ordered(store, hive, keys=keys).proofs
        if any(_is_suspect(store, name, unforked=unforked) for name in hives)
        else ()
    )


def _is_suspect(store: Store, hive: str, *, unforked: bool) -> bool:
    forked = not unforked and store.select(_FORKED, (hive,))
    return bool(forked) or len(rare_rows(store, hive, FeedOpened)) > 1 or _rotated_apart(store, hive)


def _rotated_apart(store: Store, hive: str) -> bool:
    """Tell whether two rotations of an identity follow one event, or two of its beginnings."""
    followed = [read_event(row.payload, row.jws).body.previous for row in rare_rows(store, hive, KeyRotated)]
    roots = {row.id for row in rare_rows(store, hive, IdentityCreated)} if followed else set()
    return len(set(followed)) < len(followed) or len(roots.intersection(followed)) > 1


def all_proofs(store: Store, keys: KeyFolds | None = None) -> tuple[Proof, ...]:
    """Return the proofs against authors in every hive of a journal, in order of author."""
    return tuple(sorted({proof for hive in all_hives(store) for proof in proofs(store, hive, keys)}))
