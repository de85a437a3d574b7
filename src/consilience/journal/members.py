"""Membership: whose events steer the study of a hive, and whose are kept there without an effect.

Rules:
    1. Members are those whom the hive's genesis names (roles but observers, witnesses, auditors), its author, and
       whatever devices and agents these certified. Where two geneses contradict each other, only whom both name.
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
from consilience.journal.operators import OperatorOf, operators

OBSERVER = "observer"
"""The role whose members only look on."""

_STEERS = (
    *(bodies.StudyConfigured, bodies.RunStarted, bodies.RunEnded, bodies.CandidateProposed),
    *(bodies.TrialStarted, bodies.TrialFinished, bodies.TrialCancelled, bodies.NoiseMeasured),
    *(bodies.VerdictReached, bodies.PhaseSwitched, bodies.EpochClosed, bodies.ArtifactApplied),
    BeliefHeld,
)


class Members(Struct, frozen=True, kw_only=True, eq=False):
    """Who may steer a hive's study; `named` is None where no genesis says so."""

    named: frozenset[str] | None
    operator_of: OperatorOf

    def holds(self, did: str) -> bool:
        """Tell whether an identity, or whoever operates it, is a member."""
        return self.named is None or did in self.named or self.operator_of(did) in self.named

    def counts(self, event: Event) -> bool:
        """Tell whether an event of the hive may have an effect, as far as membership goes."""
        return not steers(event.body) or self.holds(event.fields.author)


def steers(body: object) -> bool:
    """Tell whether bodies of this type decide something about a study, so that only members' count."""
    return isinstance(body, _STEERS)


def members_of(geneses: Iterable[Event], operator_of: OperatorOf) -> Members:
    """Return the members of a hive with these `hive.founded` events; others among them are passed over."""
    named: frozenset[str] | None = None
    for event in geneses:
        if isinstance(event.body, bodies.HiveFounded):
            each = _named(event.fields.author, event.body)
            named = each if named is None else named & each
    return Members(named=named, operator_of=operator_of)


def _named(author: str, body: bodies.HiveFounded) -> frozenset[str]:
    roles = (member for role, members in body.roles.items() if role != OBSERVER for member in members)
    return frozenset({author, *roles, *body.witnesses, *body.auditors})


EVERYBODY = members_of((), operators(None))
"""The members of a hive whose genesis is not here."""
