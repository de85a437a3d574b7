"""Tables on disk: a SQLite file of derived state, read as needed, with a bounded cache and write-back.

Rules:
    1. Everything in the file can be made again from the journal: nothing here is history, and any doubt ends it.
    2. Each row carries a checksum of all that it holds; a row that fails it is `StateDamagedError`, never a value.
    3. Changes wait in memory until `write`, and leave it by `settle`, once the file's group is committed.
    4. As long as somebody holds a value of a type that can be watched, every look at its key gives that same value.

Data flow: view -> DiskTable, DiskLists -> TableFile -> views.db.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import msgspec

from consilience.core.errors import DamagedError
from consilience.journal.tables import Lists, Table

Value = TypeVar("Value")

CACHED = 512  # values kept at hand for each table: some megabytes in all, whatever the journal's length
CHUNK = 256  # rows read at once in a scan
_COUNTERS = "tables"


class StateDamagedError(DamagedError):
    """Derived state on disk cannot be believed: it is thrown away and made again."""


class TableFile:
    """One SQLite file of tables. `path` "" is a private temporary file that SQLite removes by itself."""

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self._connection = connection
        self.path = path

    def run(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        """Carry out one statement and return its rows.

        Raises:
            StateDamagedError: the file is not sound.
        """
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.DatabaseError as error:
            raise StateDamagedError(f"{self.path or 'temporary state'}: {error}") from error

    def run_all(self, query: str, rows: list[tuple[Any, ...]]) -> None:
        """Carry out one statement for many rows.

        Raises:
            StateDamagedError: the file is not sound, or cannot be written.
        """
        try:
            self._connection.executemany(query, rows)
        except sqlite3.DatabaseError as error:
            raise StateDamagedError(f"{self.path or 'temporary state'}: {error}") from error

    def begin(self) -> None:
        """Open a group of writes, unless one is open."""
        if not self._connection.in_transaction:
            self.run("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Let the group count."""
        if self._connection.in_transaction:
            self.run("COMMIT")

    def rollback(self) -> None:
        """Forget the group."""
        if self._connection.in_transaction:
            self.run("ROLLBACK")

    def close(self) -> None:
        """Close the file; what was not committed never was."""
        self._connection.close()


class DiskTable(Table[Value]):
    """A `Table` on disk."""

    def __init__(self, file: TableFile, name: str, kind: Any) -> None:
        self._file = file
        self._name = f'"{name}"'
        self._decoder = msgspec.msgpack.Decoder(kind)
        self._changed: dict[str, tuple[int, Value]] = {}
        self._recent: dict[str, tuple[int, Value]] = {}
        watched = getattr(getattr(kind, "__struct_config__", None), "weakref", False)
        self._alive: WeakValueDictionary[str, Any] | None = WeakValueDictionary() if watched else None
        file.run(f"CREATE TABLE IF NOT EXISTS {self._name} (place INTEGER PRIMARY KEY, key TEXT UNIQUE, data, sum)")
        self._stored = self._next = _next_place(file, self._name)

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
        place = self._next
        while place > 0:
            place -= 1
            yield self._at(place)

    @property
    def size(self) -> int:
        """How many places have been given away."""
        return self._next

    def write(self) -> None:
        """Hand what changed to the file's open group."""
        rows = []
        for key, (place, value) in self._changed.items():
            data = msgspec.msgpack.encode(value)
            rows.append((place, key, data, _sum(place, key, data)))
        query = f"INSERT INTO {self._name} VALUES (?,?,?,?) ON CONFLICT (place) DO UPDATE SET data=excluded.data,"
        self._file.run_all(f"{query} sum=excluded.sum", rows)

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
        found = self._recent.pop(key, None)
        if found is None:
            rows = self._file.run(f"SELECT place, key, data, sum FROM {self._name} WHERE key = ?", (key,))
            found = self._read(rows[0]) if rows else None
        if found is not None:
            self._keep(key, found)
        return found

    def _at(self, place: int) -> Value:
        for here, value in self._changed.values():
            if here == place:
                return value
        rows = self._file.run(f"SELECT place, key, data, sum FROM {self._name} WHERE place = ?", (place,))
        if not rows:
            raise StateDamagedError(f"{self._file.path}: a row of {self._name} is missing")
        return self._read(rows[0])[1]

    def _read(self, row: tuple[int, str, bytes, int]) -> tuple[int, Value]:
        place, key, data, stated = row
        value = self._alive.get(key) if self._alive is not None else None
        if value is None:
            value = _decode(self._decoder, self._file, (place, key, data), stated)
            if self._alive is not None:
                self._alive[key] = value
        return place, value

    def _keep(self, key: str, found: tuple[int, Value]) -> None:
        self._recent[key] = found
        if len(self._recent) > CACHED:
            del self._recent[next(iter(self._recent))]

    def _scan(self) -> Iterator[tuple[str, Value]]:
        query = f"SELECT place, key, data, sum FROM {self._name} WHERE place >= ? ORDER BY place LIMIT {CHUNK}"
        place = 0
        while place < self._stored:
            rows = self._file.run(query, (place,))
            if [row[0] for row in rows] != list(range(place, min(place + CHUNK, self._stored))):
                raise StateDamagedError(f"{self._file.path}: rows of {self._name} are missing")
            for row in rows:
                changed = self._changed.get(row[1])
                yield row[1], changed[1] if changed is not None else self._read(row)[1]
            place += len(rows)
        fresh = sorted((here, key) for key, (here, _) in self._changed.items() if here >= place)
        yield from ((key, self[key]) for _, key in fresh)


