"""Checkpoints of a journal: sign the tree head, ask a witness for more, keep what witnesses gave.

Rules:
    1. A head is signed only over what is committed and only if it continues the last one that was signed here.
    2. The event is durable, and the device remembers the head, before anybody sees the note.
    3. Nothing new since the last head: that head is shown again, none is signed.

Data flow: LogWriter -> `sign_head` -> checkpoint.signed -> note; witness's lines -> `add_cosignatures` -> the same.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable

import msgspec
from msgspec import Struct

from consilience.core.bodies_journal import CheckpointSigned
from consilience.core.errors import ProofError, UsageError
from consilience.identity.witness_keys import WitnessVerifier
from consilience.journal.checkpoints import Claim, read_claims
from consilience.journal.feed import read_event, row_of
from consilience.journal.heads import CheckedTree, TreeHead
from consilience.journal.kinds import kind_named
from consilience.journal.notes import (
    Checkpoint,
    Cosignature,
    Note,
    NoteSignature,
    checkpoint_text,
    cosignatures,
    read_note,
    read_signature,
    sign_checkpoint,
    with_cosignatures,
    write_note,
)
from consilience.journal.proofs import SignedEvent
from consilience.journal.tiles import TileTree
from consilience.node.identity_events import certified_in
from consilience.node.kept_heads import keep_head, kept_heads
from consilience.node.log_writer import LogWriter
from consilience.node.verifying import ring_of

_LINE_OF_SIGNATURE = "\u2014 "
_MOST_AFTER = 1000  # checkpoints, each with another cosignature, after which a new head is signed anyway


class Reply(Struct, frozen=True, kw_only=True):
    """What a witness answers: its line, its key, and the events that certify the key."""

    cosignature: str
    key: str
    operator: str
    identity: tuple[SignedEvent, ...]


class _Envelope(Struct, frozen=True, kw_only=True):
    """A reply as the command's `--json` prints it."""

    data: Reply


def sign_head(log: LogWriter) -> Claim:
    """Sign the head over what is committed, or return the last one where nothing but checkpoints came since.

    Raises:
        ProofError: the journal no longer has the tree that was signed last.
    """
    signed = _signed(log)
    last = max(signed, key=lambda claim: (claim.head.size, claim.position), default=None)
    size = log.journal.store.count()
    if last is not None and last.head.size > size:
        raise ProofError(
            f"a head over {last.head.size} events was signed, and {size} are here: the tail is missing",
            hint="restore the journal from a backup; a restored one speaks under another origin",
        )
    head = head_of(log, size, (claim.head for claim in signed))
    if last is not None and last.position >= 0 and _only_checkpoints(log, last.head.size):
        return last
    note = sign_checkpoint(Checkpoint(origin=log.origin, size=size, root=head.root), log.key)
    return _record(log, note, head, ())


def head_of(log: LogWriter, size: int, signed: Iterable[TreeHead]) -> TreeHead:
    """Return the checked head over the first `size` events."""
    tiles = TileTree.open(log.journal.store, log.folder)
    try:
        return CheckedTree(log.journal.store, tiles).head(size, signed)
    finally:
        tiles.close()


def witness_request(log: LogWriter, claim: Claim, since: int) -> str:
    """Return what a witness is asked: old size, consistency proof, note (C2SP tlog-witness, add-checkpoint).

    Raises:
        UsageError: `since` is beyond the checkpoint.
        ProofError: the journal no longer has that tree.
    """
    if not 0 <= since <= claim.head.size:
        raise UsageError(f"--since {since}: the checkpoint is of size {claim.head.size}", hint="0 for a new witness")
    tiles = TileTree.open(log.journal.store, log.folder)
    try:
        tree = CheckedTree(log.journal.store, tiles)
        first = tree.head(since, (each.head for each in _signed(log)))
        path = tree.consistency(first, claim.head)
    finally:
        tiles.close()
    lines = "".join(f"{base64.b64encode(node).decode()}\n" for node in path)
    return f"old {since}\n{lines}\n{claim.note}"


