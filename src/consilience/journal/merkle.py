"""The Merkle tree of RFC 9162 over leaf data: roots, inclusion and consistency proofs, and their verification.

Rules:
    1. A leaf's hash is SHA-256(0x00 || data), a node's SHA-256(0x01 || left || right), the empty tree's SHA-256("").
    2. Making a proof takes O(log n) hashes of complete subtrees from whoever keeps them (`Subtrees`).
    3. Verification is strict: a wrong number of nodes, a node that is no hash or an index beyond the tree is refused.

Data flow: event ids -> `leaf_hash` -> `journal.tiles` (Subtrees) -> `tree_root`, `inclusion_path`, `consistency_path`
-> notes and proofs -> `inclusion_holds`, `consistency_holds`.

Source: RFC 9162 section 2.1 (the same tree as RFC 6962).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Protocol

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()
LARGEST_SIZE = 2**63 - 1  # what a position can be; bounds a hostile proof to 63 nodes
_LEAF = b"\x00"
_NODE = b"\x01"


class Subtrees(Protocol):
    """**Protocol:** hashes of complete subtrees."""

    def subtree(self, level: int, index: int) -> bytes:
        """Return the hash over leaves ``index << level`` to ``(index + 1) << level``, all of which must be there."""


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf."""
    return sha256(_LEAF + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return sha256(_NODE + left + right).digest()


def tree_root(size: int, tree: Subtrees) -> bytes:
    """Return the root over the first `size` leaves."""
    return _range_hash(0, size, tree) if size else EMPTY_ROOT


def inclusion_path(index: int, size: int, tree: Subtrees) -> list[bytes]:
    """Return the audit path of a leaf in the tree of `size` leaves, bottom up.

    Raises:
        ValueError: no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"no leaf {index} in a tree of {size}")
    path: list[bytes] = []
    start, stop = 0, size
    while stop - start > 1:
        middle = start + _split(stop - start)
        if index < middle:
            path.append(_range_hash(middle, stop, tree))
            stop = middle
        else:
            path.append(_range_hash(start, middle, tree))
            start = middle
    return path[::-1]


def consistency_path(first: int, second: int, tree: Subtrees) -> list[bytes]:
    """Return the proof that the tree of `first` leaves begins that of `second`; empty for 0 and for equal sizes.

    Raises:
        ValueError: `first` is negative or larger than `second`.
    """
    if not 0 <= first <= second:
        raise ValueError(f"no proof from {first} to {second} leaves")
    if first in (0, second):
        return []
    path: list[bytes] = []
    start, stop, whole = 0, second, True
    while stop != first:
        middle = start + _split(stop - start)
        if first <= middle:
            path.append(_range_hash(middle, stop, tree))
            stop = middle
        else:
            path.append(_range_hash(start, middle, tree))
            start, whole = middle, False
    if not whole:  # the verifier knows the hash of a subtree that is all of the first tree
        path.append(_range_hash(start, stop, tree))
    return path[::-1]


def inclusion_holds(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Tell whether the leaf with this hash is at `index` of the tree of `size` leaves with this root.

    Source: RFC 9162 section 2.1.3.2, step by step.
    """
    if not 0 <= index < size <= LARGEST_SIZE or not _are_hashes((leaf, root, *path)):
        return False
    node, last, computed = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return False
        if node & 1 or node == last:
            computed = node_hash(sibling, computed)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            computed = node_hash(computed, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and computed == root


def consistency_holds(first: int, first_root: bytes, second: int, second_root: bytes, path: Sequence[bytes]) -> bool:
    """Tell whether the tree of `first` leaves is the beginning of the tree of `second` leaves.

    Source: RFC 9162 section 2.1.4.2, step by step; it leaves out `first` = 0, where only the empty root and path hold.
    """
    if not 0 <= first <= second <= LARGEST_SIZE or not _are_hashes((first_root, second_root, *path)):
        return False
    if first == second:
        return not path and first_root == second_root
    if first == 0:
        return not path and first_root == EMPTY_ROOT
    if not path:
        return False
    nodes = [first_root, *path] if first & (first - 1) == 0 else list(path)
    return _recompute(first - 1, second - 1, nodes) == (first_root, second_root)


def _recompute(node: int, last: int, nodes: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    """Return both roots that the nodes come to, None where there are too many or too few."""
    while node & 1:
        node, last = node >> 1, last >> 1
    old = new = nodes[0]
    for sibling in nodes[1:]:
        if last == 0:
            return None
        if node & 1 or node == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        node, last = node >> 1, last >> 1
    return (old, new) if last == 0 else None


class Frontier:
    """The right edge of a growing tree: the hashes of its complete subtrees, largest first. O(log n) memory."""

    def __init__(self) -> None:
        self.size = 0
        self._hashes: list[bytes] = []

    @classmethod
    def of(cls, size: int, tree: Subtrees) -> Frontier:
        """Return the edge of the first `size` leaves of a tree."""
        made = cls()
        start = 0
        for level in reversed(range(size.bit_length())):
            if size >> level & 1:
                made._hashes.append(tree.subtree(level, start >> level))
                start += 1 << level
        made.size = size
        return made

    def add(self, leaf: bytes) -> None:
        """Add a leaf by its hash."""
        joined, size = leaf, self.size
        while size & 1:
            joined = node_hash(self._hashes.pop(), joined)
            size >>= 1
        self._hashes.append(joined)
        self.size += 1

    def root(self) -> bytes:
        """Return the root of the tree so far."""
        if not self._hashes:
            return EMPTY_ROOT
        computed = self._hashes[-1]
        for left in reversed(self._hashes[:-1]):
            computed = node_hash(left, computed)
        return computed


def fold_level(hashes: Sequence[bytes]) -> list[bytes]:
    """Return the hashes one level up, of an even number of hashes."""
    return [node_hash(hashes[at], hashes[at + 1]) for at in range(0, len(hashes), 2)]


def _range_hash(start: int, stop: int, tree: Subtrees) -> bytes:
    """Return the hash over leaves `start` to `stop`; `start` is where the tree splits, so the left part is complete."""
    count = stop - start
    if count & (count - 1) == 0:
        level = count.bit_length() - 1
        return tree.subtree(level, start >> level)
    middle = start + _split(count)
    return node_hash(_range_hash(start, middle, tree), _range_hash(middle, stop, tree))


def _split(count: int) -> int:
    """Return the largest power of two below `count`, which is at least 2."""
    return 1 << ((count - 1).bit_length() - 1)


def _are_hashes(nodes: Iterable[bytes]) -> bool:
    return all(len(node) == HASH_BYTES for node in nodes)
