"""Verification of a whole journal: every hash, signature, link, reference and blob, from position 0.

Rules:
    1. The first bad event is named with what is wrong with it; nothing is mended here.
    2. Reading needs no key and changes nothing.

Data flow: Store -> rows -> here -> VerifyReport -> `consilience verify`.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from consilience.core.bodies import HiveFounded
from consilience.core.errors import DamagedError, JournalError, NotFoundError
from consilience.core.ports import Verifier
from consilience.journal.device import Mark
from consilience.journal.erasure import ErasureView
from consilience.journal.feed import FeedHead, Row, advance, check_link, check_row, read_event
from consilience.journal.kinds import BY_NAME, references, specification_blobs
from consilience.journal.store import Store


class Fault(Struct, frozen=True, kw_only=True):
    """One thing that does not hold. `position` is -1 where it is not about one event."""

    what: str
    position: int = -1
    event: str = ""
    feed: str = ""
    seq: int = -1

    def __str__(self) -> str:
        if self.position < 0:
            return self.what
        return f"event {self.position} ({self.event[:12]}, feed {self.feed[:8]} seq {self.seq}): {self.what}"


class VerifyReport(Struct, frozen=True, kw_only=True):
    """What was checked, and the first fault found (None: everything holds).

    A journal that holds is whole and unchanged since its authors signed it. Who may be believed is another
    question: compare `authors` with the DIDs that you know. `erased` counts the texts that are gone by a tombstone
    of somebody who may erase them.
    """

    events: int
    feeds: int
    blobs: int
    authors: tuple[str, ...]
    fault: Fault | None
    erased: int = 0


class _Checker:
    """State of one pass over the rows."""

    def __init__(self, store: Store, verifier: Verifier) -> None:
        self._store = store
        self._verifier = verifier
        self.heads: dict[tuple[str, str, str], FeedHead] = {}
        self.seen: set[str] = set()
        self.blobs: set[str] = set()
        self.built_on: set[tuple[str, str | None]] = set()
        self.erasures = ErasureView()
        self.absent: dict[str, Row] = {}

    def check(self, row: Row) -> str:
        """Return what is wrong with the next row, "" when nothing is."""
        if row.position != len(self.seen):
            return f"an event is missing before it: position {len(self.seen)} expected"
        return check_row(row, self._verifier) or self._check_place(row)

    def _check_place(self, row: Row) -> str:
        event = read_event(row.payload, row.jws)
        key = (row.hive, row.author, row.feed)
        head = self.heads.get(key) or FeedHead(hive=row.hive, author=row.author, feed=row.feed)
        fault = check_link(head, event.fields)
        if fault:
            return fault
        self.heads[key] = advance(head, event)
        missing = [name for name in event.fields.after if name not in self.seen]
        if missing:
            return f"it builds on event {missing[0][:12]}, which is not in the journal before it"
        self.seen.add(row.id)
        self.built_on.update((row.author, name) for name in event.fields.after)
        kind = BY_NAME.get(row.kind)
        if kind is None or event.body is None:
            return ""
        for name in references(event.body, kind.rests_on):
            if name not in self.seen:
                return f"it rests on event {name[:12]}, which is not in the journal before it"
        self.erasures.apply(event)
        self._look_for_texts(references(event.body, kind.erasable), row)
        named = (
            name for name in references(event.body, kind.blobs) if name not in self.absent or name in self.erasures.kept
        )
        fault = self._check_blobs(tuple(named))
        if not fault and isinstance(event.body, HiveFounded) and event.body.specification:
            fault = self._check_specification(event.body.specification)
        return fault

    def _look_for_texts(self, names: tuple[str, ...], row: Row) -> None:
        """Note the erasable texts that are absent: a tombstone further on may say why."""
        for name in names:
            if name not in self.blobs and name not in self.absent and self._store.salt_of(name) is None:
                self.absent[name] = row

    def unexplained(self) -> Iterator[Fault]:
        """Yield the absent texts for which no tombstone accounts."""
        for name, row in self.absent.items():
            what = self.erasures.fault(name)
            if what:
                yield _fault_at(row, what)

    def _check_specification(self, name: str) -> str:
        try:
            return self._check_blobs(specification_blobs(self._store.get(name)))
        except JournalError as error:
            return error.message

    def _check_blobs(self, names: tuple[str, ...]) -> str:
        for name in names:
            if name in self.blobs:
                continue
            try:
                self._store.get(name)
            except (NotFoundError, DamagedError) as error:
                return error.message
            self.blobs.add(name)
        return ""


def verify_store(store: Store, verifier: Verifier, marks: dict[str, Mark] | None = None) -> VerifyReport:
    """Check the whole journal.

    Args:
        store: the journal's file.
        verifier: checks signatures.
        marks: what this device remembers of the feeds that it wrote; a journal that ends before such a
            mark was cut off, and one without a feed that was written here has lost it.
    """
    checker = _Checker(store, verifier)
    fault = next(_faults(store, checker), None) or _lost(store, checker, marks or {})
    authors = tuple(sorted({author for _, author, _ in checker.heads}))
    return VerifyReport(
        events=len(checker.seen),
        feeds=len(checker.heads),
        blobs=len(checker.blobs),
        authors=authors,
        fault=fault,
        erased=len(checker.absent),
    )


def _faults(store: Store, checker: _Checker) -> Iterator[Fault]:
    for text in store.structure_faults():
        yield Fault(what=f"the file is damaged: {text}")
    try:
        for row in store.rows():
            what = checker.check(row)
            if what:
                yield _fault_at(row, what)
        yield from checker.unexplained()
        for name in store.blob_names():
            store.get(name)
    except JournalError as error:
        yield Fault(what=error.message)


def _fault_at(row: Row, what: str) -> Fault:
    return Fault(what=what, position=row.position, event=row.id, feed=row.feed, seq=row.seq)


def _lost(store: Store, checker: _Checker, marks: dict[str, Mark]) -> Fault | None:
    """Find a feed of this device that is missing here, or that ends before its mark.

    Where its author went on from an early end in another feed (a backup was restored and work resumed), the
    loss is known and signed for, and no longer a fault.
    """
    hives = {hive for hive, _, _ in checker.heads}
    heads = {feed: (author, head) for (_, author, feed), head in checker.heads.items()}
    for feed, mark in sorted(marks.items()):
        if feed not in heads:
            here = mark.path == str(store.path.resolve())
            if here and mark.seq >= 0 and (mark.hive in hives or not heads):
                return Fault(what=f"feed {feed[:8]} is missing, but this device wrote it up to seq {mark.seq}")
            continue
        author, head = heads[feed]
        if mark.seq > head.seq and (author, head.id) not in checker.built_on:
            what = f"feed {feed[:8]} ends at seq {head.seq}, but this device wrote it up to seq {mark.seq}"
            return Fault(what=f"{what}: the tail is missing, or this is an older copy")
    return None
