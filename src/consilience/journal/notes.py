"""Signed notes: texts with lines of signatures, checkpoints in them, and what a witness adds.

Rules:
    1. A note has one spelling: what is read writes the same bytes again, anything else is refused.
    2. A log signs under its origin as the name; a witness cosigns under its own ``did:key``, so that a cosignature
       says by which key it is. Signatures by others are kept and never counted.
    3. Pure: keys are behind the ports NoteSigner and NoteVerifier.

Data flow: tree head -> Checkpoint -> `sign_checkpoint` -> text; text -> `read_note` -> `log_fault`, `cosignatures`.

Sources: C2SP signed-note v1, tlog-checkpoint v1, tlog-cosignature v1 (Ed25519).
"""

from __future__ import annotations

import base64
import binascii
from hashlib import sha256

from msgspec import Struct
from msgspec.structs import replace

from consilience.core.errors import IdentityError, ProofError
from consilience.core.ports import NoteSigner, NoteVerifier
from consilience.journal.merkle import HASH_BYTES, LARGEST_SIZE

LARGEST_NOTE = 65536  # characters; C2SP asks for room for 16 signatures, of 5 kB at most
ORIGIN_PREFIX = "consilience/"
_DASH = "\u2014 "
_LOG_KEY = b"\x01"
_COSIGNER_KEY = b"\x04"
_KEY_ID_BYTES = 4
_TIME_BYTES = 8
_SIGNATURE_BYTES = 64
_LARGEST_TIME = 2**63 - 1
_FEWEST_LINES = 3
_MEND = "get the note again, as its signer printed it"


class NoteSignature(Struct, frozen=True, kw_only=True):
    """One line below a note: who, which of his keys (4 bytes), and what that key made."""

    name: str
    key_id: bytes
    data: bytes


class Note(Struct, frozen=True, kw_only=True):
    """A text, ending in a newline, and its signatures."""

    text: str
    signatures: tuple[NoteSignature, ...]


class Checkpoint(Struct, frozen=True, kw_only=True):
    """A tree head: whose tree, how many leaves, which root."""

    origin: str
    size: int
    root: bytes


class Cosignature(Struct, frozen=True, kw_only=True):
    """A witness's statement that this was the largest consistent tree it had seen at `time` (Unix seconds)."""

    key: str
    time: int


def origin_of(feed: str) -> str:
    """Return the origin of the log that the writer of a feed keeps."""
    return ORIGIN_PREFIX + feed


def read_note(text: str) -> Note:
    """Read a signed note.

    Raises:
        ProofError: not a note in its only spelling.
    """
    body, blank, lines = text.rpartition("\n\n")
    if not blank or len(text) > LARGEST_NOTE or any(ord(each) < ord(" ") and each != "\n" for each in text):
        raise ProofError("not a signed note: no text with lines of signatures below it", hint=_MEND)
    signatures = tuple(read_signature(line) for line in lines.removesuffix("\n").split("\n"))
    note = Note(text=body + "\n", signatures=signatures)
    if write_note(note) != text:
        raise ProofError("not a signed note: it is not spelled as notes are", hint=_MEND)
    return note


def write_note(note: Note) -> str:
    """Return the note as text."""
    return f"{note.text}\n{''.join(map(signature_line, note.signatures))}"


def read_signature(line: str) -> NoteSignature:
    """Read one line of a signature, without its newline.

    Raises:
        ProofError: not such a line.
    """
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    try:
        data = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        data = b""
    found = NoteSignature(name=name, key_id=data[:_KEY_ID_BYTES], data=data[_KEY_ID_BYTES:])
    plain = name and "+" not in name and len(name.split()) == 1
    if not plain or not found.data or signature_line(found) != line + "\n":
        raise ProofError(f"not a line of a signature: {line[:80]!r}", hint=_MEND)
    return found


def signature_line(signature: NoteSignature) -> str:
    """Return a signature as its line, with the newline."""
    return f"{_DASH}{signature.name} {_encode(signature.key_id + signature.data)}\n"


def checkpoint_text(checkpoint: Checkpoint) -> str:
    """Return what is signed of a tree head: three lines."""
    return f"{checkpoint.origin}\n{checkpoint.size}\n{_encode(checkpoint.root)}\n"