class DiskLists(Lists[Value]):
    """`Lists` on disk. A list that was looked at through `rows` stays in memory: its reader needs all of it."""

    def __init__(self, file: TableFile, name: str, kind: Any) -> None:
        self._file = file
        self._name = f'"{name}"'
        self._decoder = msgspec.msgpack.Decoder(kind)
        self._changed: dict[str, dict[int, Value]] = {}
        self._looked: dict[str, list[Value]] = {}
        self._cleared = False
        file.run(f"CREATE TABLE IF NOT EXISTS {self._name} (place INTEGER PRIMARY KEY, key TEXT, data, sum)")
        file.run(f'CREATE INDEX IF NOT EXISTS "{name} by key" ON {self._name} (key, place)')
        self._next = _next_place(file, self._name)

    def __getitem__(self, key: str) -> Sequence[Value]:
        found = [item for _, item in self._items(key)]
        if not found:
            raise KeyError(key)
        return found

    def __iter__(self) -> Iterator[str]:
        query = f"SELECT key FROM {self._name} GROUP BY key ORDER BY min(place)"
        stored = [] if self._cleared else [key for (key,) in self._file.run(query)]
        return iter(dict.fromkeys([*stored, *self._changed]))

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
        self._changed.clear()
        self._looked.clear()

    @property
    def size(self) -> int:
        """How many places have been given away."""
        return self._next

    def write(self) -> None:
        """Hand what changed to the file's open group."""
        if self._cleared:
            self._file.run(f"DELETE FROM {self._name}")
        rows = []
        for key, items in self._changed.items():
            for place, item in items.items():
                data = msgspec.msgpack.encode(item)
                rows.append((place, key, data, _sum(place, key, data)))
        self._file.run_all(f"INSERT OR REPLACE INTO {self._name} VALUES (?,?,?,?)", rows)

    def settle(self) -> None:
        """Let go of what was written: the file's group was committed."""
        self._changed.clear()
        self._cleared = False

    def _items(self, key: str) -> list[tuple[int, Value]]:
        query = f"SELECT place, key, data, sum FROM {self._name} WHERE key = ? ORDER BY place"
        stored = [] if self._cleared else self._file.run(query, (key,))
        found = {row[0]: _decode(self._decoder, self._file, row[:3], row[3]) for row in stored}
        return sorted({**found, **self._changed.get(key, {})}.items(), key=lambda item: item[0])

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


def _next_place(file: TableFile, name: str) -> int:
    return int(file.run(f"SELECT coalesce(max(place), -1) + 1 FROM {name}")[0][0])


def _sum(place: int, key: str, data: bytes) -> int:
    return zlib.crc32(data, zlib.crc32(f"{place} {key} ".encode()))


def _decode(decoder: Any, file: TableFile, row: tuple[int, str, bytes], stated: int) -> Any:
    place, key, data = row
    try:
        if _sum(place, key, data) == stated:
            return decoder.decode(data)
    except (TypeError, AttributeError, msgspec.DecodeError) as error:
        raise StateDamagedError(f"{file.path or 'temporary state'}: {error}") from error
    raise StateDamagedError(f"{file.path or 'temporary state'}: row {place} of its tables is damaged")
