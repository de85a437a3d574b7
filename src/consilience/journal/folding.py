"""A fold that can be kept: views with how far they are folded, in memory or on a file of tables.

Rules:
    1. Only what comes after everything that is folded is folded on top (`journal.progress`).
    2. What is saved is whole: tables, cells and the head that says of what, in one group of the file.
    3. When the file cannot be written, the views go on in memory, and the file stays as it was.
    4. Views are behind excision (`journal.standing`). An excision, or its withdrawal, is never folded on top.

Data flow: events -> Fold -> views; Fold -> `save` -> TableFile -> `load` -> Fold.
"""

from __future__ import annotations

import operator
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from consilience.core.events import Event
from consilience.journal.disk_tables import DiskLists, DiskTable
from consilience.journal.excision import NO_EXCISIONS, Excisions, excision_digest
from consilience.journal.measured import as_measured
from consilience.journal.progress import Progress
from consilience.journal.standing import StandingFold
from consilience.journal.table_file import StateDamagedError, TableFile
from consilience.journal.tables import KeptView

FORMAT = 1
_HEAD = "head"

Views = Mapping[str, KeptView]


class Key(Struct, frozen=True, kw_only=True):
    """What a snapshot is of: a hive, folded by this code, with these events of identities before it.

    `metric` is the objective's: an outcome without it is a failed one to every view. "" asks for none.
    """

    hive: str
    code: str
    identities: str = ""
    metric: str = ""
    format: int = FORMAT


class SnapshotHead(Struct, frozen=True, kw_only=True):
    """What a snapshot says of itself.

    Attributes:
        key, progress: of what it is, and how far.
        excisions: every excision among the folded events, and what they withdrew.
        digest: `excision_digest` of them, as it was when views were folded from the first event.
        sizes: the places in each table.
    """

    key: Key
    progress: Progress
    excisions: Excisions
    digest: str
    sizes: dict[str, int]


class NotOnTopError(Exception):
    """An event may not come after everything that is folded: the order has to be found from all events."""


