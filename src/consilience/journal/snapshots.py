"""Snapshots: the views of one hive as they stood at a position of its journal, in a file that may be deleted.

Rules:
    1. A snapshot is derived: without it, or in any doubt about it, the views are folded from the first event.
    2. It counts only for the hive, the code, and the event at its position, that it names; and only as a whole.
    3. It holds committed events alone: it is saved after the journal's commit, never before.
    4. One process writes it, under a lock of its own. Readers lay the tail over it in memory; a reader writes one
       only where there is none to use and the journal is long, for else each command would fold it all again.

Data flow: journal + views/HIVE.db -> `open_snapshot` -> Snapshot -> `Fold` -> views.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from consilience.core.errors import JournalError
from consilience.core.events import Event
from consilience.journal.acting import excisions_in
from consilience.journal.beside import Beside, beside
from consilience.journal.device import WriterLock
from consilience.journal.feed import read_event
from consilience.journal.folding import Fold, Key, NotOnTopError, Views
from consilience.journal.order import Ordered
from consilience.journal.reader import JournalReader
from consilience.journal.table_file import StateDamagedError, TableFile, remove_state

FOLDER = "views"
SAVE_EVERY = 2_000  # events: what a killed run has to fold again, and a pause of the writer at each save
WORTH_SAVING = 5_000  # events: a reader that folds fewer is soon done, and leaves no file behind

_EXCISION = ("result.excised", "excision.withdrawn")


class Snapshot:
    """A fold with the right to keep it. `end` is the local position up to which a reader looks; None for a writer."""

    def __init__(self, source: Source, fold: Fold, lock: WriterLock | None = None) -> None:
        journal = source.journal
        self.fold = fold
        self.end = source.end
        self._journal = journal
        self._lock = lock

    def commit(self, *, least: int = SAVE_EVERY) -> None:
        """Save what the journal has committed, once it is `least` events.

        Views that lack events of the journal (foreign ones were taken in meanwhile) are not saved any more.
        """
        fold, store = self.fold, self._journal.store
        if not fold.writes or fold.unsaved < max(least, 1):
            return
        added = store.count_since(fold.key.hive, fold.progress.position + 1)
        position, event = store.place(fold.key.hive)
        fold.writes = fold.sound and added == fold.unsaved and event in fold.progress.tips
        fold.move(position, event)
        fold.save()

    def close(self) -> None:
        """Close the file, and let others write it. Save first (`commit`) what is to be kept."""
        self.fold.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None


class Source(Struct, frozen=True):
    """What a snapshot is made from: the journal, the hive and code, a maker of new views, and the file's place.

    `end` is the local position of the last event to look at; None is all, whatever comes. `author` is who writes the
    journal in this process; "" is nobody.
    """

    journal: JournalReader
    key: Key
    views: Callable[[], Views]
    path: Path
    end: int | None = None
    author: str = ""
    before: Beside = Beside(events=(), whole=True, keys=None)


def open_snapshot(source: Source, *, writer: bool = False) -> Snapshot:
    """Return the views of a hive, folded up to the journal's end: from the file where it can be believed.

    Args:
        source: what to fold.
        writer: whether this process writes the journal, and so keeps the snapshot up to date.
    """
    end = None if writer else _length(source.journal) - 1
    source = _with_identities(replace(source, end=end))
    found = None if writer else _open_to_read(source)
    short = not writer and _length(source.journal) < WORTH_SAVING
    if found is None and not short and source.before.whole:
        found = _open_to_write(source, stays=writer)
    return found or _open_without(source)


def open_kept(source: Source) -> Snapshot | None:
    """Return the views as a reader would be shown them from the file; None where it would not be believed."""
    return _open_to_read(_with_identities(source))


def fold_of(source: Source, events: Sequence[Event], *, whole: bool = False) -> Snapshot:
    """Return the views folded from these events, in canonical order, in memory; `whole` as for a fold."""
    fold = Fold(source.key, source.views())
    fold.whole = whole
    fold.sort_in(events, excisions_in(events, source.journal.keys), save_every=SAVE_EVERY)
    return Snapshot(source, fold)


def fold_up_to(source: Source, to: int | None) -> Snapshot:
    """Return the views folded from the first event up to local position `to`, without any snapshot."""
    source = replace(source, end=_length(source.journal) - 1 if to is None else to)
    ordered = source.journal.ordered(source.key.hive, to=source.end)
    return fold_of(source, ordered.events, whole=_counts_all(ordered))


def _counts_all(ordered: Ordered) -> bool:
    return not (ordered.proofs or ordered.left_out or ordered.waiting)


def _with_identities(source: Source) -> Source:
    before = beside(source.journal, source.key.hive, source.end, [source.author] if source.author else [])
    return replace(source, before=before, key=replace(source.key, identities=before.digest))


def _open_to_read(source: Source) -> Snapshot | None:
    """Lay the tail over the snapshot, in memory. None where there is none to believe, or the tail is long."""
    file = None
    if not source.before.whole:
        return None
    try:
        file = TableFile.to_read(source.path)
        fold = Fold(source.key, source.views(), file)
        _load(source, fold)
        _check_tail(source, fold)
        _stack(source, fold)
    except (StateDamagedError, NotOnTopError):
        if file is not None:
            file.close()
        return None
    file.mend = _mender(source, fold)
    return Snapshot(source, fold)


def _open_to_write(source: Source, *, stays: bool) -> Snapshot | None:
    """Bring the snapshot up to date, or make it anew. None where this process may not write it."""
    try:
        source.path.parent.mkdir(exist_ok=True)
        lock = WriterLock(source.path.with_suffix(".lock"))
    except (OSError, JournalError):
        return None
    try:
        fold = _resume(source) or _fold_anew(source, lambda: _new_file(source.path))
        if fold.unsaved:
            fold.save()
        if fold.file is not None:
            fold.file.mend = _mender(source, fold)
        if not stays:
            fold.stay_here()
    except (OSError, StateDamagedError):  # a snapshot is never needed
        lock.release()
        return None
    except BaseException:
        lock.release()
        raise
    if stays:
        return Snapshot(source, fold, lock)
    lock.release()
    return Snapshot(source, fold)


def _open_without(source: Source) -> Snapshot:
    """Fold everything: a short journal in memory, a long one in a file that SQLite takes away by itself."""
    short = _length(source.journal) < WORTH_SAVING
    return Snapshot(source, _fold_anew(source, lambda: None if short else TableFile.private()))


def _resume(source: Source) -> Fold | None:
    if not (source.before.whole and source.path.exists()):
        return None
    file = TableFile.to_write(source.path)
    try:
        fold = Fold(source.key, source.views(), file, writes=True)
        _load(source, fold)
        _stack(source, fold)
    except (StateDamagedError, NotOnTopError):
        file.close()
        return None
    return fold


def _fold_anew(source: Source, file: Callable[[], TableFile | None]) -> Fold:
    """Fold all events: as they lie in the journal where that is their order, else sorted in memory."""
    rows = source.journal.store.rows
    if source.before.whole and not any(True for kind in _EXCISION for _ in rows(hive=source.key.hive, kind=kind)):
        with suppress(NotOnTopError):
            return _folded(source, file(), _stack_all)
    return _folded(source, file(), _sort_in)


def _folded(source: Source, file: TableFile | None, take: Callable[[Source, Fold], None]) -> Fold:
    fold = Fold(source.key, source.views(), file, writes=True)
    try:
        take(source, fold)
    except BaseException:
        fold.close()
        raise
    return fold


def _sort_in(source: Source, fold: Fold) -> None:
    journal, hive = source.journal, source.key.hive
    position, last = journal.store.place(hive, to=source.end)
    ordered = journal.ordered(hive, to=source.end)
    fold.whole = source.before.whole and _counts_all(ordered)
    if fold.file is not None and fold.file.path is not None:
        fold.writes = fold.writes and fold.whole
    fold.sort_in(ordered.events, excisions_in(ordered.events, journal.keys), save_every=SAVE_EVERY)
    fold.move(position, last)


def _load(source: Source, fold: Fold) -> None:
    fold.load()
    position = fold.progress.position
    if source.journal.store.place(source.key.hive, to=position) != (position, fold.progress.event):
        raise StateDamagedError("the snapshot is of another journal, or of an older copy of this one")


def _length(journal: JournalReader) -> int:
    """Return the position after the last event: counting them all would take longer than a snapshot does."""
    return next((row.position + 1 for row in journal.store.tail(1)), 0)


def _check_tail(source: Source, fold: Fold) -> None:
    if _length(source.journal) - fold.progress.position > WORTH_SAVING:
        raise NotOnTopError


def _stack_all(source: Source, fold: Fold) -> None:
    fold.begin(source.before.events)
    _stack(source, fold)


def _stack(source: Source, fold: Fold) -> None:
    for row in source.journal.store.rows(hive=source.key.hive, start=fold.progress.position + 1, to=source.end):
        event = read_event(row.payload, row.jws)
        if not source.before.holds(event):
            raise NotOnTopError
        fold.stack(event, row.position)
        if fold.unsaved >= SAVE_EVERY:
            fold.save()


def _new_file(path: Path) -> TableFile:
    remove_state(path)
    return TableFile.to_write(path)


def _mender(source: Source, fold: Fold) -> Callable[[], TableFile]:
    """Return what makes the tables of a fold anew, apart, when its file turns out to be damaged.

    The fold keeps what it changed since the file was written; below that comes whatever it has taken so far.
    """

    def mend() -> TableFile:
        fold.writes = False
        with suppress(OSError):
            remove_state(source.path)
        if not fold.sound:
            raise StateDamagedError(f"{source.path} was damaged, and is removed")
        file = TableFile.private()
        made = Fold(source.key, source.views(), file, writes=True)
        made.sort_in(islice(_in_order(source, fold), fold.complete), fold.excisions, save_every=SAVE_EVERY)
        made.save()
        return file

    return mend


def _in_order(source: Source, fold: Fold) -> Iterable[Event]:
    """Yield the events in the order in which a fold took them."""
    if fold.as_it_lies:
        rows = source.journal.store.rows(hive=source.key.hive, start=0)
        return chain(source.before.events, (read_event(row.payload, row.jws) for row in rows))
    return source.journal.events(source.key.hive, to=source.end)
