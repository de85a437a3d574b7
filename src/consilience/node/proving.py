"""Proofs that an event is in this journal: made here, and checked anywhere.

Rules:
    1. A proof is about a checkpoint that was signed before, best one that witnesses cosigned; where none covers the
       event, one is signed, which needs the journal for writing.
    2. Checking opens no journal and no network: the proof, and what the reader gives with it, must do.

Data flow: event id -> `find_event` -> checkpoint -> `make_proof` -> file; file -> `verify_proof` -> ProofReport.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from consilience.core.errors import NotFoundError, ProofError
from consilience.identity.proofs import StatementProofs
from consilience.identity.witness_keys import WitnessVerifier
from consilience.journal.checkpoints import Claim, own_claims
from consilience.journal.feed import Row
from consilience.journal.heads import CheckedTree
from consilience.journal.notes import cosignatures, log_fault, read_note
from consilience.journal.proofs import (
    PROOF_FORMAT,
    InclusionProof,
    ProofChecks,
    ProofReport,
    check_proof,
    read_proof,
    require_witnesses,
    signed_event,
)
from consilience.journal.store import Store
from consilience.journal.tiles import TileTree
from consilience.node.identity_events import certified_in, events_of
from consilience.node.kept_heads import own_feeds
from consilience.node.places import UserPlaces
from consilience.node.timestamps import TimeStamp, check_timestamp
from consilience.node.verifying import fresh_ring, key_rows

_SHORTEST_PREFIX = 4


def proof_checks() -> ProofChecks:
    """Return what checks the signatures in proofs."""
    return ProofChecks(events=fresh_ring(), notes=WitnessVerifier(), statements=StatementProofs())


def find_event(store: Store, name: str) -> Row:
    """Return the event whose id begins with `name`.

    Raises:
        NotFoundError: none, or several, or the name is too short to be one.
    """
    if len(name) < _SHORTEST_PREFIX:
        hint = "`consilience why TRIAL` prints the ids behind a trial, `consilience log` all"
        raise NotFoundError(f"{name!r} is too short for an event's id: {_SHORTEST_PREFIX} digits at least", hint=hint)
    rows = store.rows_named(name, 2)
    if len(rows) != 1:
        what = f"{len(rows)} events begin with {name!r}" if rows else f"no event {name!r}"
        raise NotFoundError(what, hint="ids are in `consilience log`, and in `consilience why best`")
    return rows[0]


def covering_claim(store: Store, places: UserPlaces, position: int, size: int | None = None) -> Claim | None:
    """Return the checkpoint to prove against: the given size, else the one most cosigned, else the newest."""
    claims = [claim for claim in own_claims(store, own_feeds(places, store)) if claim.head.size > position]
    if size is not None:
        claims = [claim for claim in claims if claim.head.size == size]
    return max(claims, key=lambda claim: (_cosigned(claim), claim.position), default=None)


def make_proof(store: Store, folder: Path, row: Row, claim: Claim) -> InclusionProof:
    """Return the proof that an event is in the log under a checkpoint.

    Raises:
        ProofError: the journal no longer has that tree, or no certificate of the key that signed.
    """
    tiles = TileTree.open(store, folder)
    try:
        path = CheckedTree(store, tiles).inclusion(row.position, claim.head)
    finally:
        tiles.close()
    note = read_note(claim.note)
    certified = certified_in(store)
    verifier = WitnessVerifier()
    signers = {key for key in certified if not log_fault(note, key, verifier)}
    if not signers:
        raise ProofError("the journal has no certificate of the key that signed the checkpoint", hint="sign a new one")
    keys = signers | {each.key for each in cosignatures(note, verifier)}
    authors = {certified[key] for key in keys if key in certified} | {row.author}
    return InclusionProof(
        format=PROOF_FORMAT,
        event=signed_event(row),
        index=row.position,
        path=tuple(node.hex() for node in path),
        checkpoint=claim.note,
        identity=events_of(key_rows(store), authors),
        timestamps=tuple(base64.b64encode(store.get(blob)).decode() for blob in claim.timestamps),
    )


def verify_proof(
    data: bytes, checkpoint: str = "", witnesses: tuple[str, ...] = ()
) -> tuple[InclusionProof, ProofReport]:
    """Check a proof, but for its time stamps.

    Args:
        data: the file.
        checkpoint: a note that its reader has from elsewhere; "" for none.
        witnesses: keys, or DIDs of their operators, who must have cosigned.

    Raises:
        ProofError: anything does not hold.
    """
    proof, checks = read_proof(data), proof_checks()
    report = check_proof(proof, checks, read_note(checkpoint) if checkpoint else None)
    require_witnesses(report, witnesses, checks.notes)
    return proof, report


def _cosigned(claim: Claim) -> int:
    try:
        return len(cosignatures(read_note(claim.note), WitnessVerifier()))
    except ProofError:
        return 0


def check_stamps(proof: InclusionProof, root_pem: bytes | None) -> tuple[TimeStamp, ...]:
    """Check the time stamps in a proof.

    Raises:
        ProofError: one does not hold, or a root certificate was given and there is none to check.
    """
    if root_pem is not None and not proof.timestamps:
        raise ProofError(
            "the proof has no time stamp", hint="`consilience checkpoint --timestamp URL`, then prove again"
        )
    text = read_note(proof.checkpoint).text
    return tuple(check_timestamp(_decoded(encoded), text, root_pem) for encoded in proof.timestamps)


def with_stamps(report: ProofReport, stamps: tuple[TimeStamp, ...]) -> ProofReport:
    """Return the report with what its time stamps leave open."""
    if not stamps:
        added = "when: the times in events and cosignatures are their signers' own; there is no time stamp"
    elif not stamps[0].trusted:
        added = f"who stamped it at {stamps[0].at}: give the authority's root certificate with --tsa-root"
    else:
        return report
    return replace(report, unchecked=(*report.unchecked, added))


def when(seconds: int) -> str:
    """Return a cosignature's time in ISO 8601, UTC; the number itself where no calendar reaches it."""
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (OverflowError, ValueError, OSError):
        return str(seconds)


def _decoded(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except ValueError as error:
        raise ProofError(f"a time stamp is not in base64: {error}") from error
