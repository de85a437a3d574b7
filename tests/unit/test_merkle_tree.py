"""The tree against an independent implementation, and its proofs against every change, up to 300 leaves."""

from __future__ import annotations

from hashlib import sha256

import pytest
from scitt_cose import merkle as independent

from consilience.journal.merkle import (
    EMPTY_ROOT,
    LARGEST_SIZE,
    Frontier,
    consistency_holds,
    consistency_path,
    inclusion_holds,
    inclusion_path,
    leaf_hash,
    tree_root,
)
from consilience.testing.trees import MemoryTree

LARGEST = 300
IDS = [sha256(str(number).encode()).digest() for number in range(LARGEST)]
LEAVES = [leaf_hash(data) for data in IDS]
TREE = MemoryTree(LEAVES)
ROOTS = [tree_root(size, TREE) for size in range(LARGEST + 1)]
SAMPLE = [(0, 1), (0, 2), (2, 3), (4, 5), (6, 7), (3, 8), (12, 13), (64, 65), (128, 129), (299, 300), (150, 300)]


def hexed(nodes: list[bytes]) -> list[str]:
    return [node.hex() for node in nodes]


def flipped(node: bytes, bit: int) -> bytes:
    return (int.from_bytes(node, "big") ^ (1 << bit)).to_bytes(len(node), "big")


def test_roots_of_the_empty_tree_and_one_leaf_are_those_of_the_rfc() -> None:
    assert tree_root(0, TREE).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"


def test_roots_equal_the_independent_ones_at_every_size() -> None:
    names = hexed(IDS)
    for size in range(LARGEST + 1):
        assert ROOTS[size].hex() == independent.merkle_root(names[:size])


def test_a_frontier_has_the_root_at_every_size() -> None:
    edge = Frontier()
    for size in range(LARGEST + 1):
        assert edge.root() == ROOTS[size] == Frontier.of(size, TREE).root()
        if size < LARGEST:
            edge.add(LEAVES[size])


def test_paths_equal_the_independent_ones() -> None:
    names = hexed(IDS)
    for size in range(1, 65):
        for index in range(size):
            assert hexed(inclusion_path(index, size, TREE)) == independent.inclusion_proof(names[:size], index)
    for second in range(65):
        for first in range(second + 1):
            ours = hexed(consistency_path(first, second, TREE))
            assert ours == independent.consistency_proof(names, first, second)


def test_inclusion_holds_for_every_index_and_size_and_for_the_independent_verifier() -> None:
    for size in range(1, LARGEST + 1):
        for index in range(size):
            path = inclusion_path(index, size, TREE)
            assert inclusion_holds(LEAVES[index], index, size, path, ROOTS[size])
            assert independent.verify_inclusion(IDS[index].hex(), index, size, hexed(path), ROOTS[size].hex())


def test_consistency_holds_for_every_pair_and_for_the_independent_verifier() -> None:
    for second in range(LARGEST + 1):
        for first in range(second + 1):
            path = consistency_path(first, second, TREE)
            assert consistency_holds(first, ROOTS[first], second, ROOTS[second], path)
            assert independent.verify_consistency(ROOTS[first].hex(), ROOTS[second].hex(), first, second, hexed(path))


