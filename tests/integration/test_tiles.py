"""Tiles on disk: equal to the tree in memory, and mended or passed by whatever happens to the file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from consilience.core.errors import ProofError, TamperedError
from consilience.journal.heads import CheckedTree, TreeHead
from consilience.journal.merkle import MemoryTree, inclusion_holds, inclusion_path, leaf_hash, tree_root
from consilience.journal.tiles import TILES_NAME, TileTree

COUNT = 66_000  # more than 256 * 256: three levels of tiles


class Ids:
    """A journal's ids without a journal."""

    def __init__(self, count: int, salt: str = "") -> None:
        self.names = [sha256(f"{salt}{number}".encode()).hexdigest() for number in range(count)]
        self.asked = 0

    def ids(self, start: int, stop: int) -> Iterator[str]:
        for name in self.names[start:stop]:
            self.asked += 1
            yield name

    def count(self) -> int:
        return len(self.names)


def memory_tree(events: Ids) -> MemoryTree:
    return MemoryTree(leaf_hash(bytes.fromhex(name)) for name in events.names)


@pytest.fixture(scope="module")
def large() -> tuple[Ids, MemoryTree]:
    events = Ids(COUNT)
    return events, memory_tree(events)


def tile_file(folder: Path) -> sqlite3.Connection:
    return sqlite3.connect(folder / TILES_NAME, isolation_level=None)


def spoil(folder: Path, level: int, number: int) -> None:
    connection = tile_file(folder)
    query = "SELECT data FROM tile WHERE level = ? AND number = ?"
    data = bytearray(connection.execute(query, (level, number)).fetchone()[0])
    data[5] ^= 1
    connection.execute("UPDATE tile SET data = ? WHERE level = ? AND number = ?", (bytes(data), level, number))
    connection.close()


def test_tiles_give_the_roots_and_paths_of_the_tree_in_memory(tmp_path: Path, large: tuple[Ids, MemoryTree]) -> None:
    events, memory = large
    tiles = TileTree.open(events, tmp_path)
    for size in (1, 2, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, COUNT):
        assert tree_root(size, tiles) == tree_root(size, memory)
        for index in {0, size // 3, size - 1}:
            assert inclusion_path(index, size, tiles) == inclusion_path(index, size, memory)
    tiles.close()


def test_the_tiles_are_those_of_tlog_tiles(tmp_path: Path, large: tuple[Ids, MemoryTree]) -> None:
    events, memory = large
    TileTree.open(events, tmp_path).close()
    connection = tile_file(tmp_path)
    rows = {
        (level, number): bytes(data)
        for level, number, data in connection.execute("SELECT level, number, data FROM tile")
    }
    connection.close()
    full = COUNT // 256
    assert rows[0, 3] == b"".join(memory.subtree(0, index) for index in range(768, 1024))
    assert rows[1, 0] == b"".join(memory.subtree(8, index) for index in range(256))
    assert len(rows[1, 1]) == 32 * (full - 256)
    assert rows[2, 0] == memory.subtree(16, 0)
    assert len(rows) == full + 3


def test_a_grown_journal_hashes_only_what_is_new(tmp_path: Path, large: tuple[Ids, MemoryTree]) -> None:
    events, memory = large
    before = Ids(0)
    before.names = events.names[:60_000]
    TileTree.open(before, tmp_path).close()
    grown = Ids(0)
    grown.names = events.names
    tiles = TileTree.open(grown, tmp_path)
    assert tree_root(COUNT, tiles) == tree_root(COUNT, memory)
    assert grown.asked < COUNT - 60_000 + 512
    tiles.close()


def test_tiles_of_another_journal_are_made_anew(tmp_path: Path) -> None:
    TileTree.open(Ids(600, "other"), tmp_path).close()
    events = Ids(600)
    tiles = TileTree.open(events, tmp_path)
    assert tree_root(600, tiles) == tree_root(600, memory_tree(events))
    tiles.close()


def test_tiles_of_a_longer_journal_are_made_anew(tmp_path: Path) -> None:
    TileTree.open(Ids(900), tmp_path).close()
    events = Ids(300)
    tiles = TileTree.open(events, tmp_path)
    assert tree_root(300, tiles) == tree_root(300, memory_tree(events))
    tiles.close()


@pytest.mark.parametrize("content", [b"", b"not a database at all, but long enough to be read as one" * 40])
def test_a_damaged_file_is_made_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / TILES_NAME).write_bytes(content)
    events = Ids(600)
    tiles = TileTree.open(events, tmp_path)
    assert tree_root(600, tiles) == tree_root(600, memory_tree(events))
    tiles.close()
    again = TileTree.open(events, tmp_path)
    assert tree_root(600, again) == tree_root(600, memory_tree(events))
    again.close()


