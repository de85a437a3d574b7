"""The journal: one writer appends signed events in groups; anyone reads and folds them.

Rules:
    1. `append` signs and folds at once; `commit` makes the group durable. Only then is it acknowledged.
    2. One process writes (a lock); readers never block it.
    3. A writer extends its own feed only where `journal.device` lets it, else it opens a new feed.

Data flow: body -> append -> views and store; store -> `events` -> canonical order -> any view.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar

from msgspec.structs import replace

from consilience.core.bodies import HiveFounded
from consilience.core.errors import ForeignEventError, JournalError, TamperedError
from consilience.core.events import Event, payload_bytes
from consilience.core.ports import Clock, Signer, Verifier
from consilience.journal.device import FeedMark, WriterLock, claim_feed
from consilience.journal.excision import standing_events
from consilience.journal.feed import FeedHead, Row, advance, check_row, next_payload, read_event
from consilience.journal.kinds import kind_named
from consilience.journal.order import canonical_order
from consilience.journal.store import Durability, Store

JOURNAL_NAME = "journal.db"
LOCK_NAME = "journal.lock"
TAIL_EVENTS = 64  # checked at each opening, a few milliseconds; `verify` checks all


class View(Protocol):
    """**Protocol:** a fold of events. The state is what `apply` left behind; equal events give equal states."""

    def apply(self, event: Event) -> None:
        """Take one more event, in canonical order. Must ignore kinds that it does not know."""


AnyView = TypeVar("AnyView", bound=View)


def fold(view: AnyView, events: Iterable[Event]) -> AnyView:
    """Apply every event to a new view and return it."""
    for event in events:
        view.apply(event)
    return view


class JournalReader:
    """A journal to look at. Never writes, never locks."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @classmethod
    def open(cls, folder: Path) -> JournalReader:
        """Open the journal in a state folder.

        Raises:
            NotFoundError: there is none.
        """
        return cls(Store.open(folder / JOURNAL_NAME))

    @property
    def store(self) -> Store:
        """The file below, for verification and backups."""
        return self._store

    def hives(self) -> dict[str, HiveFounded]:
        """Return the genesis of each hive in this journal, oldest first."""
        found: dict[str, HiveFounded] = {}
        for row in self._store.rows(kind=kind_named(HiveFounded)):
            event = read_event(row.payload, row.jws)
            if isinstance(event.body, HiveFounded):
                found.setdefault(event.fields.hive, event.body)
        return found

    def hive_of(self, problem: str) -> str | None:
        """Return the hive that was founded for a problem, None when there is none yet."""
        return next((hive for hive, body in self.hives().items() if body.problem == problem), None)

    def arrivals(self, *, hive: str | None = None, to: int | None = None) -> Iterator[Event]:
        """Yield events in order of arrival, up to local position `to`."""
        for row in self._store.rows(hive=hive, to=to):
            yield read_event(row.payload, row.jws)

    def events(self, hive: str, *, to: int | None = None) -> list[Event]:
        """Return a hive's events in canonical fold order, up to local position `to`."""
        return canonical_order(self.arrivals(hive=hive, to=to))

    def standing(self, hive: str, *, to: int | None = None) -> list[Event]:
        """Return what views fold: a hive's events in canonical order, without what was excised."""
        return standing_events(self.events(hive, to=to))

    def check_tail(self, verifier: Verifier) -> None:
        """Check hash and signature of the latest events: what a reader does before it shows anything.

        Raises:
            TamperedError: one of them does not hold.
        """
        for row in self._store.tail(TAIL_EVENTS):
            fault = check_row(row, verifier)
            if fault:
                raise TamperedError(
                    f"event {row.position} ({row.id[:12]}): {fault}",
                    hint="`consilience verify` checks the rest; restore the journal from a backup",
                )

    def blob(self, name: str) -> bytes:
        """Return a blob by its hash."""
        return self._store.get(name)

    def close(self) -> None:
        """Close the file."""
        self._store.close()


