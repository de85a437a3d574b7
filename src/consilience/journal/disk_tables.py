"""`Table` and `Lists` on disk: read as needed, with a bounded cache, and written back in groups.

Rules:
    1. Changes wait in memory until `write`, and leave it by `settle`, once the file's group is committed.
    2. As long as somebody holds a value of a type that can be watched, every look at its key gives that same value.
    3. Places count up from 0 without gaps, so that a missing row is noticed.

Data flow: view -> DiskTable, DiskLists -> `journal.table_file`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import msgspec

from consilience.journal.table_file import StateDamagedError, TableFile, checksum, decode_row
from consilience.journal.tables import Lists, Table

Value = TypeVar("Value")

CACHED = 512  # values kept at hand for each table: some megabytes in all, whatever the journal's length
CHUNK = 256  # rows read at once in a scan
_ROW = "place, key, data, sum"


class DiskTable(Table[Value]):
    """A `Table` on disk."""

    def __init__(self, file: TableFile, name: str, kind: Any) -> None:
        self._file = file
        self._decoder = msgspec.msgpack.Decoder(kind)
        self._changed: dict[str, tuple[int, Value]] = {}
        self._recent: dict[str, tuple[int, Value]] = {}
        watched = getattr(getattr(kind, "__struct_config__", None), "weakref", False)
        self._alive: WeakValueDictionary[str, Any] | None = WeakValueDictionary() if watched else None
        self._insert = (
            f'INSERT INTO "{name}" ({_ROW}) VALUES (?,?,?,?)'  # noqa: S608  constant names
            " ON CONFLICT (place) DO UPDATE SET data = excluded.data, sum = excluded.sum"
        )
        self._by_key = f'SELECT {_ROW} FROM "{name}" WHERE key = ?'  # noqa: S608  constant names
        self._from = f'SELECT {_ROW} FROM "{name}" WHERE place >= ? AND place < ? ORDER BY place LIMIT {CHUNK}'  # noqa: S608  constant names
        file.run(f'CREATE TABLE IF NOT EXISTS "{name}" (place INTEGER PRIMARY KEY, key TEXT UNIQUE, data BLOB, sum)')
        self._stored = self._next = next_place(file, name)

    def __getitem__(self, key: str) -> Value:
        found = self._find(key)
        if found is None:
            raise KeyError(key)
        return found[1]

    def __setitem__(self, key: str, value: Value) -> None:
        found = self._find(key)
        if found is None:
            found = (self._next, value)
            self._next += 1
        self._recent.pop(key, None)
        self._changed[key] = (found[0], value)
        if self._alive is not None:
            self._alive[key] = value

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._find(key) is not None

    def __iter__(self) -> Iterator[str]:
        return (key for key, _ in self._scan())

    def __len__(self) -> int:
        return self._next

    def items(self) -> Any:
        """Return keys and values, in order."""
        return self._scan()

    def values(self) -> Any:
        """Return the values, in order."""
        return (value for _, value in self._scan())

    def touch(self, key: str) -> None:
        """Say that the value was, or is about to be, changed in place."""
        self[key] = self[key]

    def backwards(self) -> Iterator[Value]:
        """Yield the values, latest first."""
        changed = dict(self._changed.values())
        for place in reversed(range(self._next)):
            yield changed[place] if place in changed else self._file.read(partial(self._at, place))

    @property
    def size(self) -> int:
        """How many places have been given away."""
        return self._next

    def write(self) -> None:
        """Hand what changed to the file's open group."""
        found = [(place, key, msgspec.msgpack.encode(value)) for key, (place, value) in self._changed.items()]
        self._file.run_all(self._insert, [(*row, checksum(*row)) for row in found])

    def settle(self) -> None:
        """Let go of what was written: the file's group was committed."""
        for key, found in self._changed.items():
            self._keep(key, found)
        self._changed.clear()
        self._stored = self._next

    def _find(self, key: str) -> tuple[int, Value] | None:
        found = self._changed.get(key)
        if found is not None:
            return found
        found = self._recent.pop(key, None) or self._file.read(lambda: self._look(key))
        if found is not None:
            self._keep(key, found)
        return found

    def _look(self, key: str) -> tuple[int, Value] | None:
        rows = self._file.run(self._by_key, (key,))
        return self._read(rows[0]) if rows else None

    def _read(self, row: Sequence[Any]) -> tuple[int, Value]:
        place, key = row[0], row[1]
        value = self._alive.get(key) if self._alive is not None else None
        if value is None:
            value = decode_row(self._decoder, row)
            if self._alive is not None:
                self._alive[key] = value
        return place, value

    def _keep(self, key: str, found: tuple[int, Value]) -> None:
        self._recent[key] = found
        if len(self._recent) > CACHED:
            del self._recent[next(iter(self._recent))]

    def _rows(self, place: int, end: int) -> list[Any]:
        rows = self._file.run(self._from, (place, end))
        if [row[0] for row in rows] != list(range(place, min(place + CHUNK, end))):
            raise StateDamagedError("rows of a table are missing")
        return rows

    def _at(self, place: int) -> Value:
        return self._read(self._rows(place, place + 1)[0])[1]

    def _chunk(self, place: int) -> list[tuple[str, Value]]:
        return [(row[1], self._read(row)[1]) for row in self._rows(place, self._stored)]

    def _scan(self) -> Iterator[tuple[str, Value]]:
        place = 0
        while place < self._stored:
            for key, value in self._file.read(partial(self._chunk, place)):
                changed = self._changed.get(key)
                yield key, value if changed is None else changed[1]
                place += 1
        fresh = sorted((here, key) for key, (here, _) in self._changed.items() if here >= place)
        yield from ((key, self[key]) for _, key in fresh)


