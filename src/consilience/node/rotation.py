"""Rotation: the promised key takes over from the key in force.

Rules:
    1. The files are laid ready first, then the event is made durable, then the files are put in place. Killed between
       any two of these steps, the journal says which key is in force (`node.identities.settle`).
    2. What the old key signed is closed: the last seq of each own feed that this device knows of. Nothing of this
       identity may be written meanwhile.

Data flow: promised key -> key files -> `key.rotated` in the soul journal -> key files.
"""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from consilience.core.bodies_identity import KeyRotated
from consilience.core.errors import JournalError, LockedError
from consilience.core.ports import Clock
from consilience.identity.keystore import begin_rotation, next_path, promised_key, settle_rotation
from consilience.identity.proofs import prove
from consilience.identity.statements import rotation_statement
from consilience.journal.device import busy_feeds, read_marks
from consilience.journal.reader import JOURNAL_NAME
from consilience.journal.store import Store
from consilience.node.identities import OpenSoul, settle
from consilience.node.places import UserPlaces


class Promised(Struct, frozen=True, kw_only=True):
    """Where the promised key is, and what unlocks it."""

    file: Path
    passphrase: str = ""


class Rotated(Struct, frozen=True, kw_only=True):
    """What a rotation came to. `closes` are the own feeds that it closed for the old key, by last seq."""

    did: str
    before: str
    key: str
    promise: str
    next_key_file: str
    event: str
    closes: dict[str, int]


def rotate(
    places: UserPlaces,
    clock: Clock,
    passphrase: str = "",
    *,
    promised: Promised | None = None,
    journals: tuple[Path, ...] = (),
) -> Rotated:
    """Let the promised key take over.

    Args:
        places: the key in force and the feed marks.
        clock: for the event.
        passphrase: of the key files.
        promised: the promised key, where it was taken elsewhere.
        journals: further state folders (of other devices) whose feeds of this identity are closed where they end.

    Raises:
        IdentityError: the promised key is not here, or not the promised one; or the identity was revoked.
        LockedError: something of this identity is being written.
    """
    try:
        with OpenSoul(places, passphrase, clock) as soul:
            kept = promised or Promised(file=next_path(places.key), passphrase=passphrase)
            rotated = _rotate(soul, kept, passphrase, journals)
            settle_rotation(places.key, rotated.key)
    except BaseException:
        settle(places)
        raise
    return rotated


def _rotate(soul: OpenSoul, promised: Promised, passphrase: str, journals: tuple[Path, ...]) -> Rotated:
    state, did = soul.state, soul.identity.did
    following = promised_key(promised.file, state.promise, promised.passphrase)
    taking_over, promise = begin_rotation(soul.places.key, following, did, passphrase)
    _require_quiet(soul)
    body = KeyRotated(
        previous=state.spans[-1].event,
        key=taking_over.key_did,
        next_key=promise,
        closes=last_seqs(soul.places.marks, did, journals),
        proof="",
    )
    body = replace(body, proof=prove(taking_over, rotation_statement(did, body)))
    return Rotated(
        did=did,
        before=state.key,
        key=body.key,
        promise=promise,
        next_key_file=str(next_path(soul.places.key)),
        event=soul.write(body),
        closes=body.closes,
    )


def _require_quiet(soul: OpenSoul) -> None:
    """Refuse while any feed but the soul's own is being written; whoever opens one from now on sees the rotation."""
    busy = [feed for feed in busy_feeds(soul.places.marks) if feed != soul.journal.feed()]
    if busy:
        raise LockedError(
            f"feeds of this device are being written: {len(busy)}",
            hint="stop the runs (Ctrl-C, or `consilience cancel`), then rotate",
        )


def last_seqs(marks: Path, author: str, journals: tuple[Path, ...] = ()) -> dict[str, int]:
    """Return the last seq of each feed of an author that this device knows of.

    A mark may lag behind its journal after a crash, so the journal is asked as well, where it is still there.

    Raises:
        NotFoundError, JournalError: one of `journals` cannot be read.
    """
    known = read_marks(marks)
    heads = {feed: mark.seq for feed, mark in known.items() if mark.seq >= 0}
    stores = [folder / JOURNAL_NAME for folder in journals]
    for path in sorted({Path(mark.path) for mark in known.values() if mark.path}):
        if path.exists() and path not in stores:
            try:
                _raise_seqs(heads, path, author)
            except JournalError:
                continue  # damaged, or newer than this version: the marks still hold
    for path in stores:
        _raise_seqs(heads, path, author)
    return heads


def _raise_seqs(heads: dict[str, int], path: Path, author: str) -> None:
    store = Store.open(path)
    try:
        for feed, seq in store.last_seqs(author).items():
            heads[feed] = max(seq, heads.get(feed, -1))
    finally:
        store.close()
