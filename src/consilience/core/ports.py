"""Ports: the small Protocols through which parts meet, each named for its role.

Rules:
    1. A part that needs another part's work takes one of these as an argument; `node` wires them.
    2. Implementations of Proposer are pure: the same view and chance give the same proposal.
    3. Executor never raises for what a candidate does; that is an Outcome.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from msgspec import Struct

from consilience.core.artifact import Artifact
from consilience.core.bodies_identity import KeyCertified, KeyRotated
from consilience.core.events import Payload
from consilience.core.hypothesis import Proposal
from consilience.core.outcome import Isolation, Outcome
from consilience.core.problem import Limits, Problem
from consilience.core.study import StudySettings

Phase = Literal["explore", "exploit"]


class Clock(Protocol):
    """**Protocol:** where time comes from."""

    def now_ms(self) -> int:
        """Return whole milliseconds since the Unix epoch, for the `at` of events; never used to order."""

    def elapsed_ms(self) -> int:
        """Return whole milliseconds of a monotonic clock, for durations."""


class Signer(Protocol):
    """**Protocol:** one identity that signs. Only `identity` implements it over a private key."""

    @property
    def did(self) -> str:
        """The author's ``did:key``."""

    def sign(self, payload: bytes) -> str:
        """Return the RFC 7797 detached JWS (``header..signature``) over the payload bytes."""


class Verifier(Protocol):
    """**Protocol:** checks a detached JWS."""

    def verify(self, payload: bytes, jws: str, author: str) -> str:
        """Return "" when the JWS is the author's over these bytes, else the reason why not."""


class Proofs(Protocol):
    """**Protocol:** checks what events about keys prove; each method returns "" when it holds, else what does not."""

    def signer(self, jws: str) -> str:
        """Return the DID of the key that a JWS names; "" when it names none."""

    def promise(self, key: str) -> str:
        """Return the promise that a key keeps: hex SHA-256 of its 33 bytes; "" when it is no secp256k1 DID."""

    def rotation(self, author: str, body: KeyRotated) -> str:
        """Check the new key's proof of a rotation."""

    def certificate(self, operator: str, body: KeyCertified) -> str:
        """Check the certified key's proof, and that it is of the kind that its purpose needs."""

    def consent(self, identity: str, controller: str, proof: str) -> str:
        """Check a controller's consent."""

    def release(self, identity: str, controller: str, successor: str, proof: str) -> str:
        """Check that a controller let go of an identity."""


class KeyRules(Protocol):
    """**Protocol:** which key may sign what, by the identity events seen so far (`journal.views.keys`)."""

    def is_plain(self, author: str) -> bool:
        """Tell whether nothing but the author's first key was ever in force: the common case, told quickly."""

    def key_fault(self, author: str, key: str, fields: Payload) -> str:
        """Return "" when the key may sign at this place of the author's feed, else why not."""

    def learn(self, payload: bytes, jws: str) -> str:
        """Take in an event about keys whose signature holds; return "" or what is wrong with it. Ignores others."""


class NoteSigner(Protocol):
    """**Protocol:** an Ed25519 key that signs checkpoints. Only `identity` implements it over a private key."""

    @property
    def did(self) -> str:
        """The key's ``did:key``."""

    @property
    def public_bytes(self) -> bytes:
        """The 32 public bytes."""

    def sign_bytes(self, data: bytes) -> bytes:
        """Return the 64 bytes of a signature over the data."""


class NoteVerifier(Protocol):
    """**Protocol:** checks signatures by Ed25519 keys that are named by their ``did:key``."""

    def public_bytes(self, did: str) -> bytes:
        """Return the 32 public bytes.

        Raises:
            IdentityError: not the DID of an Ed25519 key.
        """

    def check(self, did: str, signature: bytes, data: bytes) -> bool:
        """Tell whether a signature is this key's over the data."""


class BlobStore(Protocol):
    """**Protocol:** bytes by their hash."""

    def put(self, data: bytes) -> str:
        """Keep the bytes and return their SHA-256 in hex."""

    def put_erasable(self, data: bytes) -> str:
        """Keep a text that may have to be erased and return its salted name, from which nobody can guess it.

        Secrets in it are redacted first. The same text twice has two names.
        """

    def get(self, name: str) -> bytes:
        """Return the bytes, checked against their name.

        Raises:
            JournalError: absent, or the bytes no longer match.
        """


class Redactor(Protocol):
    """**Protocol:** takes secrets out of texts before they are stored (`core.redaction`)."""

    def value(self, value: Any) -> Any:
        """Redact every text in a JSON-like value."""

    def data(self, data: bytes) -> bytes:
        """Redact bytes that are mostly text."""


