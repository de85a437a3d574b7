"""Checks of a range of a journal: hashes, signatures, links, references and blobs, apart from all other ranges.

Rules:
    1. Memory does not grow with the journal: references are looked up in the store's own index (whose soundness
       `Store.structure_faults` shows), and only feeds, authors and the gaps between ranges are remembered.
    2. The first event of each feed in a range cannot be linked here; `verify` links it to the ranges before.
    3. A range of the same rows gives the same answer, whichever process checks it.

Data flow: Store rows [start, stop) -> RangeChecker -> Passed -> `joining.join`.
"""

from __future__ import annotations

from msgspec import Struct

from consilience.core.bodies import HiveFounded
from consilience.core.errors import JournalError
from consilience.core.events import Event, Payload
from consilience.core.ports import Verifier
from consilience.journal.erasure import ErasureView, read_erasures
from consilience.journal.feed import FeedHead, Row, check_link, open_row
from consilience.journal.kinds import BY_NAME, references, specification_blobs
from consilience.journal.queries import place_of
from consilience.journal.store import Store

FeedKey = tuple[str, str, str]
"""Hive, author and feed."""

_REMEMBERED = 4096  # ids and blob names of late that need no look-up


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


class Opening(Struct, frozen=True, kw_only=True):
    """The first event of a feed in a range: `before` is the head that it says it follows.

    `branches` tells that this head is another event than the last one of the feed may be, and is here all the same.
    """

    position: int
    event: str
    before: FeedHead
    branches: bool = False


class Passed(Struct, kw_only=True):
    """What a range came to, up to its first fault.

    `first` is the place of its first row, `next` the position after its last; `built_on` are those of the heads asked
    for that some event of the same author names in `after`.
    """

    first: Fault | None = None
    next: int = 0
    events: int = 0
    fault: Fault | None = None
    opened: dict[FeedKey, Opening] = {}
    heads: dict[FeedKey, FeedHead] = {}
    built_on: set[tuple[str, str]] = set()


class RangeChecker:
    """Checks the rows of one range."""

    def __init__(self, store: Store, verifier: Verifier, ends: frozenset[str]) -> None:
        self._store = store
        self._verifier = verifier
        self._ends = ends
        self._heads: dict[FeedKey, tuple[int, str]] = {}  # seq and id; structs are made of them once, at the end
        self._erased: ErasureView | None = None
        self._recent: set[str] = set()
        self._blobs: set[str] = set()
        self.passed = Passed()

    def check(self, start: int, stop: int) -> Passed:
        """Check the rows from position `start` up to before `stop`."""
        passed = self.passed
        try:
            for row in self._store.rows(start=start, to=stop - 1):
                if passed.first is None:
                    passed.first, passed.next = place(row, ""), row.position
                fault = self._check(row)
                if fault:
                    passed.fault = place(row, fault)
                    break
                passed.next = row.position + 1
                passed.events += 1
        except JournalError as error:
            passed.fault = Fault(what=error.message)
        passed.heads = {key: _head(key, *head) for key, head in self._heads.items()}
        return passed

    def _check(self, row: Row) -> str:
        if row.position != self.passed.next:
            return missing_before(self.passed.next)
        event = open_row(row, self._verifier)
        if isinstance(event, str):
            return event
        return self._check_feed(row, event) or self._check_references(row, event)

    def _check_feed(self, row: Row, event: Event) -> str:
        fields = event.fields
        key = (row.hive, row.author, row.feed)
        head = self._heads.get(key)
        if head is None:
            before = _head(key, row.seq - 1, fields.prev)
            branches = self._branches(row, fields)
            self.passed.opened[key] = Opening(position=row.position, event=row.id, before=before, branches=branches)
        elif head != (row.seq - 1, fields.prev):
            return "" if self._branches(row, fields) else check_link(_head(key, *head), fields)
        self._heads[key] = (row.seq, row.id)
        return ""

    def _branches(self, row: Row, fields: Payload) -> bool:
        """Tell whether an event's link holds though it forks its feed, or goes on from a fork: it is proof."""
        if fields.prev is None:
            return fields.seq == 0
        before = (fields.hive, fields.author, fields.feed, fields.seq - 1)
        return self._is_before(fields.prev, row.position) and place_of(self._store, fields.prev) == before

    def _check_references(self, row: Row, event: Event) -> str:
        for name in event.fields.after:
            if not self._is_before(name, row.position):
                return f"it builds on event {name[:12]}, which is not in the journal before it"
            if name in self._ends:
                self.passed.built_on.add((row.author, name))
        fault = self._check_body(row, event)
        _remember(self._recent, row.id)
        return fault

    def _check_body(self, row: Row, event: Event) -> str:
        kind = BY_NAME.get(row.kind)
        if kind is None or event.body is None:
            return ""
        for name in references(event.body, kind.rests_on):
            if not self._is_before(name, row.position):
                return f"it rests on event {name[:12]}, which is not in the journal before it"
        for name in references(event.body, kind.blobs):
            fault = self._check_blob(name)
            if fault and name in references(event.body, kind.erasable):
                fault = self._erasures().fault(name)
            if fault:
                return fault
        is_genesis = isinstance(event.body, HiveFounded) and event.body.specification
        return self._check_specification(event.body.specification) if is_genesis else ""

    def _is_before(self, name: str, position: int) -> bool:
        if name in self._recent:
            return True
        found = self._store.position_of(name)
        return found is not None and 0 <= found < position

    def _check_specification(self, name: str) -> str:
        try:
            named = specification_blobs(self._store.get(name))
        except JournalError as error:
            return error.message
        return next(filter(None, map(self._check_blob, named)), "")

    def _check_blob(self, name: str) -> str:
        """Say when a blob is gone; whether its bytes match is checked by place, once for each."""
        if name in self._blobs:
            return ""
        if not self._store.has_blob(name):
            return f"no blob {name[:12]}"
        _remember(self._blobs, name)
        return ""

    def _erasures(self) -> ErasureView:
        """Read, once and only when a text is absent, what the journal says of its texts."""
        if self._erased is None:
            self._erased = read_erasures(self._store)
        return self._erased


def place(row: Row, what: str) -> Fault:
    """Return a fault that names the row."""
    return Fault(what=what, position=row.position, event=row.id, feed=row.feed, seq=row.seq)


def missing_before(position: int) -> str:
    """Return what is wrong with a row before which there is a gap."""
    return f"an event is missing before it: position {position} expected"


def _head(key: FeedKey, seq: int, name: str | None) -> FeedHead:
    hive, author, feed = key
    return FeedHead(hive=hive, author=author, feed=feed, seq=seq, id=name)


def _remember(names: set[str], name: str) -> None:
    if len(names) >= _REMEMBERED:
        names.clear()
    names.add(name)
