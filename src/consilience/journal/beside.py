"""What stands beside a hive's own events when its views are kept: its identities' events, and whether all counts.

Rules:
    1. Views may be kept only where every event counts that is held of the hive and of its identities: nobody is in
       quarantine, nothing waits for its cause, no key signed what it might not.
    2. Whose events ride along is found by a few look-ups for each feed, not by reading the hive.

Data flow: Store + hive -> `beside` -> `journal.snapshots`.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from consilience.core.bodies import HiveFounded
from consilience.core.canonical import hash_value
from consilience.core.events import Event
from consilience.journal.feed import read_event
from consilience.journal.gathering import proofs
from consilience.journal.members import EVERYBODY, Members, members_of
from consilience.journal.operators import KeyFold
from consilience.journal.order import order_events
from consilience.journal.queries import Elsewhere, hive_authors, identity_hives, rare_rows
from consilience.journal.reader import JournalReader


class Beside(Struct, frozen=True, eq=False):
    """What a hive's events are folded after.

    Attributes:
        events: of its identities, in order.
        whole: whether all that is known without reading the hive counts.
        keys: a fold that knows the keys of these identities; None where the journal has none.
        members: who steers the hive's study.
    """

    events: tuple[Event, ...]
    whole: bool
    keys: KeyFold | None
    members: Members = EVERYBODY

    @property
    def digest(self) -> str:
        """Names the identities' events, and whether all counts."""
        return hash_value([self.whole, *(event.id for event in self.events)])

    def holds(self, event: Event) -> bool:
        """Tell whether an event of the hive counts: a key in force signed it, and a member where it steers."""
        keys = self.keys
        if not self.members.counts(event):
            return False
        return keys is None or keys.is_plain(event.fields.author) or not keys.void([event])


def beside(journal: JournalReader, hive: str, to: int | None, authors: Iterable[str] = ()) -> Beside:
    """Return what a hive's events are folded after.

    Args:
        journal: that holds the hive.
        hive: of the study.
        to: local position of the last event to look at; None is all.
        authors: who will write in the hive, beside those who did.
    """
    store = journal.store
    hives = identity_hives(store, {*hive_authors(store, hive), *authors})
    rows = [row for name in hives if name != hive for row in store.rows(hive=name, to=to)]
    keys = journal.keys() if journal.keys else None
    about = order_events((read_event(row.payload, row.jws) for row in rows), Elsewhere(store, hives), keys)
    accused = bool(about.proofs or about.left_out or about.waiting or proofs(store, hive, journal.keys))
    members = _members(journal, hive, keys)
    return Beside(events=tuple(about.events), whole=not accused, keys=keys, members=members)


def is_member(journal: JournalReader, hive: str, did: str) -> bool:
    """Tell whether an identity may steer a hive's study (`journal.members`)."""
    return beside(journal, hive, None, [did]).members.holds(did)


def _members(journal: JournalReader, hive: str, keys: KeyFold | None) -> Members:
    geneses = (read_event(row.payload, row.jws) for row in rare_rows(journal.store, hive, HiveFounded))
    return members_of(geneses, keys)