class Grants(Struct, frozen=True, kw_only=True):
    """What a problem opens of this machine to its candidates, beyond the closed defaults. Not in the problem's id.

    Attributes:
        readable: absolute paths that may be read, such as a model cache.
        scratch: absolute paths of folders that may be written; what is written there is thrown away.
        scratch_mb: size of each writable place; None leaves the default.
        gpus: devices that a trial needs.
        gpu_memory_mb: most memory of each device that a trial may use; None is all of it.
    """

    readable: tuple[str, ...] = ()
    scratch: tuple[str, ...] = ()
    scratch_mb: int | None = None
    gpus: int = 0
    gpu_memory_mb: int | None = None


class LoadedProblem(Struct, frozen=True, kw_only=True):
    """A problem with all that a machine needs to run it.

    Attributes:
        problem: the frozen description.
        root: the folder that it was read from; data files are read from here.
        baseline: the artifact as given.
        study: budget, seeds and policy as the problem states them, before settings are laid over.
        support: bytes of the evaluator and of every other fixed file, by path; trials use these bytes,
            so editing a file during a run changes nothing.
        interpreter: the Python that runs candidates and evaluators; "" is the one that runs us.
        holdout: bytes of the files that only a holdout trial's evaluator gets, by path; not in `support`.
        grants: what candidates may use of this machine.
        stated: names of the settings (`node.settings`) that the problem's files state themselves.
        warnings: one line for each thing that was ignored or assumed.
    """

    problem: Problem
    root: Path
    baseline: Artifact
    study: StudySettings
    support: dict[str, bytes]
    interpreter: str = ""
    holdout: dict[str, bytes] = {}
    grants: Grants = Grants()
    stated: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class TrialRequest(Struct, frozen=True, kw_only=True):
    """One candidate, one seed, and the limits that still fit the budget.

    `fresh` demands a process of its own, whatever the executor would choose; `holdout` asks the evaluator for
    the score on the holdout.
    """

    artifact: Artifact
    seed: int
    limits: Limits
    fresh: bool = False
    holdout: bool = False


@runtime_checkable
class Executor(Protocol):
    """**Protocol:** turns a candidate into an outcome for one problem.

    Called once for each trial, from one thread. Must kill the whole process tree when a limit is reached.
    Must not raise for what the candidate or evaluator does. Errors: EnvironmentLacksError when the
    machine itself stopped working.
    """

    @property
    def isolation(self) -> Isolation:
        """How candidates are held; the level was probed, not assumed."""

    def run(self, request: TrialRequest) -> Outcome:
        """Run one trial to its outcome."""

    def close(self) -> None:
        """End every process that this executor started."""


class Scored(Struct, frozen=True, kw_only=True):
    """A candidate with its mean score so far."""

    candidate: str
    artifact: Artifact
    score: float


class Tried(Struct, frozen=True, kw_only=True):
    """One earlier proposal of the same operator. `score` is None where it failed or broke a constraint."""

    space: str
    coordinates: tuple[float, ...]
    score: float | None


class ProposalView(Struct, frozen=True, kw_only=True):
    """What a proposer may see.

    Attributes:
        problem: what is being improved.
        parent: the candidate to build on (in exploitation the incumbent).
        incumbent: the best that has been promoted.
        origin: where coordinates are counted from: the incumbent, or the candidate around which the space was
            opened that the incumbent came out of.
        pool: other good candidates, best first, for recombination.
        tried: this operator's earlier proposals with their results, in order of proposal.
        phase: explore or exploit.
        seed: the study's seed, for internal state that must be rebuilt exactly on resume.
    """

    problem: Problem
    parent: Scored
    incumbent: Scored
    origin: Scored
    pool: Sequence[Scored]
    tried: Sequence[Tried]
    phase: Phase
    seed: int


@runtime_checkable
class Proposer(Protocol):
    """**Protocol:** makes hypotheses.

    Called once for each new candidate that this operator is chosen for. Must be a pure function of the
    view and the stream: internal state may only cache what follows from them. Must not keep or change
    what it is given.
    """

    @property
    def operator(self) -> str:
        """The operator's name: stable, lower-case, with dashes."""

    def applies(self, view: ProposalView) -> bool:
        """Tell, cheaply, whether the operator has anything to change in this problem and parent."""

    def propose(self, view: ProposalView, stream: random.Random) -> Proposal | None:
        """Offer one candidate, or None when nothing could be changed this time."""
