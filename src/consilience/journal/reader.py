"""A journal to look at: anyone reads it, and folds it into views.

Rules:
    1. Nothing is written, and nobody is kept from writing.
    2. Events come in canonical order where a hive is asked for, in order of arrival where the journal is.

Data flow: Store -> `events` -> canonical order -> any view.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol, TypeVar

from consilience.core.bodies import HiveFounded
from consilience.core.errors import NotFoundError, TamperedError
from consilience.core.events import Event
from consilience.core.ports import Verifier
from consilience.journal.feed import check_row, read_event
from consilience.journal.gathering import ordered, proofs
from consilience.journal.kinds import kind_named
from consilience.journal.operators import KeyFolds
from consilience.journal.order import Ordered
from consilience.journal.quarantine import Proof
from consilience.journal.store import Store

JOURNAL_NAME = "journal.db"
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
    """A journal to look at. Never writes, never locks.

    `keys` makes the fold of keys by which order is told; `node` sets it. Without it certificates and rotations do not
    count.
    """

    keys: KeyFolds | None = None

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
        """Return a hive's events that count, and its identities', in canonical order, up to local position `to`."""
        return self.ordered(hive, to=to).events

    def ordered(self, hive: str, *, to: int | None = None) -> Ordered:
        """Return the same events with the proofs against authors in quarantine, and what does not count."""
        return ordered(self._store, hive, to, self.keys)

    def proofs(self, hive: str) -> tuple[Proof, ...]:
        """Return why authors in a hive are in quarantine; reads no events where nobody is."""
        return proofs(self._store, hive, self.keys)

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

    def event(self, prefix: str) -> Event:
        """Return the one event whose id begins so.

        Raises:
            NotFoundError: none does, or several do.
        """
        found = self._store.rows_named(prefix, 2)
        if len(found) != 1:
            what = f"several events begin with {prefix!r}" if found else f"no event {prefix!r}"
            raise NotFoundError(what, hint="see `consilience log --json`")
        return read_event(found[0].payload, found[0].jws)

    def blob(self, name: str) -> bytes:
        """Return a blob by its hash."""
        return self._store.get(name)

    def close(self) -> None:
        """Close the file."""
        self._store.close()
