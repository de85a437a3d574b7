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
from consilience.journal.causality import causes
from consilience.journal.feed import read_event
from consilience.journal.kinds import kind_named
from consilience.journal.operators import KeyFolds
from consilience.journal.order import Ordered, order_events
from consilience.journal.quarantine import Proof
from consilience.journal.queries import all_hives, elsewhere, hive_authors, identity_hives
from consilience.journal.store import Store

_FORKED = "SELECT 1 FROM event WHERE hive = ? GROUP BY feed HAVING count(*) > max(seq) + 1 LIMIT 1"
_SPENDING = "SELECT 1 FROM event WHERE kind = ? AND hive = ? LIMIT 1 OFFSET 1"


def ordered(store: Store, hive: str, to: int | None = None, keys: KeyFolds | None = None) -> Ordered:
    """Return a hive's events in canonical order with its identities', up to local position `to`."""
    own = list(_read(store, hive, to))
    hives = identity_hives(store, {event.fields.author for event in own})
    about = [event for name in hives if name != hive for event in _read(store, name, to)]
    events = [*about, *own]
    held = {event.id for event in events}
    missing = {cause for event in events for cause in causes(event) if cause not in held}
    others = elsewhere(store, [hive, *hives], missing) if missing else frozenset()
    return order_events(events, others, keys() if keys else None)


def _read(store: Store, hive: str, to: int | None) -> Iterator[Event]:
    for row in store.rows(hive=hive, to=to):
        yield read_event(row.payload, row.jws)


def proofs(store: Store, hive: str, keys: KeyFolds | None = None) -> tuple[Proof, ...]:
    """Return the proofs against authors that hold in a hive, in order of author.

    One look at the index of feeds; the events are read only where a feed has more of them than seqs, where more than
    one spending feed was opened, or where two rotations follow one event.
    """
    hives = [hive, *identity_hives(store, hive_authors(store, hive))]
    return ordered(store, hive, keys=keys).proofs if any(_is_suspect(store, name) for name in hives) else ()


def _is_suspect(store: Store, hive: str) -> bool:
    forked = store.select(_FORKED, (hive,)) or store.select(_SPENDING, (kind_named(FeedOpened), hive))
    return bool(forked) or _rotated_apart(store, hive)


def _rotated_apart(store: Store, hive: str) -> bool:
    """Tell whether two rotations of an identity follow one event, or two of its beginnings."""
    rows = store.rows(hive=hive, kind=kind_named(KeyRotated))
    followed = [read_event(row.payload, row.jws).body.previous for row in rows]
    roots = {row.id for row in store.rows(hive=hive, kind=kind_named(IdentityCreated))} if followed else set()
    return len(set(followed)) < len(followed) or len(roots.intersection(followed)) > 1


def all_proofs(store: Store, keys: KeyFolds | None = None) -> tuple[Proof, ...]:
    """Return the proofs against authors in every hive of a journal, in order of author."""
    return tuple(sorted({proof for hive in all_hives(store) for proof in proofs(store, hive, keys)}))
