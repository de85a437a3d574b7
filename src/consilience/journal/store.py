"""The SQLite file: events as signed, blobs by hash, append-only by triggers, WAL with group commit.

Rules:
    1. Rows are only ever added; triggers refuse UPDATE and DELETE on events and UPDATE on blobs.
    2. What is committed survives power loss (`synchronous=FULL`); what is not committed never happened.
    3. After a refused write nothing more is written through this Store: what its caller believes may not be on disk.
    4. A file of a newer format, or of another program, is refused before anything is written.

Durability: `full` waits at each commit until the disk has the group. `normal` waits only when the write-ahead log is
moved into the file: power loss may take the latest groups, whole and from the end; a killed process loses nothing.

Data flow: Journal -> here -> disk; disk -> rows -> `journal.feed`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from consilience.core.canonical import sha256_hex
from consilience.core.errors import DamagedError, JournalError, NotFoundError
from consilience.journal.feed import COLUMNS, Row, stored_row
from consilience.journal.opening import check_before_opening, no_journal_yet
from consilience.journal.refusals import MEND_DAMAGED, explain
from consilience.journal.schema import FORMAT_VERSION, format_of, schema_faults, upgrade

Durability = Literal["full", "normal"]

_INSERT = f"INSERT INTO event ({COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?)"  # noqa: S608  constant columns
FIRST_POSITION = -(2**63)  # SQLite's smallest: a row before 0, which is a fault, is read as well
_LAST_POSITION = 2**63 - 1  # SQLite's largest
_BUSY_SECONDS = 10.0  # a reader that moves the log into the file holds others up for less


class Store:
    """One journal file. Implements `core.ports.BlobStore` for the blobs in it."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._refused: JournalError | None = None
        self.path = path
        self.version = FORMAT_VERSION

    @classmethod
    def open(cls, path: Path, *, durability: Durability = "full", create: bool = False) -> Store:
        """Open the file for reading, or with `create` for writing: it is made when absent, and upgraded when older.

        Raises:
            NotFoundError: absent and `create` is not set.
            NewerFormatError, DamagedError, JournalError: it cannot be used.
        """
        check_before_opening(path, create=create)
        try:
            connection = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_SECONDS)
        except sqlite3.Error as error:
            raise explain(path, error) from error
        store = cls(connection, path)
        try:
            store._prepare(durability, create=create)
        except sqlite3.Error as error:
            connection.close()
            raise explain(path, error) from error
        except JournalError:
            connection.close()
            raise
        return store

    def _prepare(self, durability: Durability, *, create: bool) -> None:
        connection = self._connection
        self.version = format_of(connection, self.path)
        if create:
            upgrade(connection, self.version)
            self.version = FORMAT_VERSION
            connection.execute("PRAGMA journal_mode=WAL")
            for fault in schema_faults(connection, self.version):
                raise DamagedError(f"{self.path}: {fault}", hint=MEND_DAMAGED)
        elif self.version == 0:
            raise no_journal_yet(self.path)
        connection.execute(f"PRAGMA synchronous={'FULL' if durability == 'full' else 'NORMAL'}")

    def begin(self) -> None:
        """Open a group: everything until `commit` becomes durable together, or not at all."""
        if not self._connection.in_transaction:
            self._write("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Make the group durable.

        Raises:
            JournalError: the disk refused; nothing of the group is acknowledged.
        """
        if self._connection.in_transaction or self._refused:
            self._write("COMMIT")

    def rollback(self) -> None:
        """Forget the open group."""
        if self._connection.in_transaction:
            self._run("ROLLBACK")

    def add(self, row: Row) -> None:
        """Add one event to the open group."""
        if self._write(_INSERT, _values(row)).rowcount != 1:
            raise DamagedError(f"{self.path} did not take an event", hint=MEND_DAMAGED)

    def holds(self, event: str) -> bool:
        """Tell whether an event is here."""
        return self.position_of(event) is not None

    def position_of(self, event: str) -> int | None:
        """Return the local position of an event, None when it is not here."""
        found = self._fetch("SELECT position FROM event WHERE id = ?", (event,))
        return int(found[0][0]) if found else None

    def put(self, data: bytes, salt: bytes = b"") -> str:
        """Keep the bytes and return their name, the hash of salt and bytes; keeping them twice is keeping them once.

        Bytes that may have to be erased get a random salt, so that nobody can tell from the name that stays
        whether it was that of bytes that he guesses.
        """
        name = sha256_hex(salt + data)
        query = "INSERT INTO blob (name, data, salt) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
        self._write(query, (name, data, salt))
        return name

    def get(self, name: str) -> bytes:
        """Return a blob, checked against its name.

        Raises:
            NotFoundError: absent.
            DamagedError: the bytes no longer match their name.
        """
        found = self._fetch(f"SELECT data, {self._salt} FROM blob WHERE name = ?", (name,))  # noqa: S608  constant
        if not found:
            raise NotFoundError(f"no blob {name[:12]}")
        data, salt = bytes(found[0][0]), bytes(found[0][1])
        if sha256_hex(salt + data) != name:
            raise DamagedError(f"blob {name[:12]} no longer matches its hash", hint=MEND_DAMAGED)
        return data

    def has_blob(self, name: str) -> bool:
        """Tell whether a blob is here; its bytes are not looked at."""
        return bool(self._fetch("SELECT 1 FROM blob WHERE name = ?", (name,)))

    def salt_of(self, name: str) -> bytes | None:
        """Return a blob's salt, empty for one that is never erased; None when the blob is absent."""
        found = self._fetch(f"SELECT {self._salt} FROM blob WHERE name = ?", (name,))  # noqa: S608  constant
        return bytes(found[0][0]) if found else None

    @property
    def _salt(self) -> str:
        return "salt" if self.version > 1 else "x''"

    def blob_names(self) -> Iterator[str]:
        """Yield the name of every blob."""
        for (name,) in self._select("SELECT name FROM blob ORDER BY name"):
            yield name

    def blob_places(self) -> tuple[int, int]:
        """Return the first and the last place of a blob, for `check_blobs`; the last is before the first for none."""
        first, last = self._fetch("SELECT coalesce(min(rowid), 0), coalesce(max(rowid), -1) FROM blob")[0]
        return int(first), int(last)

    def check_blobs(self, first: int, last: int) -> Iterator[tuple[str, bool]]:
        """Yield name and whether the bytes still match it, for the blobs at places `first` to `last`."""
        query = f"SELECT name, {self._salt}, data FROM blob WHERE rowid BETWEEN ? AND ? ORDER BY rowid"  # noqa: S608
        for name, salt, data in self._select(query, (first, last)):
            yield name, sha256_hex(bytes(salt) + bytes(data)) == name

    def drop_blobs(self, names: Iterable[str]) -> None:
        """Remove blobs; their bytes are overwritten in the file, and leave the write-ahead log with `compact`."""
        self._write("PRAGMA secure_delete=ON")
        for name in names:
            self._write("DELETE FROM blob WHERE name = ?", (name,))

    def rows(
        self,
        *,
        hive: str | None = None,
        kind: str | None = None,
        author: str | None = None,
        start: int | None = None,
        to: int | None = None,
    ) -> Iterator[Row]:
        """Yield rows in order of arrival, from local position `start` up to and with `to`, filtered by column.

        With `start` the rows are walked through where they lie; without it, those of one hive are looked up.
        """
        query = f"SELECT {COLUMNS} FROM event WHERE position >= ? AND position <= ?"  # noqa: S608  constant columns
        values: list[object] = [
            FIRST_POSITION if start is None else start,
            _LAST_POSITION if to is None else min(to, _LAST_POSITION),
        ]
        for column, value in (("hive" if start is None else "+hive", hive), ("kind", kind), ("author", author)):
            if value is not None:
                query += f" AND {column} = ?"
                values.append(value)
        for found in self._select(query + " ORDER BY position", values):
            yield stored_row(found)

    def ids(self, start: int = 0, stop: int = _LAST_POSITION) -> Iterator[str]:
        """Yield the ids of events in order of arrival, from local position `start` up to before `stop`."""
        query = "SELECT id FROM event WHERE position >= ? AND position < ? ORDER BY position"
        for (name,) in self._select(query, (start, stop)):
            yield name

    def select(self, query: str, values: tuple[object, ...] = ()) -> list[Any]:
        """Return what a read-only query finds (`journal.queries`)."""
        return self._fetch(query, values)

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
        query = f"SELECT {COLUMNS} FROM event ORDER BY position DESC LIMIT ?"  # noqa: S608  constant columns
        return [stored_row(values) for values in reversed(self._fetch(query, (count,)))]

    def feed_tip(self, hive: str, feed: str) -> tuple[str, int] | None:
        """Return id and seq of the latest event of a feed, None when nothing of it is here."""
        query = "SELECT id, seq FROM event WHERE hive = ? AND feed = ? ORDER BY seq DESC LIMIT 1"
        found = self._fetch(query, (hive, feed))
        return (str(found[0][0]), int(found[0][1])) if found else None

    def rows_named(self, prefix: str, most: int) -> list[Row]:
        """Return at most so many rows whose id begins so."""
        query = f"SELECT {COLUMNS} FROM event WHERE id >= ? AND id < ? ORDER BY id LIMIT ?"  # noqa: S608  constant
        found = self._fetch(query, (prefix, prefix + "g", most))  # "g" follows every hex digit
        return [stored_row(values) for values in found]

    def last_seqs(self, author: str) -> dict[str, int]:
        """Return the last seq of each feed of an author, over all hives."""
        query = "SELECT feed, max(seq) FROM event WHERE author = ? GROUP BY feed"
        return {str(feed): int(seq) for feed, seq in self._fetch(query, (author,))}

    def count(self) -> int:
        """Return the next local position: how many events there are, for positions have no gaps (`verify` checks)."""
        return int(self._fetch("SELECT coalesce(max(position) + 1, 0) FROM event")[0][0])

    def structure_faults(self) -> list[str]:
        """Return what SQLite's own check finds wrong with the file; empty when it is sound. Reads all of it."""
        try:
            found = self._connection.execute("PRAGMA integrity_check(5)").fetchall()
            return [text for (text,) in found if text != "ok"] + schema_faults(self._connection, self.version)
        except sqlite3.Error as error:
            return [str(error)]

    def copy_to(self, destination: Path) -> None:
        """Write a consistent copy while others go on writing."""
        try:
            target = sqlite3.connect(destination)
            try:
                self._connection.backup(target)
            finally:
                target.close()
        except sqlite3.Error as error:
            raise explain(destination, error) from error

    def compact(self) -> None:
        """Move the write-ahead log into the file and give free pages back to the system. No row changes.

        Raises:
            JournalError: another program has the file open in the middle of a read, or the disk is full.
        """
        if self._write("PRAGMA freelist_count").fetchone()[0]:
            self._write("VACUUM")
        if self._write("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            raise JournalError(f"{self.path} is being read by another program", hint="close it and try again")

    def close(self) -> None:
        """Close the file; an open group is forgotten."""
        try:
            if self._refused is None:  # else there is nothing to forget, and the first error is the one to tell
                self.rollback()
        finally:
            self._connection.close()

    def _write(self, query: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
        """Run a statement that writes; the first that is refused is the last: the group is forgotten."""
        if self._refused is not None:
            raise self._refused
        try:
            return self._connection.execute(query, values)
        except sqlite3.Error as error:
            self._refused = explain(self.path, error)
            raise self._refused from error

    def _run(self, query: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
        try:
            return self._connection.execute(query, values)
        except sqlite3.Error as error:
            raise explain(self.path, error) from error

    def _fetch(self, query: str, values: tuple[object, ...] = ()) -> list[Any]:
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise explain(self.path, error) from error

    def _select(self, query: str, values: Iterable[object] = ()) -> Iterator[Any]:
        try:  # a damaged page is met while rows are read, not when the query starts
            yield from self._connection.execute(query, tuple(values))
        except sqlite3.Error as error:
            raise explain(self.path, error) from error


def _values(row: Row) -> tuple[object, ...]:
    return (row.position, row.id, row.hive, row.author, row.feed, row.seq, row.kind, row.payload, row.jws)