def read_checkpoint(note: Note) -> Checkpoint:
    """Read the tree head out of a note. Lines after the third are signed with it and mean nothing here.

    Raises:
        ProofError: its text is not that of a checkpoint.
    """
    lines = note.text.removesuffix("\n").split("\n")
    if len(lines) >= _FEWEST_LINES and all(lines) and lines[1].isascii() and lines[1].isdecimal():
        root = read_hash(lines[2])
        size = int(lines[1]) if len(lines[1]) < len(str(LARGEST_SIZE)) + 1 else -1
        if str(size) == lines[1] and size <= LARGEST_SIZE:
            return Checkpoint(origin=lines[0], size=size, root=root)
    raise ProofError("the note is not a checkpoint: its lines are not origin, size and root", hint=_MEND)


def read_hash(encoded: str) -> bytes:
    """Read a hash in base64.

    Raises:
        ProofError: it is none.
    """
    try:
        found = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        found = b""
    if len(found) != HASH_BYTES or _encode(found) != encoded:
        raise ProofError(f"not a hash in base64: {encoded[:60]!r}", hint=_MEND)
    return found


def sign_checkpoint(checkpoint: Checkpoint, signer: NoteSigner) -> Note:
    """Return the checkpoint as a note that the log's key signed."""
    text = checkpoint_text(checkpoint)
    key = _key_id(checkpoint.origin, _LOG_KEY, signer.public_bytes)
    signature = NoteSignature(name=checkpoint.origin, key_id=key, data=signer.sign_bytes(text.encode()))
    return Note(text=text, signatures=(signature,))


def cosign(note: Note, signer: NoteSigner, time: int) -> NoteSignature:
    """Return the cosignature of a witness over a checkpoint at a time in Unix seconds."""
    data = time.to_bytes(_TIME_BYTES, "big") + signer.sign_bytes(_cosigned(note.text, time))
    return NoteSignature(name=signer.did, key_id=_key_id(signer.did, _COSIGNER_KEY, signer.public_bytes), data=data)


def log_fault(note: Note, key: str, verifier: NoteVerifier) -> str:
    """Return "" when the note is a checkpoint that this key signed as the log's, else what is wrong."""
    origin = read_checkpoint(note).origin
    wanted = _key_id(origin, _LOG_KEY, verifier.public_bytes(key))
    found = [each for each in note.signatures if each.name == origin and each.key_id == wanted]
    if not found:
        return f"the checkpoint of {origin} is not signed by {key}"
    holds = all(verifier.check(key, each.data, note.text.encode()) for each in found)
    return "" if holds else f"the signature of {key} on the checkpoint of {origin} does not hold"


def cosignatures(note: Note, verifier: NoteVerifier) -> tuple[Cosignature, ...]:
    """Return the cosignatures of a checkpoint that hold. Lines by names that are no witness key are passed over.

    Raises:
        ProofError: a line under a witness key does not hold.
    """
    found = (_cosignature(note, each, verifier) for each in note.signatures)
    return tuple(each for each in found if each is not None)


def with_cosignatures(note: Note, added: tuple[NoteSignature, ...]) -> Note:
    """Return the note with more signatures; a later one by the same key takes the place of the earlier."""
    new = {(each.name, each.key_id): each for each in added}
    kept = tuple(each for each in note.signatures if (each.name, each.key_id) not in new)
    return replace(note, signatures=kept + tuple(new.values()))


def equivocation(first: Note, second: Note, key: str, verifier: NoteVerifier) -> bool:
    """Tell whether two notes prove that the holder of a key keeps two trees under one origin: one size, two roots."""
    if log_fault(first, key, verifier) or log_fault(second, key, verifier):
        return False
    one, other = read_checkpoint(first), read_checkpoint(second)
    return (one.origin, one.size) == (other.origin, other.size) and one.root != other.root


def _cosignature(note: Note, signature: NoteSignature, verifier: NoteVerifier) -> Cosignature | None:
    try:
        public = verifier.public_bytes(signature.name)
    except IdentityError:
        return None
    time = int.from_bytes(signature.data[:_TIME_BYTES], "big")
    whole = len(signature.data) == _TIME_BYTES + _SIGNATURE_BYTES and time <= _LARGEST_TIME
    known = signature.key_id == _key_id(signature.name, _COSIGNER_KEY, public)
    if not (whole and known) or not verifier.check(
        signature.name, signature.data[_TIME_BYTES:], _cosigned(note.text, time)
    ):
        raise ProofError(f"the cosignature of {signature.name} does not hold", hint="ask that witness again")
    return Cosignature(key=signature.name, time=time)


def _cosigned(text: str, time: int) -> bytes:
    return f"cosignature/v1\ntime {time}\n{text}".encode()


def _key_id(name: str, kind: bytes, public: bytes) -> bytes:
    return sha256(name.encode() + b"\n" + kind + public).digest()[:_KEY_ID_BYTES]


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()