def add_cosignatures(log: LogWriter, text: str, trusted: tuple[str, ...]) -> tuple[Claim, tuple[Cosignature, ...]]:
    """Keep the cosignatures of a witness's answer (or of a cosigned note) with the checkpoint that they are about.

    Args:
        log: the journal.
        text: lines of signatures, a whole note, or the JSON of `consilience witness --json`.
        trusted: witness keys whose certificate is not needed.

    Raises:
        ProofError: none of our checkpoints is meant, a cosignature does not hold, or a key is not certified.
        ForeignEventError: a certificate that came along does not hold.
    """
    lines = _take_reply(log, text) if text.lstrip().startswith("{") else text
    added = tuple(read_signature(line) for line in lines.splitlines() if line.startswith(_LINE_OF_SIGNATURE))
    added = tuple(each for each in added if each.name != log.origin)
    claim, found = _meant(log, added)
    known = certified_in(log.journal.store)
    for each in found:
        if each.key not in known and each.key not in trusted:
            hint = "give the JSON of `consilience witness --json`, which holds its certificate, or --witness KEY"
            raise ProofError(f"{each.key} is certified by nobody in this journal", hint=hint)
    note = with_cosignatures(read_note(claim.note), added)
    return _record(log, note, claim.head, claim.timestamps), found


def add_timestamp(log: LogWriter, claim: Claim, response: bytes) -> Claim:
    """Keep a time stamp of a checkpoint with it."""
    blob = log.journal.put(response)
    return _record(log, read_note(claim.note), claim.head, (*claim.timestamps, blob))


def _record(log: LogWriter, note: Note, head: TreeHead, timestamps: tuple[str, ...]) -> Claim:
    body = CheckpointSigned(
        origin=log.origin, size=head.size, root=head.root.hex(), note=write_note(note), timestamps=timestamps
    )
    position = log.journal.store.count()
    event = log.journal.append(body)
    log.journal.commit()
    claim = Claim(
        feed=log.feed, seq=event.fields.seq, head=head, position=position, note=body.note, timestamps=timestamps
    )
    keep_head(log.places, log.journal.store, claim)
    return claim


def _signed(log: LogWriter) -> list[Claim]:
    """Return what was signed under this origin, by the journal and by what this device kept."""
    store = log.journal.store
    return [claim for claim in (*read_claims(store), *kept_heads(log.places, store)) if claim.feed == log.feed]


def _only_checkpoints(log: LogWriter, size: int) -> bool:
    name = kind_named(CheckpointSigned)
    after = log.journal.store.count() - size
    return after <= _MOST_AFTER and all(row.kind == name for row in log.journal.store.tail(after))


def _take_reply(log: LogWriter, text: str) -> str:
    """Take the certificates of a witness's JSON into the journal and return its line."""
    try:
        reply = msgspec.json.decode(text, type=_Envelope).data
    except msgspec.DecodeError as error:
        raise ProofError(
            f"not what a witness answers: {error}", hint="give the output of `consilience witness`"
        ) from error
    events = (read_event(signed.payload.encode(), signed.jws) for signed in reply.identity)
    log.journal.take(map(row_of, events), ring_of(log.journal.store))
    log.journal.commit()
    return reply.cosignature


def _meant(log: LogWriter, added: tuple[NoteSignature, ...]) -> tuple[Claim, tuple[Cosignature, ...]]:
    """Return the newest checkpoint of ours that all these cosignatures hold for."""
    fault = ProofError("there is no cosignature in it", hint="give the output of `consilience witness`")
    if not added:
        raise fault
    for claim in reversed(_signed_here(log)):
        text = checkpoint_text(Checkpoint(origin=log.origin, size=claim.head.size, root=claim.head.root))
        try:
            found = cosignatures(Note(text=text, signatures=added), WitnessVerifier())
        except ProofError as error:
            fault = error
            continue
        if len(found) == len(added):
            return claim, found
    raise fault


def _signed_here(log: LogWriter) -> list[Claim]:
    return [claim for claim in read_claims(log.journal.store) if claim.feed == log.feed]