def test_inclusion_fails_when_a_node_is_dropped_added_or_moved_or_the_place_is_wrong() -> None:
    for size in range(1, LARGEST + 1):
        for index in range(0, size, 1 + size // 12):
            path, root, leaf = inclusion_path(index, size, TREE), ROOTS[size], LEAVES[index]
            for at in range(len(path)):
                assert not inclusion_holds(leaf, index, size, path[:at] + path[at + 1 :], root)
                swapped = [*path[:at], *path[at : at + 2][::-1], *path[at + 2 :]]
                assert at + 1 == len(path) or not inclusion_holds(leaf, index, size, swapped, root)
            assert not inclusion_holds(leaf, index, size, [*path, root], root)
            for wrong in {index - 1, index + 1, size, -1} - {index}:
                assert not inclusion_holds(leaf, wrong, size, path, root)
            for other in {size - 1, size + 1} & set(range(LARGEST + 1)):
                assert not inclusion_holds(leaf, index, other, path, ROOTS[other])


def test_consistency_fails_when_a_node_is_dropped_added_or_moved_or_a_size_is_wrong() -> None:
    for second in range(2, LARGEST + 1):
        for first in range(1, second, 1 + second // 10):
            path, roots = consistency_path(first, second, TREE), (ROOTS[first], ROOTS[second])
            for at in range(len(path)):
                cut = path[:at] + path[at + 1 :]
                assert not consistency_holds(first, roots[0], second, roots[1], cut)
                swapped = [*path[:at], *path[at : at + 2][::-1], *path[at + 2 :]]
                assert at + 1 == len(path) or not consistency_holds(first, roots[0], second, roots[1], swapped)
            assert not consistency_holds(first, roots[0], second, roots[1], [*path, roots[1]])
            assert not consistency_holds(first, roots[1], second, roots[0], path)
            assert not consistency_holds(first - 1, ROOTS[first - 1], second, roots[1], path)
            assert not consistency_holds(second, roots[1], first, roots[0], path)


@pytest.mark.parametrize(("index", "size"), SAMPLE)
def test_inclusion_fails_on_every_flipped_bit(index: int, size: int) -> None:
    path, root, leaf = inclusion_path(index, size, TREE), ROOTS[size], LEAVES[index]
    for bit in range(256):
        assert not inclusion_holds(flipped(leaf, bit), index, size, path, root)
        assert not inclusion_holds(leaf, index, size, path, flipped(root, bit))
        for at in range(len(path)):
            changed = [*path[:at], flipped(path[at], bit), *path[at + 1 :]]
            assert not inclusion_holds(leaf, index, size, changed, root)


@pytest.mark.parametrize(("first", "second"), [(1, 2), (3, 7), (4, 8), (6, 8), (64, 100), (65, 129), (299, 300)])
def test_consistency_fails_on_every_flipped_bit(first: int, second: int) -> None:
    path, old, new = consistency_path(first, second, TREE), ROOTS[first], ROOTS[second]
    for bit in range(256):
        assert not consistency_holds(first, flipped(old, bit), second, new, path)
        assert not consistency_holds(first, old, second, flipped(new, bit), path)
        for at in range(len(path)):
            changed = [*path[:at], flipped(path[at], bit), *path[at + 1 :]]
            assert not consistency_holds(first, old, second, new, changed)


def test_consistency_from_nothing_takes_the_empty_root_and_no_nodes() -> None:
    assert consistency_holds(0, EMPTY_ROOT, 5, ROOTS[5], [])
    assert not consistency_holds(0, ROOTS[1], 5, ROOTS[5], [])
    assert not consistency_holds(0, EMPTY_ROOT, 5, ROOTS[5], [ROOTS[1]])


def test_what_is_no_hash_and_sizes_that_no_log_has_are_refused() -> None:
    path = inclusion_path(2, 5, TREE)
    assert not inclusion_holds(LEAVES[2], 2, 5, [node[:31] for node in path], ROOTS[5])
    assert not inclusion_holds(LEAVES[2] + b"\x00", 2, 5, path, ROOTS[5])
    assert not inclusion_holds(LEAVES[2], 2, LARGEST_SIZE + 1, path, ROOTS[5])
    assert not consistency_holds(3, ROOTS[3], LARGEST_SIZE + 1, ROOTS[5], path)
    assert not consistency_holds(-1, ROOTS[3], 5, ROOTS[5], path)


def test_paths_for_leaves_that_are_not_there_are_refused() -> None:
    for index, size in ((5, 5), (-1, 5), (0, 0)):
        with pytest.raises(ValueError, match="no leaf"):
            inclusion_path(index, size, TREE)
    for first, second in ((6, 5), (-1, 5)):
        with pytest.raises(ValueError, match="no proof"):
            consistency_path(first, second, TREE)
