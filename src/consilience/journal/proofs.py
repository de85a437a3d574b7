"""The proof that an event is in a log, as one file: what it holds, and its verification with nothing else at hand.

Rules:
    1. The file is canonical JSON (RFC 8785) with everything beyond printable ASCII escaped, and a newline: one proof
       has one spelling, any changed byte is seen, and nothing in it acts on a terminal.
    2. Every signature in it must hold, cosignatures and certificates included; a line by an unknown key is refused.
    3. What was checked and what was not are told apart, in words, so that nobody reads more into a proof than is there.

Data flow: `node.proving` -> InclusionProof -> `write_proof` -> file -> `read_proof` -> `check_proof` -> ProofReport.
"""

from __future__ import annotations

import re

import msgspec
from msgspec import Struct

from consilience.core.canonical import canonical_bytes
from consilience.core.errors import IdentityError, JournalError, ProofError
from consilience.core.events import Event, identity_hive
from consilience.core.ports import NoteVerifier, Proofs, Verifier
from consilience.journal.feed import Row, check_row, read_event, row_of
from consilience.journal.merkle import inclusion_holds, leaf_hash
from consilience.journal.notes import Checkpoint, Note, cosignatures, log_fault, read_checkpoint, read_note
from consilience.journal.views.keys import KeysView

PROOF_FORMAT = "consilience-proof-v1"
LARGEST_PROOF = 4 * 2**20  # bytes; an event may hold long texts
_BEYOND_PRINTABLE_ASCII = re.compile(r"[^ -~]")
_MEND = "get the proof again from whoever made it: `consilience prove EVENT`"


class SignedEvent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An event as it was signed: its payload's text and its detached JWS."""

    payload: str
    jws: str


