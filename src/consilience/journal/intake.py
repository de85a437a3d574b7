"""Intake: events that others wrote are checked whole before any of them is stored.

Rules:
    1. One bundle is taken in whole or not at all; the first event that does not hold is named.
    2. Each event: caps, id, signature, canonical form, columns, a body that fits its kind; then its links: `prev` one
       seq before in the same feed, everything that it builds or rests on here or in the bundle, its blobs with it.
    3. Unknown kinds and newer bodies are kept. A second event for one seq is kept: it is proof (`journal.quarantine`).
    4. A hive has one genesis, and nobody but its identity writes in an identity's hive.
    5. What is here already is passed over. A text may be missing where a tombstone names it.

Data flow: rows and blobs from a file or a peer -> here -> Store, in the open group, causes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from consilience.core.bodies import HiveFounded
from consilience.core.bodies_identity import IdentityCreated
from consilience.core.canonical import sha256_hex
from consilience.core.errors import ForeignEventError, JournalError, NotFoundError
from consilience.core.events import Event, event_id, identity_hive
from consilience.core.ports import Verifier
from consilience.journal.causality import causes, depths
from consilience.journal.erasure import read_erasures
from consilience.journal.feed import Row, check_row, read_event
from consilience.journal.kinds import BY_NAME, named_blobs, references
from consilience.journal.queries import place_of, rare_rows
from consilience.journal.store import Store

MAX_EVENTS = 100_000  # of one call: about 200 MB of rows at the mean of a study's events; more come in several calls
MAX_PAYLOAD = 1 << 20  # bytes; the largest event of a study so far has some thousand
MAX_BLOB = 64 << 20  # bytes; artifacts and logs are capped far below where they are made
_HINT = "nothing was taken in; get the events from another peer, or export them anew"


class Blob(Struct, frozen=True, kw_only=True):
    """Bytes with the salt that their name hashes too; the salt is empty where they may never be erased."""

    data: bytes
    salt: bytes = b""


class Taken(Struct, frozen=True, kw_only=True):
    """What a bundle brought: the rows that were new, in the order in which they were stored, and blobs."""

    rows: tuple[Row, ...]
    blobs: int


class Intake:
    """Takes one bundle into a store's open group, in one part or, where it is long, in several.

    A part that is refused stores nothing of itself; whoever takes several rolls the group back.
    """

    def __init__(self, store: Store, verifier: Verifier, position: int) -> None:
        self._store = store
        self._verifier = verifier
        self._position = position
        self._absent: dict[str, Event] = {}

    def take(self, rows: Iterable[Row], blobs: Mapping[str, Blob], *, is_last: bool = True) -> Taken:
        """Check a part and add what is new of it.

        Args:
            rows: events in any order, their causes here or in this part; their positions are not looked at.
            blobs: by name; those that no new event names are passed over.
            is_last: whether no tombstone can follow that explains why a text is missing.

        Raises:
            ForeignEventError: something does not hold; nothing of this part was stored.
        """
        new = _new_rows(self._store, rows)
        events = _read(new, self._verifier)
        placed = _placed(self._store, events)
        _Links(self._store, events).check(placed)
        bundle = [events[name] for name in placed]
        kept, absent = _blobs(self._store, bundle, blobs)
        self._absent |= absent
        if is_last:
            self._explain_absent(bundle)
        return self._add([new[name] for name in placed], [blobs[name] for name in sorted(kept)])

    def _explain_absent(self, bundle: list[Event]) -> None:
        if not self._absent:
            return
        erasures = read_erasures(self._store)
        for event in bundle:
            erasures.apply(event)
        for name, event in self._absent.items():
            fault = erasures.fault(name)
            if fault:
                raise _refuse(event, f"its text is neither here nor given: {fault}")

    def _add(self, rows: list[Row], blobs: list[Blob]) -> Taken:
        if rows:
            self._store.begin()
        for blob in blobs:
            self._store.put(blob.data, blob.salt)
        stored = tuple(replace(row, position=self._position + place) for place, row in enumerate(rows))
        for row in stored:
            self._store.add(row)
        self._position += len(stored)
        return Taken(rows=stored, blobs=len(blobs))


def _refuse(event: Row | Event, fault: str) -> ForeignEventError:
    fields = event.fields if isinstance(event, Event) else event
    return ForeignEventError(f"event {event.id[:12]} (feed {fields.feed[:8]} seq {fields.seq}): {fault}", hint=_HINT)


def _new_rows(store: Store, rows: Iterable[Row]) -> dict[str, Row]:
    """Return the rows that are not here yet, in the order given."""
    new: dict[str, Row] = {}
    for count, row in enumerate(rows):
        if count >= MAX_EVENTS:
            raise ForeignEventError(f"more than {MAX_EVENTS} events at once", hint="send them in several parts")
        if len(row.payload) > MAX_PAYLOAD:
            raise _refuse(row, f"its payload has {len(row.payload)} bytes, more than {MAX_PAYLOAD}")
        if event_id(row.payload) != row.id:
            raise _refuse(row, "the id is not the hash of the payload")
        if row.id not in new and not store.holds(row.id):
            new[row.id] = row
    return new


def _read(new: Mapping[str, Row], verifier: Verifier) -> dict[str, Event]:
    """Check each row by itself and read it.

    In the order given, which is the sender's order of arrival: there, what is said of keys comes before what they
    sign. Where it does not, what was refused is looked at again once more is known of keys.
    """
    waiting = list(new.values())
    while waiting:
        faults = {row.id: fault for row in waiting if (fault := check_row(row, verifier))}
        if faults and len(faults) == len(waiting):
            raise _refuse(waiting[0], faults[waiting[0].id])
        waiting = [row for row in waiting if row.id in faults]
    return {name: read_event(row.payload, row.jws) for name, row in new.items()}


class _Here:
    """Holds what the store holds and the bundle does not bring."""

    def __init__(self, store: Store, bundle: Mapping[str, Event]) -> None:
        self._store, self._bundle = store, bundle
        self._known: dict[str, bool] = {}

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str) or name in self._bundle:
            return False
        if name not in self._known:
            self._known[name] = self._store.holds(name)
        return self._known[name]


def _placed(store: Store, events: Mapping[str, Event]) -> list[str]:
    """Return the ids with causes first."""
    here = _Here(store, events)
    placed = list(depths(events, here))
    if len(placed) < len(events):
        reached = set(placed)
        for name, event in events.items():
            lacking = [cause for cause in causes(event) if cause not in here and cause not in events]
            if name not in reached and lacking:
                raise _refuse(event, f"it builds on event {lacking[0][:12]}, which is neither here nor given")
    return placed


class _Links:
    """Checks of one bundle's events against what is here and what came before them."""

    def __init__(self, store: Store, events: Mapping[str, Event]) -> None:
        self._store, self._events = store, events
        self._owners: dict[str, str] = {}

    def check(self, placed: Iterable[str]) -> None:
        """Raise for the first event whose place is wrong."""
        genesis: dict[str, str] = {}
        for name in placed:
            event = self._events[name]
            fault = self._link(event) or self._hive(event)
            if not fault and isinstance(event.body, HiveFounded):
                hive = event.fields.hive
                known = genesis.setdefault(hive, name) != name or any(rare_rows(self._store, hive, HiveFounded))
                fault = "its hive has a genesis already" if known else ""
            if fault:
                raise _refuse(event, fault)

    def _link(self, event: Event) -> str:
        fields = event.fields
        if fields.prev is None:
            return "" if fields.seq == 0 else f"seq {fields.seq} names no event before it"
        before = self._events.get(fields.prev)
        place = place_of(self._store, fields.prev) if before is None else _place(before)
        if place != (fields.hive, fields.author, fields.feed, fields.seq - 1):
            return "prev is not the event before it in its feed"
        return ""

    def _hive(self, event: Event) -> str:
        """Return a fault where somebody else writes in an identity's own hive."""
        hive, author = event.fields.hive, event.fields.author
        if hive == identity_hive(author):
            return ""
        if hive not in self._owners:
            owners = [
                row.author for row in rare_rows(self._store, hive, IdentityCreated) if identity_hive(row.author) == hive
            ]
            given = [e.fields.author for e in self._events.values() if identity_hive(e.fields.author) == hive]
            self._owners[hive] = next(iter([*owners, *given]), "")
        return "only an identity itself writes in its hive" if self._owners[hive] else ""


