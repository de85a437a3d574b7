"""Membership: whose events steer the study of a hive, and whose are kept there without an effect.

Rules:
    1. Members are those whom the hive's genesis names (roles but observers, witnesses, auditors), its author, and
       whatever devices and agents these certified for that (`run`; `witness` for epochs). Where two geneses contradict
       each other, only whom both name.
    2. Settings, runs, candidates, outcomes, verdicts, phases, epochs and beliefs of anybody else are kept, and count
       for nothing: whose journal is taken in decides nothing here.
    3. What has rules of its own does not hang on membership: geneses, excisions, tombstones, checkpoints, foreign
       records, and which feed may spend.
    4. Pure: a function of the events and of who operates whom. A hive whose genesis is not here has no strangers.

Data flow: hive.founded events -> Members -> `journal.order`, `journal.beside`, `node.session`.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from consilience.core import bodies
from consilience.core.bodies_identity import BeliefHeld
from consilience.core.events import Event
from consilience.journal.operators import KeyFold, OperatorOf, operators

OBSERVER = "observer"
"""The role whose members only look on."""

_STEERS = (
    *(bodies.StudyConfigured, bodies.RunStarted, bodies.RunEnded, bodies.CandidateProposed),
    *(bodies.TrialStarted, bodies.TrialFinished, bodies.TrialCancelled, bodies.NoiseMeasured),
    *(bodies.VerdictReached, bodies.PhaseSwitched, bodies.EpochClosed, bodies.ArtifactApplied),
    BeliefHeld,
)


class Members(Struct, frozen=True, kw_only=True, eq=False):
    """Who may steer a hive's study.

    Attributes:
        named: by its genesis; None where that is not here.
        runs_for, closes_for: name the identity on whose behalf a DID may run, and may close epochs.
    """

    named: frozenset[str] | None
    runs_for: OperatorOf
    closes_for: OperatorOf

    def holds(self, did: str) -> bool:
        """Tell whether an identity, or whoever operates it, is a member."""
        return self.named is None or did in self.named or self.runs_for(did) in self.named

    def counts(self, event: Event) -> bool:
        """Tell whether an event of the hive may have an effect, as far as membership goes."""
        if not steers(event.body) or self.holds(event.fields.author):
            return True
        return isinstance(event.body, bodies.EpochClosed) and self.closes_for(event.fields.author) in (self.named or ())


def steers(body: object) -> bool:
    """Tell whether bodies of this type decide something about a study, so that only members' count."""
    return isinstance(body, _STEERS)


def members_of(geneses: Iterable[Event], keys: KeyFold | None) -> Members:
    """Return the members of a hive with these `hive.founded` events; others among them are passed over."""
    named: frozenset[str] | None = None
    for event in geneses:
        if isinstance(event.body, bodies.HiveFounded):
            each = _named(event.fields.author, event.body)
            named = each if named is None else named & each
    return Members(named=named, runs_for=operators(keys, "run"), closes_for=operators(keys, "witness"))


def _named(author: str, body: bodies.HiveFounded) -> frozenset[str]:
    roles = (member for role, members in body.roles.items() if role != OBSERVER for member in members)
    return frozenset({author, *roles, *body.witnesses, *body.auditors})


EVERYBODY = members_of((), None)
"""The members of a hive whose genesis is not here."""
