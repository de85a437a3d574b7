"""The SQLite file: events as signed, blobs by hash, append-only by triggers, WAL with group commit.

Rules:
    1. Rows are only ever added; triggers refuse UPDATE and DELETE on events and UPDATE on blobs.
    2. What is committed survives power loss (`synchronous=FULL`); what is not committed never happened.
    3. A file of a newer format is refused before anything is read or written.

Data flow: Journal -> here -> disk; disk -> rows -> `journal.feed`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from consilience.core.canonical import sha256_hex
from consilience.core.errors import DamagedError, JournalError, NewerFormatError, NotFoundError
from consilience.journal.feed import Row

Durability = Literal["full", "normal"]

APPLICATION_ID = 0x434F4E53  # "CONS": `file` and other tools can tell what this is
FORMAT_VERSION = 1

_SCHEMA = """
CREATE TABLE event (
    position INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    hive TEXT NOT NULL,
    author TEXT NOT NULL,
    feed TEXT NOT NULL,
    seq INTEGER NOT NULL,
    kind TEXT NOT NULL,
    payload BLOB NOT NULL,
    jws TEXT NOT NULL
) STRICT;
CREATE INDEX event_by_feed ON event (hive, feed, seq);
CREATE INDEX event_by_kind ON event (kind, position);
CREATE TABLE blob (name TEXT PRIMARY KEY, data BLOB NOT NULL) STRICT;
CREATE TRIGGER event_no_update BEFORE UPDATE ON event BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TRIGGER event_no_delete BEFORE DELETE ON event BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TRIGGER blob_no_update BEFORE UPDATE ON blob BEGIN SELECT RAISE(ABORT, 'blobs never change'); END;
"""
_COLUMNS = "position, id, hive, author, feed, seq, kind, payload, jws"
_LAST_POSITION = 2**63 - 1  # SQLite's largest
_MEND_DAMAGED = "restore the journal from `consilience backup`, or move it away to start anew"


class Store:
    """One journal file. Implements `core.ports.BlobStore` for the blobs in it."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self.path = path

    @classmethod
    def open(cls, path: Path, *, durability: Durability = "full", create: bool = False) -> Store:
        """Open the file, making it when `create` is set.

        Raises:
            NotFoundError: absent and `create` is not set.
            NewerFormatError, DamagedError, JournalError: it cannot be used.
        """
        if not create and (not path.exists() or path.stat().st_size == 0):
            raise NotFoundError(f"no journal at {path}", hint="`consilience run` makes one")
        try:
            connection = sqlite3.connect(path, isolation_level=None, timeout=10.0)
        except sqlite3.DatabaseError as error:
            raise _explain(path, error) from error
        store = cls(connection, path)
        try:
            store._prepare(durability, create=create)
        except sqlite3.DatabaseError as error:
            connection.close()
            raise _explain(path, error) from error
        except JournalError:
            connection.close()
            raise
        return store

    def _prepare(self, durability: Durability, *, create: bool) -> None:
        connection = self._connection
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > FORMAT_VERSION:
            raise NewerFormatError(
                f"{self.path} has format {version}, this version knows up to {FORMAT_VERSION}",
                hint="upgrade consilience: pip install --upgrade consilience",
            )
        if version == 0 and create:
            self._create_schema()
        elif version != FORMAT_VERSION:
            raise DamagedError(f"{self.path} has format {version}, which never was", hint=_MEND_DAMAGED)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={'FULL' if durability == 'full' else 'NORMAL'}")
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        if application != APPLICATION_ID:
            raise DamagedError(f"{self.path} is not a consilience journal", hint=_MEND_DAMAGED)

    def _create_schema(self) -> None:
        if self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise DamagedError(f"{self.path} is not a consilience journal", hint=_MEND_DAMAGED)
        script = f"PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={FORMAT_VERSION};"
        self._connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} {script} COMMIT;")

    def begin(self) -> None:
        """Open a group: everything until `commit` becomes durable together, or not at all."""
        if not self._connection.in_transaction:
            self._run("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Make the group durable.

        Raises:
            JournalError: the disk refused; nothing of the group is kept.
        """
        if self._connection.in_transaction:
            self._run("COMMIT")

    def rollback(self) -> None:
        """Forget the open group."""
        if self._connection.in_transaction:
            self._run("ROLLBACK")

    def add(self, row: Row) -> None:
        """Add one event to the open group."""
        query = f"INSERT INTO event ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?)"  # noqa: S608  constant columns
        if self._run(query, _values(row)).rowcount != 1:
            raise DamagedError(f"{self.path} did not take an event", hint=_MEND_DAMAGED)

    def holds(self, event: str) -> bool:
        """Tell whether an event is here."""
        return bool(self._fetch("SELECT 1 FROM event WHERE id = ?", (event,)))

    def put(self, data: bytes) -> str:
        """Keep the bytes and return their hash; keeping them twice is keeping them once."""
        name = sha256_hex(data)
        self._run("INSERT INTO blob (name, data) VALUES (?, ?) ON CONFLICT DO NOTHING", (name, data))
        return name

    def get(self, name: str) -> bytes:
        """Return a blob, checked against its name.

        Raises:
            NotFoundError: absent.
            DamagedError: the bytes no longer match their name.
        """
        found = self._fetch("SELECT data FROM blob WHERE name = ?", (name,))
        if not found:
            raise NotFoundError(f"no blob {name[:12]}")
        data = bytes(found[0][0])
        if sha256_hex(data) != name:
            raise DamagedError(f"blob {name[:12]} no longer matches its hash", hint=_MEND_DAMAGED)
        return data

    def blob_names(self) -> Iterator[str]:
        """Yield the name of every blob."""
        try:
            for (name,) in self._connection.execute("SELECT name FROM blob ORDER BY name"):
                yield name
        except sqlite3.DatabaseError as error:
            raise _explain(self.path, error) from error

    def drop_blobs(self, names: list[str]) -> None:
        """Remove blobs that no event names (`gc`)."""
        for name in names:
            self._run("DELETE FROM blob WHERE name = ?", (name,))

    def rows(
        self, *, hive: str | None = None, kind: str | None = None, to: int | None = None, since: int | None = None
    ) -> Iterator[Row]:
        """Yield rows in order of arrival, from local position `since` up to `to`, of one hive and kind or of all.

        With `since` the rows are walked through where they lie; without it, those of one hive are looked up.
        """
        query = f"SELECT {_COLUMNS} FROM event WHERE position <= ? AND position >= ?"  # noqa: S608  constant columns
        values: list[object] = [_LAST_POSITION if to is None else min(to, _LAST_POSITION), since or 0]
        for column, value in (("hive" if since is None else "+hive", hive), ("kind", kind)):
            if value is not None:
                query += f" AND {column} = ?"
                values.append(value)
        try:
            for found in self._connection.execute(query + " ORDER BY position", values):
                yield Row(**dict(zip(Row.__struct_fields__, found, strict=True)))
        except sqlite3.DatabaseError as error:
            raise _explain(self.path, error) from error

    def ids_of_kinds(self, hive: str, kinds: Iterable[str], *, to: int | None = None) -> list[str]:
        """Return the ids of a hive's events of some kinds, in order of arrival, up to local position `to`."""
        last = _LAST_POSITION if to is None else min(to, _LAST_POSITION)
        query = "SELECT position, id FROM event WHERE kind = ? AND position <= ? AND hive = ?"
        found = sorted(row for kind in kinds for row in self._fetch(query, (kind, last, hive)))
        return [name for _, name in found]

    def place(self, hive: str, *, to: int | None = None) -> tuple[int, str]:
        """Return position and id of a hive's latest event, at or before position `to`; (-1, "") without one."""
        query = "SELECT position, id FROM event WHERE +hive = ? AND position <= ? ORDER BY position DESC LIMIT 1"
        found = self._fetch(query, (hive, _LAST_POSITION if to is None else min(to, _LAST_POSITION)))
        return (int(found[0][0]), str(found[0][1])) if found else (-1, "")

    def count_since(self, hive: str, position: int) -> int:
        """Return how many events of a hive there are from a local position on."""
        column = "+hive" if position else "hive"  # all of them are counted in the index
        query = f"SELECT count(*) FROM event WHERE position >= ? AND {column} = ?"  # noqa: S608  constant columns
        return int(self._fetch(query, (position, hive))[0][0])

    def tail(self, count: int) -> list[Row]:
        """Return the latest rows, oldest first."""
        query = f"SELECT {_COLUMNS} FROM event ORDER BY position DESC LIMIT ?"  # noqa: S608  constant columns
        found = self._fetch(query, (count,))
        return [Row(**dict(zip(Row.__struct_fields__, values, strict=True))) for values in reversed(found)]

    def count(self) -> int:
        """Return how many events there are: the next local position."""
        return int(self._fetch("SELECT count(*) FROM event")[0][0])

    def structure_faults(self) -> list[str]:
        """Return what SQLite's own check finds wrong with the file; empty when it is sound."""
        try:
            found = self._connection.execute("PRAGMA integrity_check(5)").fetchall()
        except sqlite3.DatabaseError as error:
            return [str(error)]
        return [text for (text,) in found if text != "ok"] + self._schema_faults()

    def _schema_faults(self) -> list[str]:
        """Compare tables, indexes and triggers with what this format has: a missing trigger is a fault."""
        query = "SELECT type || ' ' || name || ' ' || coalesce(sql, '') FROM sqlite_master ORDER BY 1"
        here = {text for (text,) in self._connection.execute(query)}
        fresh = sqlite3.connect(":memory:")
        try:
            fresh.executescript(_SCHEMA)
            wanted = {text for (text,) in fresh.execute(query)}
        finally:
            fresh.close()
        return [f"the schema differs at {' '.join(text.split()[:2])}" for text in sorted(here ^ wanted)]

    def copy_to(self, destination: Path) -> None:
        """Write a consistent copy while others go on writing."""
        try:
            target = sqlite3.connect(destination)
            try:
                self._connection.backup(target)
            finally:
                target.close()
        except sqlite3.DatabaseError as error:
            raise _explain(destination, error) from error

    def close(self) -> None:
        """Close the file; an open group is forgotten."""
        self.rollback()
        self._connection.close()

    def _run(self, query: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
        try:
            return self._connection.execute(query, values)
        except sqlite3.DatabaseError as error:
            raise _explain(self.path, error) from error

    def _fetch(self, query: str, values: tuple[object, ...] = ()) -> list[Any]:
        try:  # a damaged page is met while rows are read, not when the query starts
            return self._connection.execute(query, values).fetchall()
        except sqlite3.DatabaseError as error:
            raise _explain(self.path, error) from error


def _values(row: Row) -> tuple[object, ...]:
    return (row.position, row.id, row.hive, row.author, row.feed, row.seq, row.kind, row.payload, row.jws)


def _explain(path: Path, error: sqlite3.DatabaseError) -> JournalError:
    """Turn SQLite's error into ours: who is at fault, and the mend."""
    text = str(error)
    if "readonly" in text or "unable to open" in text:
        return JournalError(
            f"cannot write {path}: {text}", hint="make the folder writable, or name another with --state"
        )
    if "full" in text:
        return JournalError(f"cannot write {path}: the disk is full", hint="free some space and run again: it resumes")
    if "locked" in text or "busy" in text:
        return JournalError(f"{path} is held by another program", hint="close it and try again")
    return DamagedError(f"{path}: {text}", hint=_MEND_DAMAGED)
