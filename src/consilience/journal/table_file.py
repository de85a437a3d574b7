"""The SQLite file that tables on disk are in: derived state, which is thrown away in any doubt.

Rules:
    1. Everything in the file can be made again from the journal: nothing here is history.
    2. Each row carries a checksum of all that it holds; one that fails is `StateDamagedError`, never a value.
    3. Damage that is met while tables are read is mended once: by a file that was made anew.

Data flow: `journal.disk_tables` -> TableFile -> views/HIVE.db.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from consilience.core.errors import DamagedError

Found = TypeVar("Found")


class StateDamagedError(DamagedError):
    """Derived state on disk cannot be believed or written: it is made again from the journal."""

    def __init__(self, message: str) -> None:
        super().__init__(message, hint="run the command again: views are folded anew from the journal")


class TableFile:
    """One file of tables. `path` is None for a private one, which SQLite takes away by itself."""

    def __init__(self, connection: sqlite3.Connection, path: Path | None = None) -> None:
        self.path = path
        self.mend: Callable[[], TableFile] | None = None
        self._connection = connection

    @classmethod
    def to_write(cls, path: Path) -> TableFile:
        """Open a file for writing, making it when absent; what is no such file is removed first.

        Raises:
            StateDamagedError, OSError: it can neither be used nor removed.
        """
        file = cls._connected(str(path), path)
        try:
            file.run("PRAGMA journal_mode=WAL")
        except StateDamagedError:
            file.close()
            remove_state(path)
            file = cls._connected(str(path), path)
            file.run("PRAGMA journal_mode=WAL")
        file.run("PRAGMA synchronous=NORMAL")  # a power loss may cost the latest saves, never make them half
        return file

    @classmethod
    def to_read(cls, path: Path) -> TableFile:
        """Open a file as it is now, whatever its writer does meanwhile.

        Raises:
            StateDamagedError: there is none, or it cannot be read.
        """
        file = cls._connected(f"file:{quote(str(path))}?mode=ro", path)
        try:
            file.hold_still()
        except StateDamagedError:
            file.close()
            raise
        return file

    @classmethod
    def private(cls) -> TableFile:
        """Open a file that nobody else sees, and that is gone with this process."""
        file = cls._connected("", None)
        file.run("PRAGMA synchronous=OFF")
        return file

    @classmethod
    def _connected(cls, name: str, path: Path | None) -> TableFile:
        try:
            return cls(sqlite3.connect(name, uri=name.startswith("file:"), isolation_level=None, timeout=0.0), path)
        except sqlite3.Error as error:
            raise StateDamagedError(f"{path}: {error}") from error

    def hold_still(self) -> None:
        """See the file as it is now, until it is closed."""
        self.run("BEGIN")
        self.run("SELECT count(*) FROM sqlite_master")

    def run(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        """Carry out one statement and return its rows.

        Raises:
            StateDamagedError: the file is not sound, or cannot be written.
        """
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise StateDamagedError(f"{self.path or 'temporary state'}: {error}") from error

    def run_all(self, query: str, rows: list[tuple[Any, ...]]) -> None:
        """Carry out one statement for many rows.

        Raises:
            StateDamagedError: the file is not sound, or cannot be written.
        """
        try:
            self._connection.executemany(query, rows)
        except sqlite3.Error as error:
            raise StateDamagedError(f"{self.path or 'temporary state'}: {error}") from error

    def read(self, look: Callable[[], Found]) -> Found:
        """Return what `look` finds in the file, mended if need be.

        Raises:
            StateDamagedError: it is damaged, and cannot be mended now.
        """
        try:
            return look()
        except StateDamagedError:
            mend, self.mend = self.mend, None
            if mend is None:
                raise
            made = mend()
            self._connection.close()
            self._connection = made._connection  # noqa: SLF001  of this class
            return look()

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


def remove_state(path: Path) -> None:
    """Remove a file of tables; whoever has it open goes on with what it was.

    Raises:
        OSError: it cannot be removed.
    """
    for name in (path, *(path.with_name(f"{path.name}{end}") for end in ("-wal", "-shm", "-journal"))):
        name.unlink(missing_ok=True)


def checksum(place: int, key: str, data: bytes) -> int:
    """Return the CRC-32 of all that a row holds: it finds what a disk does, it is no defence against people."""
    return zlib.crc32(data, zlib.crc32(f"{place} {key} ".encode()))


def decode_row(decoder: msgspec.msgpack.Decoder[Any], row: Sequence[Any]) -> Any:
    """Return the value in a row of place, key, data and checksum.

    Raises:
        StateDamagedError: the row is not what was written.
    """
    place, key, data, stated = row
    try:
        if isinstance(data, bytes) and checksum(place, key, data) == stated:
            return decoder.decode(data)
    except msgspec.DecodeError as error:
        raise StateDamagedError(f"a row of a table cannot be read: {error}") from error
    raise StateDamagedError(f"row {place} of a table is damaged")
