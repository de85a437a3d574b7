"""Bodies of events: what happened, one frozen struct for each kind. These shapes are for ever.

Rules:
    1. A body is a fact in the past tense; it holds figures, never conclusions that a fold can draw.
    2. References to other events are their ids (hex SHA-256); `journal.kinds` says which of them the
       event rests on and which it only mentions.
    3. A released field keeps its name and meaning; a change is a new version with an upcaster.

Data flow: `search` and `node` decide -> body -> `journal` signs and stores -> views fold.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from consilience.core.bodies_identity import (
    BeliefHeld,
    ControllerNamed,
    IdentityCreated,
    KeyCertified,
    KeyRevoked,
    KeyRotated,
)
from consilience.core.bodies_journal import (
    BlobsErased,
    CheckpointSigned,
    ExcisionWithdrawn,
    FeedOpened,
    ResultExcised,
)
from consilience.core.hypothesis import Hypothesis
from consilience.core.outcome import Failure, Isolation, Resources
from consilience.core.ports import Phase
from consilience.core.study import Policy, Spend, StudySettings

TrialPurpose = Literal["baseline", "screen", "confirm", "recheck", "rerun", "holdout", "told"]
ASIDE: frozenset[TrialPurpose] = frozenset({"recheck", "rerun", "holdout"})
"""Trials that look again at what was scored: their outcomes never stand for a candidate's score, rank or credit."""

VerdictName = Literal["promoted", "discarded", "branched", "escalated", "implausible"]
EndReason = Literal["budget", "drained", "failed", "exhausted"]
CancelReason = Literal["interrupted", "cancelled"]
RecordStatus = Literal["keep", "discard", "crash"]


class HiveFounded(Struct, frozen=True, kw_only=True):
    """Genesis of a hive: one problem, its policy, roles, supply of credits, witnesses and founding auditors.

    `problem` is the problem's id, `specification` the blob that describes it. `policy` is the one that the
    hive was founded under; a study may state a later version.
    """

    problem: str
    specification: str
    policy: Policy
    roles: dict[str, tuple[str, ...]]
    supply: str
    witnesses: tuple[str, ...]
    auditors: tuple[str, ...]


class StudyConfigured(Struct, frozen=True, kw_only=True):
    """A version of budget, seeds, autonomy and policy took effect."""

    version: int
    settings: StudySettings


class RunStarted(Struct, frozen=True, kw_only=True):
    """A process began to work on the study, on this machine.

    `comparability_key` is that of the run's outcomes: only scores under the same key are compared.
    `environment` is the digest, `environment_blob` its description, `software` our version.
    """

    study: str
    comparability_key: str
    environment: str
    environment_blob: str
    isolation: Isolation
    workers: int
    software: str


class RunEnded(Struct, frozen=True, kw_only=True):
    """The process stopped in good order."""

    run: str
    reason: EndReason
    message: str


class CandidateProposed(Struct, frozen=True, kw_only=True):
    """A candidate entered the study.

    Attributes:
        candidate: the artifact's id, which is also the name of its blob.
        parents: `candidate.proposed` events that it was made from.
        normal_form: what the novelty gate compares.
        novelty: distance to the nearest candidate looked at, 0 to 1; None for the baseline.
        repeats: equal proposals that the gate refused before this one.
    """

    candidate: str
    parents: tuple[str, ...]
    hypothesis: Hypothesis
    phase: Phase
    normal_form: str
    novelty: float | None
    repeats: int
    space: str
    coordinates: tuple[float, ...]


class TrialStarted(Struct, frozen=True, kw_only=True):
    """A trial's budget was reserved, before anything was spent."""

    number: int
    proposed: str
    seed: int
    purpose: TrialPurpose
    reserved: Spend


class TrialFinished(Struct, frozen=True, kw_only=True):
    """A trial came to an outcome. Its reservation is replaced by what was spent.

    `log` and `feedback` are blobs ("" when there was nothing), and so is the environment's description, which its
    digest names.
    """

    started: str
    metrics: dict[str, float]
    failure: Failure | None
    resources: Resources
    spent: Spend
    isolation: Isolation
    comparability_key: str
    environment: str
    log: str
    feedback: str


class TrialCancelled(Struct, frozen=True, kw_only=True):
    """A trial that never came to an outcome gave its reservation back, but for what was surely spent."""

    started: str
    reason: CancelReason
    spent: Spend


class NoiseMeasured(Struct, frozen=True, kw_only=True):
    """The baseline over its seeds gave the noise floor: the spread of one run, in the metric's unit."""

    trials: tuple[str, ...]
    mean: float
    deviation: float
    degrees: int
    deterministic: bool


class VerdictReached(Struct, frozen=True, kw_only=True):
    """A candidate was judged against the incumbent.

    `trials` are the `trial.finished` events that the verdict rests on; `figures` name what was computed.
    """

    candidate: str
    incumbent: str
    verdict: VerdictName
    reasons: tuple[str, ...]
    figures: dict[str, float]
    trials: tuple[str, ...]


class PhaseSwitched(Struct, frozen=True, kw_only=True):
    """The governor switched between exploring and exploiting, because of these figures."""

    phase: Phase
    figures: dict[str, float]
    reason: str


class EpochClosed(Struct, frozen=True, kw_only=True):
    """A witness covered everything up to these events; order and deadlines count epochs."""

    epoch: int
    heads: tuple[str, ...]


class RecordImported(Struct, frozen=True, kw_only=True):
    """A row of somebody else's log was taken in. Foreign: it never moves the incumbent or any credit."""

    source: str
    row: int
    label: str
    metric: str
    value: float | None
    memory_gb: float | None
    status: RecordStatus
    description: str


class ArtifactApplied(Struct, frozen=True, kw_only=True):
    """A candidate was written to the working tree or committed to a branch."""

    proposed: str
    target: str
    commit: str


Body = (
    HiveFounded
    | StudyConfigured
    | RunStarted
    | RunEnded
    | CandidateProposed
    | TrialStarted
    | TrialFinished
    | TrialCancelled
    | NoiseMeasured
    | VerdictReached
    | PhaseSwitched
    | EpochClosed
    | RecordImported
    | ArtifactApplied
    | IdentityCreated
    | KeyRotated
    | KeyCertified
    | KeyRevoked
    | ControllerNamed
    | BeliefHeld
    | ResultExcised
    | ExcisionWithdrawn
    | BlobsErased
    | CheckpointSigned
    | FeedOpened
)
