"""The checkpoint that this device signed last for each feed, outside the journal: what a copied or cut journal lacks.

Rules:
    1. Written after the event is committed and before the note is shown: whoever has the note, this device knows of it.
    2. It speaks of one file: the journal at `path`. A journal elsewhere that took the feed in is another log.

Data flow: `node.checkpoints` -> file by feed -> `consilience verify`, and the next checkpoint.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from consilience.core.errors import ProofError
from consilience.journal.checkpoints import Claim
from consilience.journal.device import read_marks
from consilience.journal.heads import TreeHead
from consilience.journal.notes import read_checkpoint, read_note
from consilience.journal.store import Store
from consilience.node.durable import write_durably
from consilience.node.places import UserPlaces


class KeptHead(Struct, frozen=True, kw_only=True):
    """A signed note, the event of the feed that tells of it, and the journal that it is about."""

    feed: str
    seq: int
    path: str
    note: str


def keep_head(places: UserPlaces, store: Store, claim: Claim) -> None:
    """Remember a checkpoint.

    Raises:
        EnvironmentLacksError: it cannot be written.
    """
    kept = KeptHead(feed=claim.feed, seq=claim.seq, path=str(store.path.resolve()), note=claim.note)
    write_durably(places.checkpoints / claim.feed, msgspec.json.encode(kept).decode() + "\n")


def kept_heads(places: UserPlaces, store: Store) -> list[Claim]:
    """Return what this device remembers of this very journal file; what cannot be read is left out."""
    here = str(store.path.resolve())
    files = sorted(places.checkpoints.iterdir()) if places.checkpoints.is_dir() else []
    found = [kept for kept in map(_read, files) if kept is not None and kept.path == here]
    return [claim for claim in map(_claim, found) if claim is not None]


def own_feeds(places: UserPlaces, store: Store) -> frozenset[str]:
    """Return the feeds that this device wrote into this very journal file."""
    here = str(store.path.resolve())
    return frozenset(feed for feed, mark in read_marks(places.marks).items() if mark.path == here)


def _read(file: Path) -> KeptHead | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=KeptHead)
    except (OSError, msgspec.DecodeError):
        return None


def _claim(kept: KeptHead) -> Claim | None:
    try:
        said = read_checkpoint(read_note(kept.note))
    except ProofError:
        return None
    head = TreeHead(size=said.size, root=said.root)
    return Claim(feed=kept.feed, seq=kept.seq, head=head, note=kept.note)
