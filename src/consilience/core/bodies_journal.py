"""Bodies of events about the journal itself: withdrawn results, erased blobs, checkpoints, the spending feed.

Rules:
    1. Nothing here removes an event. Excision withdraws effect; erasure takes away bytes whose hash stays.
    2. Whether an author may do what an event says is the fold's question, never the event's.

Data flow: `node` decides -> body -> journal -> excision, verification, retention.
"""

from __future__ import annotations

from msgspec import Struct


class ResultExcised(Struct, frozen=True, kw_only=True):
    """A result was withdrawn, with all that rests on it (`journal.kinds`).

    `target` is any event of that result; its effect and that of its descendants leave every view.
    """

    target: str
    reason: str


class ExcisionWithdrawn(Struct, frozen=True, kw_only=True):
    """An excision was taken back: what it withdrew counts again, as if it had never been."""

    excision: str
    reason: str


class BlobsErased(Struct, frozen=True, kw_only=True):
    """Tombstone: these blobs (salted names) were erased. `rule` says by which policy or whose request."""

    blobs: tuple[str, ...]
    rule: str


class CheckpointSigned(Struct, frozen=True, kw_only=True):
    """A tree head of this node's log, as a C2SP signed note, with the cosignatures that it had then.

    `size` counts the events that the head covers (this one is not among them); `root` is hex. `timestamps` are
    blobs: RFC 3161 responses over the SHA-256 of the note's text. A later event of the same origin and size adds
    cosignatures or time stamps to it.
    """

    origin: str
    size: int
    root: str
    note: str
    timestamps: tuple[str, ...] = ()


class FeedOpened(Struct, frozen=True, kw_only=True):
    """First event of a feed that may spend. An author with two spending feeds in one hive has equivocated."""

    spending: bool
    device: str
