"""Checkpoints that were signed: what a journal says of them, and whether its tree still has their roots.

Rules:
    1. A checkpoint is about the journal of the node whose feed signed it (its origin names the feed). In a journal
       that only took that feed in, events arrived in another order and it says nothing.
    2. Roots are recomputed from the ids in one pass; tiles are not asked.
    3. Where an author went on from an earlier end (a backup was restored), what was signed beyond that end no longer
       binds: the loss is known and signed for, as with feed marks (`journal.verify`).

Data flow: Store, what this device kept -> `checkpoint_fault` -> `consilience verify`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from msgspec import Struct

from consilience.core.bodies_journal import CheckpointSigned
from consilience.core.errors import ProofError
from consilience.journal.feed import Row, read_event
from consilience.journal.heads import TreeHead
from consilience.journal.kinds import kind_named
from consilience.journal.merkle import Frontier, leaf_hash
from consilience.journal.notes import origin_of, read_checkpoint, read_note
from consilience.journal.store import Store


class Claim(Struct, frozen=True, kw_only=True):
    """A tree head that a feed's writer signed, up to the event `seq` of that feed.

    `position` is that of the event that says so, -1 where this device remembers it outside the journal; `note` and
    `timestamps` are the event's.
    """

    feed: str
    seq: int
    head: TreeHead
    position: int = -1
    note: str = ""
    timestamps: tuple[str, ...] = ()

    def __str__(self) -> str:
        place = "kept on this device" if self.position < 0 else f"of event {self.position}"
        return f"the checkpoint {place} (feed {self.feed[:8]}, size {self.head.size})"


def read_claims(store: Store) -> list[Claim]:
    """Return the checkpoints that a journal's events tell of, in order of arrival; what cannot be read is left out."""
    return [claim for claim in map(_claim, store.rows(kind=kind_named(CheckpointSigned))) if claim is not None]


def own_claims(store: Store, own: Collection[str]) -> list[Claim]:
    """Return the checkpoints of this very log that bind it.

    Args:
        store: the journal.
        own: feeds that are known to have been written here; all of their checkpoints bind. Of other feeds it is found
            out: where the tree has the root of one of a feed's checkpoints, those bind that have it, or that stand
            right after the events which they cover, as the writer put them.
    """
    claims = read_claims(store)
    roots = _roots(store, {claim.head.size for claim in claims if claim.feed not in own})
    held = [claim for claim in claims if roots.get(claim.head.size) == claim.head.root]
    here = {claim.feed for claim in held}
    beside = [claim for claim in claims if claim.feed in here and claim.position == claim.head.size]
    bound = {claim.position for claim in (*held, *beside)}
    return [claim for claim in claims if claim.feed in own or claim.position in bound]


def checkpoint_fault(store: Store, own: Collection[str], kept: Sequence[Claim] = ()) -> str:
    """Return "" when the tree has the root of every checkpoint of this log, else what is wrong.

    Args:
        store: the journal.
        own: feeds that this device wrote into this very file (`journal.device`).
        kept: checkpoints of this file that the device remembers outside it.
    """
    claims = [*own_claims(store, own), *kept]
    roots = _roots(store, {claim.head.size for claim in claims})
    for claim in claims:
        if roots.get(claim.head.size) != claim.head.root and not _went_on(store, claim):
            return _words(claim, store.count())
    return ""


def _claim(row: Row) -> Claim | None:
    body = read_event(row.payload, row.jws).body
    if not isinstance(body, CheckpointSigned) or body.origin != origin_of(row.feed):
        return None
    try:
        said = read_checkpoint(read_note(body.note))
    except ProofError:
        return None
    if (said.origin, said.size, said.root.hex()) != (body.origin, body.size, body.root):
        return None
    head = TreeHead(size=said.size, root=said.root)
    return Claim(
        feed=row.feed, seq=row.seq, head=head, position=row.position, note=body.note, timestamps=body.timestamps
    )


def _roots(store: Store, sizes: Collection[int]) -> dict[int, bytes]:
    """Return the root at each size that the journal reaches, in one pass over the ids."""
    edge, found = Frontier(), {}
    for size in sorted(sizes):
        for name in store.ids(edge.size, size):
            edge.add(leaf_hash(bytes.fromhex(name)))
        if edge.size != size:
            break
        found[size] = edge.root()
    return found


def _words(claim: Claim, count: int) -> str:
    if claim.head.size > count:
        return f"{claim} covers more than the {count} events that are here: the tail is missing"
    return (
        f"{claim} has another root than the first {claim.head.size} events here: "
        "one of them was changed, dropped or moved since it was signed"
    )


def _went_on(store: Store, claim: Claim) -> bool:
    """Tell whether the feed's author knowingly built another feed on an earlier end of this one."""
    before = {row.id: row.author for row in _feed_rows(store, claim.feed) if row.seq < claim.seq}
    authors = set(before.values())
    for row in store.rows():
        if row.author in authors and row.feed != claim.feed:
            after = read_event(row.payload, row.jws).fields.after
            if any(name in before for name in after):
                return True
    return False


def _feed_rows(store: Store, feed: str) -> Iterator[Row]:
    return (row for row in store.rows() if row.feed == feed)
