"""A Merkle tree in memory, to set the tiles on disk and the proofs against.

Data flow: leaf hashes -> MemoryTree -> `journal.merkle`.
"""

from __future__ import annotations

from collections.abc import Iterable

from consilience.journal.merkle import node_hash


class MemoryTree:
    """A whole tree in memory, 64 bytes a leaf and what Python adds. Implements `Subtrees`."""

    def __init__(self, leaves: Iterable[bytes] = ()) -> None:
        self._levels: list[list[bytes]] = [[]]
        for leaf in leaves:
            self.add(leaf)

    def add(self, leaf: bytes) -> None:
        """Add a leaf by its hash."""
        joined = leaf
        for level in self._levels:
            level.append(joined)
            if len(level) & 1:
                return
            joined = node_hash(level[-2], joined)
        self._levels.append([joined])

    def subtree(self, level: int, index: int) -> bytes:
        """Return the hash of a complete subtree."""
        return self._levels[level][index]