def _place(event: Event) -> tuple[str, str, str, int]:
    fields = event.fields
    return (fields.hive, fields.author, fields.feed, fields.seq)


def _blobs(store: Store, events: list[Event], blobs: Mapping[str, Blob]) -> tuple[set[str], dict[str, Event]]:
    """Return the names of the given blobs that the events need and that are not here, and of texts that lack."""
    kept: set[str] = set()
    absent: dict[str, Event] = {}
    for event in events:
        texts = _texts(event)
        for name in _named(store, event, blobs):
            if name in kept or name in absent or store.salt_of(name) is not None:
                continue
            blob = blobs.get(name)
            if blob is None and name in texts:
                absent[name] = event
            elif blob is None:
                raise _refuse(event, f"its blob {name[:12]} is neither here nor given")
            elif len(blob.data) > MAX_BLOB or sha256_hex(blob.salt + blob.data) != name:
                raise _refuse(event, f"its blob {name[:12]} does not match its hash, or is too large")
            else:
                kept.add(name)
    return kept, absent


def _texts(event: Event) -> tuple[str, ...]:
    """Return the names of blobs that may have been erased."""
    kind = BY_NAME.get(event.fields.kind)
    return references(event.body, kind.erasable) if kind is not None and event.body is not None else ()


def _named(store: Store, event: Event, blobs: Mapping[str, Blob]) -> Iterator[str]:
    try:
        yield from named_blobs(event, lambda name: blobs[name].data if name in blobs else store.get(name))
    except NotFoundError:
        return  # the lack of the specification itself has been told
    except JournalError as error:
        raise _refuse(event, error.message) from error
