"""Roots and proofs of a journal's tree, each checked against the ids or a root that was signed before it is handed out.

Rules:
    1. A root to be signed follows from a root that was signed and from the ids after it: had the tiles below it
       changed, it would not come out again. Without an earlier one, every id is hashed.
    2. A proof leaves only after it held as its reader will check it. When it does not, the tiles are made anew
       from the ids; when it still does not, the journal is not the one that was signed.

Data flow: TileTree + heads that were signed -> roots, paths -> `node.checkpoints`, `node.proving`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from msgspec import Struct

from consilience.core.errors import ProofError, TamperedError
from consilience.journal.merkle import (
    Frontier,
    consistency_holds,
    consistency_path,
    inclusion_holds,
    inclusion_path,
    leaf_hash,
    tree_root,
)
from consilience.journal.tiles import EventIds, TileTree

Made = TypeVar("Made")
_MEND = "`consilience verify` says what differs; restore the journal from a backup"


class TreeHead(Struct, frozen=True, kw_only=True):
    """How many events, and the root of the tree over them."""

    size: int
    root: bytes


class CheckedTree:
    """Roots and proofs of one journal."""

    def __init__(self, events: EventIds, tiles: TileTree) -> None:
        self._events = events
        self._tiles = tiles

    def head(self, size: int, signed: Iterable[TreeHead] = ()) -> TreeHead:
        """Return the head over the first `size` events.

        Args:
            size: at most as many as there were when the tiles were opened.
            signed: heads of this very tree that can be believed.

        Raises:
            ProofError: the journal no longer has a tree that was signed.
            TamperedError: it lacks an event.
        """
        known = max((head for head in signed if head.size <= size), key=lambda head: head.size, default=None)
        edge = Frontier() if known is None else self._edge(known)
        for name in self._events.ids(edge.size, size):
            edge.add(leaf_hash(bytes.fromhex(name)))
        if edge.size != size:
            raise TamperedError(f"the journal has {edge.size} of {size} events", hint=_MEND)
        return TreeHead(size=size, root=edge.root())

    def inclusion(self, index: int, head: TreeHead) -> list[bytes]:
        """Return the audit path of the event at a position.

        Raises:
            ProofError: the journal does not have this tree, or no such event in it.
        """
        if not 0 <= index < head.size:
            raise ProofError(f"the checkpoint of size {head.size} does not cover position {index}")
        leaves = [leaf_hash(bytes.fromhex(name)) for name in self._events.ids(index, index + 1)]

        def holds(path: list[bytes]) -> bool:
            return bool(leaves) and inclusion_holds(leaves[0], index, head.size, path, head.root)

        return self._checked(lambda: inclusion_path(index, head.size, self._tiles), holds, head)

    def consistency(self, first: TreeHead, second: TreeHead) -> list[bytes]:
        """Return the proof that the first tree begins the second.

        Raises:
            ProofError: it does not, or the journal has one of them not.
        """
        if first.size > second.size:
            raise ProofError(f"a tree of {first.size} events does not begin one of {second.size}")
        return self._checked(
            lambda: consistency_path(first.size, second.size, self._tiles),
            lambda path: consistency_holds(first.size, first.root, second.size, second.root, path),
            second,
        )

    def _edge(self, head: TreeHead) -> Frontier:
        self._checked(lambda: tree_root(head.size, self._tiles), lambda root: root == head.root, head)
        return Frontier.of(head.size, self._tiles)

    def _checked(self, make: Callable[[], Made], holds: Callable[[Made], bool], head: TreeHead) -> Made:
        for attempt in (make, self._anew(make)):
            try:
                made = attempt()
            except TamperedError:
                continue
            if holds(made):
                return made
        raise ProofError(f"the journal's first {head.size} events no longer have the root that was signed", hint=_MEND)

    def _anew(self, make: Callable[[], Made]) -> Callable[[], Made]:
        def attempt() -> Made:
            self._tiles.rebuild()
            return make()

        return attempt