class Journal(JournalReader):
    """A journal that this process writes, for one hive and one author."""

    def __init__(self, store: Store, lock: WriterLock, signer: Signer, clock: Clock) -> None:
        super().__init__(store)
        self._lock = lock
        self._signer = signer
        self._clock = clock
        self._position = store.count()
        self._head: FeedHead | None = None
        self._after: tuple[str, ...] = ()
        self._mark: FeedMark | None = None
        self._views: list[View] = []

    @classmethod
    def create(cls, folder: Path, signer: Signer, clock: Clock, durability: Durability = "full") -> Journal:
        """Open the journal in a state folder for writing, making it when absent.

        Raises:
            LockedError: another process writes it.
            JournalError: the folder cannot be written, or the file is not usable.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise JournalError(f"cannot make {folder}: {error}", hint="make it writable, or use --state") from error
        lock = WriterLock(folder / LOCK_NAME)
        try:
            store = Store.open(folder / JOURNAL_NAME, durability=durability, create=True)
        except BaseException:
            lock.release()
            raise
        try:
            return cls(store, lock, signer, clock)
        except BaseException:
            store.close()
            lock.release()
            raise

    def enter(self, hive: str, marks: Path) -> list[Event]:
        """Start writing in a hive and return its events in fold order."""
        events = self.events(hive)
        heads: dict[tuple[str, str], FeedHead] = {}
        for event in sorted(events, key=lambda event: event.fields.seq):
            author, feed = event.fields.author, event.fields.feed
            heads[author, feed] = advance(FeedHead(hive=hive, author=author, feed=feed), event)
        self.go_on(hive, marks, heads.values())
        return events

    def go_on(self, hive: str, marks: Path, heads: Iterable[FeedHead]) -> None:
        """Start writing in a hive whose feeds stand at these heads, as a fold of its events found them."""
        others = {(head.author, head.feed): head for head in heads}
        mine = {head.feed: head.seq for head in others.values() if head.author == self._signer.did}
        self._mark = claim_feed(marks, mine, f"{hive} {self._store.path.resolve()}")
        new = FeedHead(hive=hive, author=self._signer.did, feed=self._mark.feed)
        self._head = others.pop((self._signer.did, self._mark.feed), new)
        self._after = tuple(head.id for head in others.values() if head.id is not None)

    @staticmethod
    def new_hive() -> str:
        """Return a random id for a new hive."""
        return secrets.token_hex(16)

    def follow(self, view: View) -> None:
        """Let a view see every event that is appended from now on."""
        self._views.append(view)

    def unfollow(self, view: View) -> None:
        """Show a view no more events."""
        self._views.remove(view)

    def append(self, body: Any) -> Event:
        """Sign one event, add it to the open group, and show it to the views.

        Raises:
            JournalError: no hive was entered, a number has no canonical form, or the store refused.
        """
        if self._head is None:
            raise JournalError("no hive was entered")
        payload = next_payload(self._head, body, at=self._clock.now_ms(), after=self._after)
        try:
            data = payload_bytes(payload)
        except ValueError as error:
            raise JournalError(f"{payload.kind}: {error}") from error
        event = read_event(data, self._signer.sign(data))  # views see what a replay will see, to the last bit
        self._store.begin()
        self._store.add(self._row(event))
        self._advance(event)
        return event

    def take(self, rows: Iterable[Row], verifier: Verifier) -> int:
        """Take in events of other feeds, causes first; return how many were new. `commit` makes them durable.

        Raises:
            ForeignEventError: one of them does not hold; those before it wait in the open group.
        """
        taken = 0
        for row in rows:
            fault = check_row(row, verifier)
            if fault:
                raise ForeignEventError(
                    f"event {row.id[:12]} of feed {row.feed[:8]}: {fault}", hint="get the events from another peer"
                )
            if not self._store.holds(row.id):
                self._store.begin()
                self._store.add(replace(row, position=self._position))
                self._position += 1
                taken += 1
        return taken

    def put(self, data: bytes) -> str:
        """Keep a blob with the open group and return its hash."""
        self._store.begin()
        return self._store.put(data)

    def get(self, name: str) -> bytes:
        """Return a blob by its hash."""
        return self._store.get(name)

    def commit(self) -> None:
        """Acknowledge: make everything appended since the last commit durable."""
        self._store.commit()
        if self._mark is not None and self._head is not None:
            self._mark.move(self._head.seq)

    def tip(self) -> str | None:
        """Return the id of this feed's latest event, None before the first."""
        return self._head.id if self._head else None

    def close(self) -> None:
        """Close the file and let others write. What was not committed is forgotten."""
        super().close()
        if self._mark is not None:
            self._mark.release()
        self._lock.release()

    def _row(self, event: Event) -> Row:
        fields = event.fields
        return Row(
            position=self._position,
            id=event.id,
            hive=fields.hive,
            author=fields.author,
            feed=fields.feed,
            seq=fields.seq,
            kind=fields.kind,
            payload=event.payload,
            jws=event.jws,
        )

    def _advance(self, event: Event) -> None:
        self._position += 1
        self._head = FeedHead(
            hive=event.fields.hive,
            author=event.fields.author,
            feed=event.fields.feed,
            seq=event.fields.seq,
            id=event.id,
        )
        self._after = ()  # only the first event after opening names what it builds on; `prev` carries it on
        for view in self._views:
            view.apply(event)
