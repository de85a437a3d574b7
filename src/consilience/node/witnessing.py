"""The witness: cosigns a peer's checkpoint once it is known to continue what this witness cosigned before.

Rules:
    1. What was cosigned is on the disk before the cosignature leaves, under one lock for each origin.
    2. An origin is followed under one key, which is given the first time; another key is refused.
    3. A smaller tree, another root for the same size, or a tree that does not continue is refused, and both notes
       are kept. Two roots for one size are proof of equivocation for anyone who has the log's key.

Data flow: request text -> `read_request` -> checks against the kept note -> `_keep` -> cosignature line.

Source: C2SP tlog-witness (add-checkpoint); the file takes the place of HTTP.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import msgspec
from msgspec import Struct

from consilience.core.errors import EnvironmentLacksError, IdentityError, ProofError, UsageError
from consilience.core.ports import Clock, NoteSigner
from consilience.identity.witness_keys import WitnessVerifier
from consilience.journal.merkle import EMPTY_ROOT, consistency_holds
from consilience.journal.notes import (
    LARGEST_NOTE,
    Checkpoint,
    Note,
    cosign,
    equivocation,
    log_fault,
    read_checkpoint,
    read_hash,
    read_note,
    signature_line,
    write_note,
)
from consilience.node.durable import write_durably

try:
    import fcntl
except ImportError:  # Windows: `journal.device` says what to do there
    fcntl = None  # type: ignore[assignment]

MOST_PROOF_LINES = 63
_LARGEST_REQUEST = 2 * LARGEST_NOTE
_MEND = "ask the peer for it again: `consilience checkpoint --since SIZE`"


class Request(Struct, frozen=True, kw_only=True):
    """What a peer asks: the size that we cosigned last, the proof from there, and its note."""

    old: int
    path: tuple[bytes, ...]
    note: Note
    head: Checkpoint


class Followed(Struct, frozen=True, kw_only=True):
    """What a witness remembers of one log: its key, and the note that it cosigned last."""

    origin: str
    key: str
    note: str


class Cosigned(Struct, frozen=True, kw_only=True):
    """What a witness gives: the line, and what it is about.

    `before` is the size that it had cosigned before. `elsewhere` are other logs that it follows under the same key: a
    node that restored an older journal goes on under a new origin, and so would one that wants to forget.
    """

    cosignature: str
    origin: str
    size: int
    root: str
    before: int
    elsewhere: tuple[str, ...] = ()


def read_request(text: str) -> Request:
    """Read a request.

    Raises:
        ProofError: not a request in its only spelling.
    """
    first, _, rest = text.partition("\n")
    old = first.removeprefix("old ")
    if not (old.isascii() and old.isdecimal() and first == f"old {int(old[:20])}") or len(text) > _LARGEST_REQUEST:
        raise ProofError("not a request to a witness: it does not begin with `old SIZE`", hint=_MEND)
    lines, blank, note_text = ("", "\n", rest[1:]) if rest.startswith("\n") else rest.partition("\n\n")
    path = tuple(read_hash(line) for line in lines.split("\n")) if lines else ()
    if not blank or len(path) > MOST_PROOF_LINES:
        raise ProofError(f"not a request to a witness: no note after at most {MOST_PROOF_LINES} hashes", hint=_MEND)
    note = read_note(note_text)
    return Request(old=int(old), path=path, note=note, head=read_checkpoint(note))


def witness(request: Request, folder: Path, signer: NoteSigner, clock: Clock, key: str = "") -> Cosigned:
    """Check a peer's checkpoint and cosign it.

    Args:
        request: what the peer asks.
        folder: where this witness keeps what it cosigned.
        signer: the witness key.
        clock: for the time in the cosignature.
        key: the log's key (``did:key:z6Mk...``); needed the first time that an origin is met.

    Raises:
        UsageError: the origin is new and no key was given, or the proof is from another size than we cosigned.
        ProofError: the checkpoint is not that log's, or does not continue what was cosigned.
        EnvironmentLacksError: nothing can be kept.
    """
    place = folder / sha256(request.head.origin.encode()).hexdigest()[:32]
    with _alone(place):
        followed = _followed(place)
        log_key = _log_key(request, followed, key)
        before = _before(followed)
        fault = _conflict(request, before)
        if fault:
            raise _refusal(place, request, followed, fault)
        _keep(place, Followed(origin=request.head.origin, key=log_key, note=write_note(request.note)))
        line = signature_line(cosign(request.note, signer, clock.now_ms() // 1000))
    head = request.head
    return Cosigned(
        cosignature=line,
        origin=head.origin,
        size=head.size,
        root=head.root.hex(),
        before=before.size if before else 0,
        elsewhere=_elsewhere(folder, head.origin, log_key),
    )


def _log_key(request: Request, followed: Followed | None, key: str) -> str:
    """Return the key under which the origin is followed, which signed the note."""
    if followed is None and not key:
        raise UsageError(
            f"{request.head.origin} is new here",
            hint="give its key the first time: --key did:key:z6Mk...; `consilience checkpoint` shows it to the peer",
        )
    if followed is not None and key not in ("", followed.key):
        raise ProofError(
            f"{request.head.origin} is followed under {followed.key}, not {key}",
            hint="a log keeps its key; a node with a new one begins a new feed, and so a new origin",
        )
    log_key = followed.key if followed is not None else key
    try:
        fault = log_fault(request.note, log_key, WitnessVerifier())
    except IdentityError as error:
        raise UsageError(f"--key: {error.message}", hint=error.hint) from error
    if fault:
        raise ProofError(fault, hint=_MEND)
    return log_key


def _conflict(request: Request, before: Checkpoint | None) -> str:
    """Return "" when the tree continues what was cosigned, else what contradicts it.

    Raises:
        UsageError: the proof is from another size, so that nothing can be told.
    """
    head, size, root = request.head, before.size if before else 0, before.root if before else EMPTY_ROOT
    if head.size < size:
        return f"it is of size {head.size}, and one of size {size} was cosigned: events are gone, or the note is old"
    if head.size == size:
        return "" if head.root == root else f"it has another root than what was cosigned for the same size {size}"
    if request.old != size:
        hint = f"`consilience checkpoint --since {size}` makes that proof"
        raise UsageError(f"the proof is from size {request.old}, and size {size} was cosigned last", hint=hint)
    if consistency_holds(size, root, head.size, head.root, request.path):
        return ""
    return f"its tree of {head.size} does not continue the tree of {size} that was cosigned"


def _refusal(place: Path, request: Request, followed: Followed | None, fault: str) -> ProofError:
    """Keep both notes and say where."""
    held = followed.note if followed is not None else ""
    offered = write_note(request.note)
    name = sha256((held + offered).encode()).hexdigest()[:12]
    for part, text in (("held", held), ("offered", offered)):
        write_durably(place / f"conflict-{name}-{part}.note", text)
    proof = "both notes are kept"
    if followed is not None and equivocation(read_note(held), request.note, followed.key, WitnessVerifier()):
        proof = "both notes together prove equivocation and are kept"
    return ProofError(
        f"not cosigned: {request.head.origin}: {fault}; {proof} as {place}/conflict-{name}-*.note",
        hint="show them to whoever relies on this log; a restored journal goes on under a new origin instead",
    )


def _before(followed: Followed | None) -> Checkpoint | None:
    return read_checkpoint(read_note(followed.note)) if followed is not None else None


def _followed(place: Path) -> Followed | None:
    """Return what is kept of an origin.

    Raises:
        ProofError: it can no longer be read; cosigning without it could contradict what was cosigned.
    """
    file = place / "followed.json"
    try:
        return msgspec.json.decode(file.read_bytes(), type=Followed)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise ProofError(
            f"what was cosigned before cannot be read from {file}: {error}", hint="restore the file from a backup"
        ) from error


def _elsewhere(folder: Path, origin: str, key: str) -> tuple[str, ...]:
    kept = (_followed(place) for place in sorted(folder.iterdir()))
    return tuple(each.origin for each in kept if each is not None and each.key == key and each.origin != origin)


def _keep(place: Path, followed: Followed) -> None:
    write_durably(place / "followed.json", msgspec.json.encode(followed).decode() + "\n")


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Hold the lock of one origin."""
    try:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(place / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise EnvironmentLacksError(f"cannot keep anything in {place}: {error}", hint="make it writable") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
