"""The registry of event kinds: schema, version, upcasters, and what each event rests on or mentions.

Rules:
    1. Each kind is registered once. *Rests on*: if that event is withdrawn, so is this one. *Mentions*:
       shown beside it, no more. Excision, `why`, sync and erasure all read this table.
    2. Unknown kinds and newer body versions are kept, verified, and folded by no view.
    3. An upcaster turns a body of version n into n + 1; old bytes are never rewritten.

Data flow: payload body -> upcast -> typed body -> views; typed body -> payload body -> feed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from consilience.core import bodies
from consilience.core import bodies_identity as identity
from consilience.core import bodies_journal as records
from consilience.core.errors import JournalError
from consilience.core.events import Event
from consilience.core.problem import Problem

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
VERSION_FIELD = "version_of_body"


class Kind(Struct, frozen=True, kw_only=True):
    """One kind of event. Field names point into the body; a field holds one event id or a list of them.

    `result` tells that events of this kind are results, which alone can be excised: whatever is not marked so, also
    a kind of a later version, never is. `account_of` names the field that holds what an event is a report about: a
    trial's outcome about its start, a verdict about its candidate.

    `blobs` names the fields that hold names of blobs; those of `erasable`, a part of them, are salted and may be
    erased by `consilience retain`. `texts` are the paths of free text, which is redacted before it is signed; what
    a proof inside the body covers cannot be among them.
    """

    name: str
    body: type[Any]
    version: int = 1
    upcasters: Mapping[int, Upcaster] = {}
    rests_on: tuple[str, ...] = ()
    mentions: tuple[str, ...] = ()
    result: bool = False
    account_of: str = ""
    blobs: tuple[str, ...] = ()
    erasable: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()


KINDS: tuple[Kind, ...] = (
    Kind(name="hive.founded", body=bodies.HiveFounded, blobs=("specification",)),
    Kind(name="study.configured", body=bodies.StudyConfigured),
    Kind(name="run.started", body=bodies.RunStarted, mentions=("study",), blobs=("environment_blob",)),
    Kind(name="run.ended", body=bodies.RunEnded, mentions=("run",), texts=("message",)),
    Kind(
        name="candidate.proposed",
        body=bodies.CandidateProposed,
        rests_on=("parents",),
        result=True,
        blobs=("candidate",),
        texts=("hypothesis.change", "hypothesis.reason"),
    ),
    Kind(name="trial.started", body=bodies.TrialStarted, rests_on=("proposed",), result=True, account_of="proposed"),
    Kind(
        name="trial.finished",
        body=bodies.TrialFinished,
        rests_on=("started",),
        result=True,
        account_of="started",
        blobs=("log", "feedback", "environment"),
        erasable=("log", "feedback"),
        texts=("failure.message",),
    ),
    Kind(name="trial.cancelled", body=bodies.TrialCancelled, rests_on=("started",), account_of="started"),
    Kind(name="noise.measured", body=bodies.NoiseMeasured, rests_on=("trials",), result=True),
    Kind(
        name="verdict.reached",
        body=bodies.VerdictReached,
        rests_on=("candidate", "trials"),
        mentions=("incumbent",),
        result=True,
        account_of="candidate",
    ),
    Kind(name="phase.switched", body=bodies.PhaseSwitched),
    Kind(name="epoch.closed", body=bodies.EpochClosed, mentions=("heads",)),
    Kind(
        name="record.imported",
        body=bodies.RecordImported,
        result=True,
        blobs=("source",),
        erasable=("source",),
        texts=("label", "metric", "description"),
    ),
    Kind(
        name="artifact.applied",
        body=bodies.ArtifactApplied,
        mentions=("proposed",),
        account_of="proposed",
        texts=("target",),
    ),
    Kind(name="identity.created", body=identity.IdentityCreated),
    Kind(name="key.rotated", body=identity.KeyRotated, mentions=("previous",)),
    Kind(name="key.certified", body=identity.KeyCertified),
    Kind(name="key.revoked", body=identity.KeyRevoked, texts=("reason",)),
    Kind(name="controller.named", body=identity.ControllerNamed),
    Kind(name="belief.held", body=identity.BeliefHeld, rests_on=("supports", "contradicts"), result=True),
    Kind(
        name="result.excised",
        body=records.ResultExcised,
        mentions=("target",),
        account_of="target",
        texts=("reason",),
    ),
    Kind(
        name="excision.withdrawn",
        body=records.ExcisionWithdrawn,
        mentions=("excision",),
        account_of="excision",
        texts=("reason",),
    ),
    Kind(name="blobs.erased", body=records.BlobsErased, texts=("rule",)),
    Kind(name="checkpoint.signed", body=records.CheckpointSigned, blobs=("timestamps",)),
    Kind(name="feed.opened", body=records.FeedOpened),
)

BY_NAME: Mapping[str, Kind] = {kind.name: kind for kind in KINDS}
_BY_BODY: Mapping[type[Any], Kind] = {kind.body: kind for kind in KINDS}


def kind_of(body: Any) -> Kind:
    """Return the kind that a typed body belongs to.

    Raises:
        JournalError: no kind is registered for the body's type.
    """
    try:
        return _BY_BODY[type(body)]
    except KeyError:
        raise JournalError(f"no event kind is registered for {type(body).__name__}") from None


def kind_named(body: type[Any]) -> str:
    """Return the name of the kind whose bodies have this type."""
    return _BY_BODY[body].name


def write_body(body: Any) -> dict[str, Any]:
    """Return the JSON form of a typed body; versions above 1 carry their number."""
    fields: dict[str, Any] = msgspec.to_builtins(body)
    version = kind_of(body).version
    return fields if version == 1 else {VERSION_FIELD: version, **fields}


def read_body(name: str, fields: Mapping[str, Any]) -> Any:
    """Return the typed body, upcast to the current version; None for an unknown kind or newer version.

    Raises:
        JournalError: the fields do not fit the kind, or name no version.
    """
    kind = BY_NAME.get(name)
    if kind is None:
        return None
    return read_versioned(kind, dict(fields))


def read_versioned(kind: Kind, fields: dict[str, Any]) -> Any:
    """Upcast the fields to the kind's version and type them; None when they are newer than the kind."""
    version = fields.pop(VERSION_FIELD, 1)
    if not isinstance(version, int) or version < 1:
        raise JournalError(f"{kind.name}: version {version!r} of its body is none")
    if version > kind.version:
        return None
    for step in range(version, kind.version):
        fields = kind.upcasters[step](fields)
    try:
        return msgspec.convert(fields, kind.body)
    except msgspec.ValidationError as error:
        raise JournalError(f"{kind.name}: {error}") from error


def references(body: Any, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the ids in the named fields of a body, empty ones left out."""
    if not names:
        return ()
    found: list[str] = []
    for name in names:
        value = getattr(body, name)
        found.extend([value] if isinstance(value, str) else value)
    return tuple(filter(None, found))


def specification_blobs(specification: bytes) -> tuple[str, ...]:
    """Return the blobs that a hive's specification names: the evaluator's files by their hashes.

    Raises:
        JournalError: not a specification.
    """
    try:
        problem = msgspec.json.decode(specification, type=Problem)
    except msgspec.DecodeError as error:
        raise JournalError(f"a specification cannot be read: {error}") from error
    return tuple(file.sha256 for file in problem.evaluator.files)


def named_blobs(event: Event, read: Callable[[str], bytes]) -> Iterator[str]:
    """Yield the names of the blobs that belong to an event, those that a specification names included.

    `read` returns a specification; it is asked after its name was yielded.

    Raises:
        JournalError: the specification cannot be read.
    """
    kind = BY_NAME.get(event.fields.kind)
    if kind is None or event.body is None:
        return
    yield from references(event.body, kind.blobs)
    if isinstance(event.body, bodies.HiveFounded) and event.body.specification:
        yield from specification_blobs(read(event.body.specification))