class DiskLists(Lists[Value]):
    """`Lists` on disk. A list that was looked at through `rows` stays in memory: its reader needs all of it."""

    def __init__(self, file: TableFile, name: str, kind: Any) -> None:
        self._file = file
        self._decoder = msgspec.msgpack.Decoder(kind)
        self._changed: dict[str, dict[int, Value]] = {}
        self._looked: dict[str, list[Value]] = {}
        self._cleared = False
        self._insert = f'INSERT OR REPLACE INTO "{name}" ({_ROW}) VALUES (?,?,?,?)'  # noqa: S608  constant names
        self._clear = f'DELETE FROM "{name}"'  # noqa: S608  a constant name
        self._by_key = f'SELECT {_ROW} FROM "{name}" WHERE key = ? ORDER BY place'  # noqa: S608  constant names
        self._keys = f'SELECT key FROM "{name}" GROUP BY key ORDER BY min(place)'  # noqa: S608  the same
        file.run(f'CREATE TABLE IF NOT EXISTS "{name}" (place INTEGER PRIMARY KEY, key TEXT, data BLOB, sum)')
        file.run(f'CREATE INDEX IF NOT EXISTS "{name} by key" ON "{name}" (key, place)')
        self._next = next_place(file, name)

    def __getitem__(self, key: str) -> Sequence[Value]:
        found = [item for _, item in self._items(key)]
        if not found:
            raise KeyError(key)
        return found

    def __iter__(self) -> Iterator[str]:
        stored = [] if self._cleared else self._file.read(lambda: self._file.run(self._keys))
        return iter(dict.fromkeys([*(key for (key,) in stored), *self._changed]))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def append(self, key: str, item: Value) -> None:
        """Add an item at the end of a list."""
        self._changed.setdefault(key, {})[self._next] = item
        self._next += 1
        if key in self._looked:
            self._looked[key].append(item)

    def rows(self, key: str) -> Sequence[Value]:
        """Return a list that is read when it is looked at. Empty for an unknown key."""
        return _Rows(lambda: self._whole(key))

    def change(self, key: str, new: Callable[[Value], Value]) -> None:
        """Replace each item of a list by what `new` makes of it."""
        for place, item in self._items(key):
            made = new(item)
            if made is not item:
                self._changed.setdefault(key, {})[place] = made
        self._looked.pop(key, None)

    def clear(self) -> None:
        """Forget all lists."""
        self._cleared = True
        self._next = 0
        self._changed.clear()
        self._looked.clear()

    @property
    def size(self) -> int:
        """How many places have been given away."""
        return self._next

    def write(self) -> None:
        """Hand what changed to the file's open group."""
        if self._cleared:
            self._file.run(self._clear)
        found = [
            (place, key, msgspec.msgpack.encode(item))
            for key, items in self._changed.items()
            for place, item in items.items()
        ]
        self._file.run_all(self._insert, [(*row, checksum(*row)) for row in found])

    def settle(self) -> None:
        """Let go of what was written: the file's group was committed."""
        self._changed.clear()
        self._cleared = False

    def _items(self, key: str) -> list[tuple[int, Value]]:
        stored = {} if self._cleared else self._file.read(lambda: self._look(key))
        return sorted({**stored, **self._changed.get(key, {})}.items(), key=lambda item: item[0])

    def _look(self, key: str) -> dict[int, Value]:
        return {row[0]: decode_row(self._decoder, row) for row in self._file.run(self._by_key, (key,))}

    def _whole(self, key: str) -> list[Value]:
        if key not in self._looked:
            self._looked[key] = [item for _, item in self._items(key)]
        return self._looked[key]


class _Rows(Sequence[Value]):
    """A list that is read when it is first looked at."""

    def __init__(self, read: Callable[[], list[Value]]) -> None:
        self._read = read

    def __getitem__(self, place: Any) -> Any:
        return self._read()[place]

    def __len__(self) -> int:
        return len(self._read())

    def __iter__(self) -> Iterator[Value]:
        return iter(self._read())


def next_place(file: TableFile, name: str) -> int:
    """Return the first place of a table that is free."""
    return int(file.run(f'SELECT coalesce(max(place), -1) + 1 FROM "{name}"')[0][0])  # noqa: S608  a constant name
