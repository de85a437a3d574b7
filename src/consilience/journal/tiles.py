"""The Merkle tree's hashes on disk, in tiles of 256, beside the journal: derived, and rebuilt where absent or wrong.

Rules:
    1. Tiles are a cache of the event ids and never believed: a root that is signed follows from ids and from a root
       that was signed before (`journal.heads`), a proof is checked against such a root before it is handed out.
    2. Only complete tiles of leaves are kept; the last ones are hashed from the ids. Tiles above grow in place.
    3. Memory is bounded whatever the journal's length: a tile is read when a proof needs it, and few are kept.

Data flow: Store.ids -> `TileTree.open` -> tiles.db -> `TileTree.subtree` -> `journal.merkle`.

Source: C2SP tlog-tiles (height 8, the same bytes in each tile; there they are files).
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from consilience.core.errors import TamperedError
from consilience.journal.merkle import HASH_BYTES, fold_level, leaf_hash

TILES_NAME = "tiles.db"
TILE_HEIGHT = 8
TILE_HASHES = 1 << TILE_HEIGHT
_APPLICATION_ID = 0x54494C45  # "TILE"
_KEPT_TILES = 64  # of some 40 KB each with their inner nodes
_SCHEMA = "CREATE TABLE tile (level INTEGER, number INTEGER, data BLOB NOT NULL, PRIMARY KEY (level, number)) STRICT"
_PUT = "INSERT OR REPLACE INTO tile (level, number, data) VALUES (?, ?, ?)"


class EventIds(Protocol):
    """**Protocol:** the ids of the events of a journal, in order of arrival."""

    def ids(self, start: int, stop: int) -> Iterable[str]:
        """Return the ids at positions `start` to `stop`, in hex."""

    def count(self) -> int:
        """Return how many events there are."""


class TileTree:
    """The tree over the first `size` events of a journal. Implements `journal.merkle.Subtrees`."""

    def __init__(self, connection: sqlite3.Connection, events: EventIds) -> None:
        self._connection = connection
        self._events = events
        self._kept: OrderedDict[tuple[int, int], list[list[bytes]]] = OrderedDict()
        self.size = 0

    @classmethod
    def open(cls, events: EventIds, folder: Path | None = None) -> TileTree:
        """Open the tiles in a folder and bring them up to the journal; None, or a folder of others, keeps them apart.

        Raises:
            TamperedError: the journal lacks an event.
        """
        path = folder / TILES_NAME if folder is not None else None
        try:
            return cls._opened(events, path)
        except sqlite3.OperationalError:  # held, full, or not ours to write
            return cls._opened(events, None)
        except sqlite3.DatabaseError:  # damaged, or of another program
            return cls._anew(events, path)

    @classmethod
    def _anew(cls, events: EventIds, path: Path | None) -> TileTree:
        try:
            if path is not None:
                path.unlink(missing_ok=True)
            return cls._opened(events, path)
        except (sqlite3.Error, OSError):
            return cls._opened(events, None)

    @classmethod
    def _opened(cls, events: EventIds, path: Path | None) -> TileTree:
        tree = cls(_connect(path), events)
        try:
            tree._catch_up()
        except BaseException:
            tree.close()
            raise
        return tree

    def rebuild(self) -> None:
        """Throw every tile away and hash the ids again."""
        self._kept.clear()
        try:
            self._connection.execute("DELETE FROM tile")
            self._catch_up()
        except sqlite3.Error:  # the file itself is damaged: do without it
            self.close()
            self._connection = _connect(None)
            self._catch_up()

    def subtree(self, level: int, index: int) -> bytes:
        """Return the hash of a complete subtree.

        Raises:
            TamperedError: a tile is not there or too short, or the journal lacks an event.
        """
        height = level % TILE_HEIGHT
        number, place = divmod(index, TILE_HASHES >> height)
        hashes = self._tile(level // TILE_HEIGHT, number)[height]
        if place >= len(hashes):
            raise TamperedError(f"the tree has no subtree {index} of level {level}", hint="see `consilience verify`")
        return hashes[place]

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _catch_up(self) -> None:
        """Add what the journal has more than the tiles; begin anew where they are of another journal."""
        self.size = self._events.count()
        self._kept.clear()
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            done = self._complete_tiles()
            if not self._is_ours(done):
                self._connection.execute("DELETE FROM tile")
                done = 0
            for number in range(done, self.size // TILE_HASHES):
                self._add(0, number, b"".join(self._leaves(number, TILE_HASHES)))
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def _complete_tiles(self) -> int:
        found = self._connection.execute("SELECT max(number) FROM tile WHERE level = 0").fetchone()[0]
        return 0 if found is None else int(found) + 1

    def _is_ours(self, done: int) -> bool:
        """Compare the last leaf that is kept with the journal's id there: another journal's tiles are seen at once."""
        if done == 0:
            return self._connection.execute("SELECT 1 FROM tile").fetchone() is None
        last = done * TILE_HASHES - 1
        if last >= self.size:
            return False
        data = self._data(0, done - 1)
        ids = list(self._events.ids(last, last + 1))
        return len(data) == TILE_HASHES * HASH_BYTES and _hashes(ids) == [data[-HASH_BYTES:]]

    def _add(self, level: int, number: int, data: bytes) -> None:
        """Keep a tile; a complete one puts its hash into the tile above."""
        self._connection.execute(_PUT, (level, number, data))
        if len(data) < TILE_HASHES * HASH_BYTES:
            return
        above = number // TILE_HASHES
        root = _expanded(_split(data))[TILE_HEIGHT][0]
        before = self._data(level + 1, above) if number % TILE_HASHES else b""
        self._add(level + 1, above, before[: number % TILE_HASHES * HASH_BYTES] + root)

    def _tile(self, level: int, number: int) -> list[list[bytes]]:
        """Return a tile with its inner nodes, by height."""
        key = (level, number)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        if level == 0 and number == self.size // TILE_HASHES:
            hashes = self._leaves(number, self.size % TILE_HASHES)
        else:
            hashes = self._read(level, number)
        self._kept[key] = made = _expanded(hashes)
        if len(self._kept) > _KEPT_TILES:
            self._kept.popitem(last=False)
        return made

    def _leaves(self, number: int, count: int) -> list[bytes]:
        start = number * TILE_HASHES
        hashes = _hashes(self._events.ids(start, start + count))
        if len(hashes) != count:
            raise TamperedError(
                f"the journal lacks an event between positions {start} and {start + count}",
                hint="`consilience verify` says which; restore the journal from a backup",
            )
        return hashes

    def _data(self, level: int, number: int) -> bytes:
        query = "SELECT data FROM tile WHERE level = ? AND number = ?"
        found = self._connection.execute(query, (level, number)).fetchone()
        return bytes(found[0]) if found else b""

    def _read(self, level: int, number: int) -> list[bytes]:
        try:
            return _split(self._data(level, number))
        except sqlite3.Error as error:
            raise TamperedError(f"{TILES_NAME} is damaged: {error}", hint="remove it; it is made anew") from error


def _connect(path: Path | None) -> sqlite3.Connection:
    """Open the file, making it when absent; without a path, a file that SQLite removes by itself."""
    connection = sqlite3.connect(path or "", isolation_level=None, timeout=10.0)
    try:
        _prepare(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA synchronous=OFF")  # derived: what a power cut spoils is hashed again
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if application == 0:
        connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA}; PRAGMA application_id={_APPLICATION_ID}; COMMIT;")
    elif application != _APPLICATION_ID:
        raise sqlite3.DatabaseError("of another program")


def _hashes(ids: Iterable[str]) -> list[bytes]:
    return [leaf_hash(bytes.fromhex(name)) for name in ids]


def _split(data: bytes) -> list[bytes]:
    return [data[at : at + HASH_BYTES] for at in range(0, len(data) - HASH_BYTES + 1, HASH_BYTES)]


def _expanded(hashes: list[bytes]) -> list[list[bytes]]:
    """Return the hashes of every height that are complete, up to the tile's root."""
    levels = [hashes]
    for _ in range(TILE_HEIGHT):
        levels.append(fold_level(levels[-1][: len(levels[-1]) // 2 * 2]))
    return levels