class Fold:
    """The views of one hive; itself a view, to be followed by a journal.

    Attributes:
        unsaved: how many events were folded since the file was written.
        standing: what takes events to the views: behind the excisions that were known from the first event on.
        file: where the tables are; None is memory.
        complete: how many events every view has taken; one less than `progress` says while one is being taken.
        sound: whether the views are what a refold would give, as far as this fold can tell; else nothing is saved.
        whole: whether every event counts that is held of the hive and of its identities; else nothing is saved.
        writes: whether the file may be written by this process.
    """

    def __init__(self, key: Key, views: Views, file: TableFile | None = None, *, writes: bool = False) -> None:
        self.key = key
        self.views = views
        self.progress = Progress()
        self.unsaved = 0
        self.complete = 0
        self.sound = True
        self.whole = True
        self.writes = writes and file is not None
        self.standing = StandingFold(())
        self.file = file
        self._tables: dict[str, DiskTable[Any] | DiskLists[Any]] = {}
        if file is not None:
            self._attach(file)
        self._behind(NO_EXCISIONS)

    @property
    def excisions(self) -> Excisions:
        """Every excision among the folded events, and what they withdrew."""
        return self.standing.excisions

    @property
    def stale(self) -> bool:
        """Whether an excision, or its withdrawal, was folded on top: what came before has to be folded anew."""
        return self.standing.stale

    @property
    def as_it_lies(self) -> bool:
        """Whether the hive's events were folded in the order in which they lie in the journal, all of them."""
        return self.progress.chained and self.whole

    def apply(self, event: Event) -> None:
        """Take one more event as it was written, on top of all others."""
        self.sound = self.sound and self.progress.follows(event)
        self._take(event)

    def begin(self, identities: Iterable[Event]) -> None:
        """Take the events of the hive's identities, before any other."""
        for event in identities:
            self._take(event)

    def stack(self, event: Event, position: int) -> None:
        """Take the stored event at a local position, on top of all others.

        Raises:
            NotOnTopError: it may belong in between.
        """
        if not self.progress.follows(event):
            raise NotOnTopError
        self._take(event)
        self.move(position, event.id)

    def sort_in(self, events: Iterable[Event], excisions: Excisions, *, save_every: int) -> None:
        """Take all events of the hive, in canonical order, behind the excisions among them."""
        self._behind(excisions)
        for event in events:
            self._take(event)
            if self.unsaved >= save_every:
                self.save(whole=False)
        self.standing.stale = False

    def move(self, position: int, event: str) -> None:
        """Note the local position up to which everything is folded, and the event there."""
        self.progress = replace(self.progress, position=position, event=event)

    def load(self) -> None:
        """Take up what the file holds.

        Raises:
            StateDamagedError: there is nothing, or it is of another hive or code, or damaged.
        """
        if self.file is None:
            raise StateDamagedError("there is no file")
        cells = _read_cells(self.file)
        head = _decode(cells.get(_HEAD, b""), SnapshotHead)
        if head.key != self.key or head.sizes != self._sizes():
            raise StateDamagedError("the snapshot is of something else, or rows are missing")
        if head.digest != excision_digest(head.excisions):
            raise StateDamagedError("the snapshot is behind other excisions than it names")
        for name, view in self.views.items():
            values = _decode(cells.get(name, b""), dict[str, msgspec.Raw])
            for cell, kind in view.cells.items():
                _set(view, cell, _decode(values.get(cell, b""), kind))
        self._behind(head.excisions)
        self.progress = head.progress
        self.complete = self.progress.events

    def save(self, *, whole: bool = True) -> None:
        """Write what changed, and the head where the views are `whole`: as they stand after `progress`."""
        if not self.writes or self.file is None:
            return
        try:
            self._write(self.file, whole=whole)
        except StateDamagedError:
            self.writes = False
            with suppress(StateDamagedError):
                self.file.rollback()
            return
        for table in self._tables.values():
            table.settle()
        self.unsaved = 0

    def stay_here(self) -> None:
        """Write no more, and see the file as it is now, whatever others write to it."""
        self.writes = False
        if self.file is not None:
            self.file.hold_still()

    def close(self) -> None:
        """Close the file; tables on it can no longer be read."""
        if self.file is not None:
            self.file.close()

    def _attach(self, file: TableFile) -> None:
        file.run("CREATE TABLE IF NOT EXISTS cell (name TEXT PRIMARY KEY, data BLOB, sum INTEGER)")
        for name, view in self.views.items():
            for kinds, made in ((view.tables, DiskTable), (view.lists, DiskLists)):
                for attribute, kind in kinds.items():
                    table = self._tables[f"{name} {attribute}"] = made(file, f"{name} {attribute}", kind)
                    setattr(view, attribute, table)

    def _take(self, event: Event) -> None:
        if event.fields.hive == self.key.hive:
            self.progress = self.progress.after(event)
            self.unsaved += 1
        else:
            self.progress = self.progress.beside(event)
        self.standing.apply(as_measured(event, self.key.metric))
        self.complete = self.progress.events

    def _behind(self, excisions: Excisions) -> None:
        self.standing.restart(tuple(self.views.values()), (), excisions)

    def _write(self, file: TableFile, *, whole: bool) -> None:
        file.begin()
        file.run("DELETE FROM cell")
        for table in self._tables.values():
            table.write()
        if whole:
            cells = {_HEAD: msgspec.msgpack.encode(self._head())}
            for name, view in self.views.items():
                values = {cell: operator.attrgetter(cell)(view) for cell in view.cells}
                cells[name] = msgspec.msgpack.encode(values)
            rows = [(name, data, zlib.crc32(data)) for name, data in cells.items()]
            file.run_all("INSERT INTO cell VALUES (?,?,?)", rows)
        file.commit()

    def _head(self) -> SnapshotHead:
        excisions = self.excisions
        return SnapshotHead(
            key=self.key,
            progress=self.progress,
            excisions=excisions,
            digest=excision_digest(excisions),
            sizes=self._sizes(),
        )

    def _sizes(self) -> dict[str, int]:
        return {name: table.size for name, table in self._tables.items()}


def _read_cells(file: TableFile) -> dict[str, bytes]:
    rows = file.run("SELECT name, data, sum FROM cell")
    if any(not isinstance(data, bytes) or zlib.crc32(data) != stated for _, data, stated in rows):
        raise StateDamagedError(f"{file.path}: a cell is damaged")
    return {name: data for name, data, _ in rows}


def _decode(data: Any, kind: Any) -> Any:
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise StateDamagedError(f"a cell cannot be read: {error}") from error


def _set(view: Any, cell: str, value: Any) -> None:
    part, _, attribute = cell.rpartition(".")
    try:
        setattr(operator.attrgetter(part)(view) if part else view, attribute, value)
    except KeyError as error:  # a cell names what a table has lost
        raise StateDamagedError(f"a row of a table is missing: {error}") from error