def test_a_place_that_takes_no_file_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / TILES_NAME).mkdir()
    events = Ids(600)
    tiles = TileTree.open(events, tmp_path)
    assert tree_root(600, tiles) == tree_root(600, memory_tree(events))
    tiles.close()


@pytest.mark.parametrize(("level", "number"), [(0, 0), (0, 100), (1, 0), (1, 1)])
def test_a_wrong_tile_never_leads_to_a_wrong_root_or_proof(
    tmp_path: Path, large: tuple[Ids, MemoryTree], level: int, number: int
) -> None:
    events, memory = large
    TileTree.open(events, tmp_path).close()
    spoil(tmp_path, level, number)
    signed = TreeHead(size=65_900, root=tree_root(65_900, memory))
    tiles = TileTree.open(events, tmp_path)
    tree = CheckedTree(events, tiles)
    assert tree.head(COUNT, [signed]).root == tree_root(COUNT, memory)
    for index in (0, 25_601, COUNT - 200):
        path = tree.inclusion(index, signed)
        assert inclusion_holds(memory.subtree(0, index), index, signed.size, path, signed.root)
    tiles.close()


def test_without_a_signed_root_every_id_is_hashed_and_no_tile_believed(tmp_path: Path) -> None:
    events = Ids(1000)
    TileTree.open(events, tmp_path).close()
    spoil(tmp_path, 1, 0)
    tiles = TileTree.open(events, tmp_path)
    assert CheckedTree(events, tiles).head(1000).root == tree_root(1000, memory_tree(events))
    tiles.close()


def test_after_a_signed_root_only_new_ids_are_hashed(tmp_path: Path, large: tuple[Ids, MemoryTree]) -> None:
    events, memory = large
    TileTree.open(events, tmp_path).close()
    tiles = TileTree.open(events, tmp_path)
    events.asked = 0
    CheckedTree(events, tiles).head(COUNT, [TreeHead(size=65_900, root=tree_root(65_900, memory))])
    assert events.asked < 1000
    tiles.close()


def test_another_journal_than_the_one_signed_gives_no_proof_and_no_root(tmp_path: Path) -> None:
    signed = TreeHead(size=500, root=tree_root(500, memory_tree(Ids(500, "other"))))
    events = Ids(600)
    tiles = TileTree.open(events, tmp_path)
    tree = CheckedTree(events, tiles)
    with pytest.raises(ProofError, match="no longer have the root"):
        tree.head(600, [signed])
    with pytest.raises(ProofError, match="no longer have the root"):
        tree.inclusion(3, signed)
    with pytest.raises(ProofError, match="does not cover"):
        tree.inclusion(500, signed)
    with pytest.raises(ProofError, match="no longer have the root"):
        tree.consistency(signed, tree.head(600))
    tiles.close()


def test_a_journal_that_lacks_an_event_is_told(tmp_path: Path) -> None:
    events = Ids(600)
    tiles = TileTree.open(events, tmp_path)
    del events.names[580]
    with pytest.raises(TamperedError, match="lacks an event"):
        tiles.subtree(0, 599)
    with pytest.raises(TamperedError, match="599 of 600"):
        CheckedTree(events, tiles).head(600)
    tiles.close()