class InclusionProof(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An event, its place in a log, and the checkpoint that covers it.

    Attributes:
        format: `PROOF_FORMAT`.
        event: the event.
        index: its position in the log.
        path: audit path, hex, bottom up (RFC 9162).
        checkpoint: the signed note, with cosignatures.
        identity: events about the keys that signed the note, in order.
        timestamps: RFC 3161 responses over the note's text, base64.
    """

    format: str
    event: SignedEvent
    index: int
    path: tuple[str, ...]
    checkpoint: str
    identity: tuple[SignedEvent, ...]
    timestamps: tuple[str, ...]


class Witnessed(Struct, frozen=True, kw_only=True):
    """A cosignature that holds. `operator` certified the key; "" when the proof has no certificate of it."""

    key: str
    operator: str
    time: int


class ProofReport(Struct, frozen=True, kw_only=True):
    """What a proof comes to.

    Attributes:
        event, kind, author: of the event.
        index: where it is.
        origin, size, root: the log's head.
        log_key: the witness key that signed the head.
        operator: the identity that certified that key: whose log this is.
        witnesses: cosignatures that hold.
        unchecked: what a reader may still want to know, in words.
    """

    event: str
    kind: str
    author: str
    index: int
    origin: str
    size: int
    root: str
    log_key: str
    operator: str
    witnesses: tuple[Witnessed, ...]
    unchecked: tuple[str, ...] = ()


class ProofChecks(Struct, frozen=True, kw_only=True):
    """The ports that a check needs. `events` learns of keys as it goes: a new one for each proof."""

    events: Verifier
    notes: NoteVerifier
    statements: Proofs


def write_proof(proof: InclusionProof) -> bytes:
    """Return the file's bytes."""
    return _BEYOND_PRINTABLE_ASCII.sub(_escaped, canonical_bytes(proof).decode()).encode() + b"\n"


def read_proof(data: bytes) -> InclusionProof:
    """Read a proof.

    Raises:
        ProofError: not a proof in its only spelling.
    """
    try:
        proof = msgspec.json.decode(data[: LARGEST_PROOF + 1], type=InclusionProof)
        same = write_proof(proof) == data
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ProofError(f"not a proof: {error}", hint=_MEND) from error
    if proof.format != PROOF_FORMAT:
        raise ProofError(f"a proof of format {proof.format[:40]!r}, not {PROOF_FORMAT}", hint="upgrade consilience")
    if not same:
        raise ProofError("the proof was changed: it is not spelled as proofs are", hint=_MEND)
    return proof


def _escaped(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def signed_event(row: Row) -> SignedEvent:
    """Return a stored event as a proof holds it."""
    return SignedEvent(payload=row.payload.decode(), jws=row.jws)


def check_proof(proof: InclusionProof, checks: ProofChecks, trusted: Note | None = None) -> ProofReport:
    """Check a proof, but for its time stamps.

    Args:
        proof: the proof.
        checks: what checks signatures.
        trusted: a checkpoint that its reader has from elsewhere; the proof must be about the same head, and
            cosignatures of either count.

    Raises:
        ProofError: anything in it does not hold.
    """
    certified = _certified_keys(proof.identity, checks)
    event = _checked_event(proof.event, checks.events)
    note = read_note(proof.checkpoint)
    head = read_checkpoint(note)
    _check_path(proof, event, head)
    key = _log_key(note, certified, checks.notes)
    witnesses = _witnesses(note, certified, checks.notes)
    if trusted is not None:
        witnesses = _merged(witnesses, _same_head(head, trusted, certified, checks.notes))
    return ProofReport(
        event=event.id,
        kind=event.fields.kind,
        author=event.fields.author,
        index=proof.index,
        origin=head.origin,
        size=head.size,
        root=head.root.hex(),
        log_key=key,
        operator=certified[key],
        witnesses=witnesses,
        unchecked=_unchecked(witnesses, trusted),
    )


def witness_keys(keys: KeysView) -> dict[str, str]:
    """Return the witness keys that are certified and not revoked, each with the identity that certified it."""
    found: dict[str, str] = {}
    for author in keys.authors():
        if author not in keys.quarantined():
            for each in keys.state(author).certificates:
                if each.purpose == "witness" and not each.revoked:
                    found.setdefault(each.key, author)
    return found


def _certified_keys(identity: tuple[SignedEvent, ...], checks: ProofChecks) -> dict[str, str]:
    """Return the witness keys that these events certify and do not revoke, each with its operator.

    Raises:
        ProofError: one of the events does not hold.
    """
    keys = KeysView(checks.statements)
    for number, signed in enumerate(identity):
        event = _checked_event(signed, checks.events, f"identity event {number}")
        if event.fields.hive != identity_hive(event.fields.author):
            raise ProofError(f"identity event {number} is not in its author's own hive", hint=_MEND)
        keys.apply(event)
    return witness_keys(keys)


def _checked_event(signed: SignedEvent, verifier: Verifier, name: str = "the event") -> Event:
    try:
        event = read_event(signed.payload.encode(), signed.jws)
    except JournalError as error:
        raise ProofError(f"{name} cannot be read: {error.message}", hint=_MEND) from error
    fault = check_row(row_of(event), verifier)
    if fault:
        raise ProofError(f"{name} ({event.id[:12]}): {fault}", hint=_MEND)
    return event


def _check_path(proof: InclusionProof, event: Event, head: Checkpoint) -> None:
    try:
        path = [bytes.fromhex(node) for node in proof.path]
    except ValueError as error:
        raise ProofError(f"the audit path is no list of hashes: {error}", hint=_MEND) from error
    spelled = [node.hex() for node in path] == list(proof.path)
    leaf = leaf_hash(bytes.fromhex(event.id))
    if not spelled or not inclusion_holds(leaf, proof.index, head.size, path, head.root):
        raise ProofError(
            f"the audit path does not lead from event {event.id[:12]} at {proof.index} to the checkpoint's root",
            hint=_MEND,
        )


def _log_key(note: Note, certified: dict[str, str], verifier: NoteVerifier) -> str:
    """Return the certified key that signed the head."""
    faults = []
    for key in certified:
        fault = log_fault(note, key, verifier)
        if not fault:
            return key
        faults.append(fault)
    raise ProofError(faults[0] if faults else "no certificate of the key that signed the checkpoint", hint=_MEND)


def _witnesses(note: Note, certified: dict[str, str], verifier: NoteVerifier) -> tuple[Witnessed, ...]:
    """Return the cosignatures, all of which hold, and refuse any line that is neither the log's nor a witness's."""
    origin = read_checkpoint(note).origin
    found = cosignatures(note, verifier)
    strangers = [each for each in note.signatures if each.name != origin]
    logs = len(note.signatures) - len(strangers)
    if len(found) != len(strangers) or logs != 1:
        raise ProofError("the checkpoint has a signature that nobody can check", hint=_MEND)
    return tuple(Witnessed(key=each.key, operator=certified.get(each.key, ""), time=each.time) for each in found)


def _same_head(
    head: Checkpoint, trusted: Note, certified: dict[str, str], verifier: NoteVerifier
) -> tuple[Witnessed, ...]:
    given = read_checkpoint(trusted)
    if given != head:
        what = f"size {given.size}, root {given.root.hex()[:12]}, of {given.origin}"
        raise ProofError(
            f"the proof is about another head than your checkpoint ({what})",
            hint="ask for a proof against that checkpoint: `consilience prove EVENT --size SIZE`",
        )
    found = cosignatures(trusted, verifier)
    return tuple(Witnessed(key=each.key, operator=certified.get(each.key, ""), time=each.time) for each in found)


def _merged(first: tuple[Witnessed, ...], second: tuple[Witnessed, ...]) -> tuple[Witnessed, ...]:
    return tuple({each.key: each for each in (*second, *first)}.values())


def _unchecked(witnesses: tuple[Witnessed, ...], trusted: Note | None) -> tuple[str, ...]:
    found = [
        "whether the DIDs are those of the people you think of: compare them with what they told you",
        "whether a key was rotated or revoked meanwhile: the proof's maker chose which events of identities to add",
    ]
    if not witnesses:
        found.append("whether others were shown the same log: nobody cosigned this checkpoint")
    elif any(not each.operator for each in witnesses):
        found.append("who runs the witnesses whose certificate is not in the proof")
    if trusted is None:
        found.append("whether this is the head that you have seen: give yours with --checkpoint")
    return tuple(found)


def require_witnesses(report: ProofReport, keys: tuple[str, ...], verifier: NoteVerifier) -> None:
    """Check that each of these witness keys, or an operator with this DID, cosigned.

    Raises:
        ProofError: one of them did not.
        IdentityError: one of them is no DID.
    """
    for key in keys:
        if not any(key in (each.key, each.operator) for each in report.witnesses):
            try:
                verifier.public_bytes(key)
                hint = "ask that witness: `consilience checkpoint --since 0 > request`, `consilience witness request`"
            except IdentityError:
                hint = "a witness is named by its key (did:key:z6Mk...) or by its certified operator's DID"
            raise ProofError(f"{key} did not cosign this checkpoint", hint=hint)
