"""A fold that can be kept: views with how far they are folded, in memory or on a file of tables.

Rules:
    1. Only what comes after everything that is folded is folded on top (`journal.progress`).
    2. What is saved is whole: tables, cells and the head that says of what, in one group of the file.
    3. When the file cannot be written, the views go on in memory, and the file stays as it was.

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
from consilience.journal.kinds import BY_NAME, references
from consilience.journal.progress import Progress
from consilience.journal.table_file import StateDamagedError, TableFile
from consilience.journal.tables import KeptView

FORMAT = 1
_HEAD = "head"

Views = Mapping[str, KeptView]


class Key(Struct, frozen=True, kw_only=True):
    """What a snapshot is of: a hive, folded by this code."""

    hive: str
    code: str
    format: int = FORMAT


class Head(Struct, frozen=True, kw_only=True):
    """What a snapshot says of itself. `excised` are the events left out, `sizes` the places in each table."""

    key: Key
    progress: Progress
    excised: tuple[str, ...]
    sizes: dict[str, int]


class NotOnTopError(Exception):
    """An event may not come after everything that is folded: the order has to be found from all events."""


class Fold:
    """The views of one hive; itself a view, to be followed by a journal.

    Attributes:
        unsaved: how many events were folded since the file was written.
        excised: the events that are left out.
        file: where the tables are; None is memory.
        complete: how many events every view has taken; one less than `progress` says while one is being taken.
        sound: whether the views are what a refold would give, as far as this fold can tell; else nothing is saved.
        writes: whether the file may be written by this process.
    """

    def __init__(self, key: Key, views: Views, file: TableFile | None = None, *, writes: bool = False) -> None:
        self.key = key
        self.views = views
        self.progress = Progress()
        self.unsaved = 0
        self.complete = 0
        self.sound = True
        self.writes = writes and file is not None
        self.excised: set[str] = set()
        self.file = file
        self._tables: dict[str, DiskTable[Any] | DiskLists[Any]] = {}
        if file is not None:
            self._attach(file)

    def apply(self, event: Event) -> None:
        """Take one more event as it was written, on top of all others."""
        self.sound = self.sound and self.progress.follows(event)
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

    def sort_in(self, events: Iterable[Event], excised: Iterable[str], *, save_every: int) -> None:
        """Take all events of the hive, in canonical order, without those that are excised."""
        self.excised = set(excised)
        for event in events:
            self._take(event)
            if self.unsaved >= save_every:
                self.save(whole=False)

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
        head = _decode(cells.get(_HEAD, b""), Head)
        if head.key != self.key or head.sizes != self._sizes():
            raise StateDamagedError("the snapshot is of something else, or rows are missing")
        for name, view in self.views.items():
            values = _decode(cells.get(name, b""), dict[str, msgspec.Raw])
            for cell, kind in view.cells.items():
                _set(view, cell, _decode(values.get(cell, b""), kind))
        self.progress, self.excised = head.progress, set(head.excised)
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
        self.progress = self.progress.after(event)
        self.unsaved += 1
        if self.excised and self._is_excised(event):
            self.excised.add(event.id)
        else:
            for view in self.views.values():
                view.apply(event)
        self.complete = self.progress.events

    def _is_excised(self, event: Event) -> bool:
        kind = BY_NAME.get(event.fields.kind)
        rests_on = references(event.body, kind.rests_on) if kind is not None and event.body is not None else ()
        return event.id in self.excised or not self.excised.isdisjoint(rests_on)

    def _write(self, file: TableFile, *, whole: bool) -> None:
        file.begin()
        file.run("DELETE FROM cell")
        for table in self._tables.values():
            table.write()
        if whole:
            excised = tuple(sorted(self.excised))
            head = Head(key=self.key, progress=self.progress, excised=excised, sizes=self._sizes())
            cells = {_HEAD: msgspec.msgpack.encode(head)}
            for name, view in self.views.items():
                values = {cell: operator.attrgetter(cell)(view) for cell in view.cells}
                cells[name] = msgspec.msgpack.encode(values)
            rows = [(name, data, zlib.crc32(data)) for name, data in cells.items()]
            file.run_all("INSERT INTO cell VALUES (?,?,?)", rows)
        file.commit()

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
    setattr(operator.attrgetter(part)(view) if part else view, attribute, value)
