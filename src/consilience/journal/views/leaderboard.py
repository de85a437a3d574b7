"""The leaderboard view: candidates ranked by what their trials support, never across comparability keys.

Rules:
    1. A candidate's place is the lower confidence bound of its mean score, so that one lucky run does
       not lead. Ties go to more runs, then to the earlier candidate.
    2. A candidate that breaks a constraint stands behind all that hold them.
    3. Only results that share a comparability key are ranked together; foreign records never are.
    4. A candidate with a score beyond the bound in force has no place: it is listed apart, in quarantine.
    5. Re-runs and holdout trials are evidence about a score, not scores: they move nothing here.

Source: one-sided 95 % bound of a mean with known spread, mean - 1.645 * s / sqrt(n); s is the noise floor.

Data flow: study.configured, trial.finished, noise.measured, verdict.reached -> here -> `board`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from msgspec import Struct

from consilience.core.bodies import (
    ASIDE,
    CandidateProposed,
    NoiseMeasured,
    StudyConfigured,
    TrialFinished,
    TrialStarted,
    VerdictReached,
)
from consilience.core.events import Event
from consilience.core.outcome import Isolation, weaker
from consilience.core.plausibility import beyond_bound
from consilience.core.problem import Constraint, Objective
from consilience.journal.tables import Table

_ONE_SIDED_95 = 1.645


class BoardRow(Struct, frozen=True, kw_only=True):
    """A candidate's place.

    Attributes:
        place: from 1; 0 in quarantine.
        trial: its first trial.
        bound: the worse end of the interval around `mean`.
        isolation: the weakest that any of its runs had.
        events: the candidate, its outcomes and its verdict. The bound also rests on the noise floor in force.
        implausible: why it is in quarantine; "" where it is not.
    """

    place: int
    trial: int
    candidate: str
    mean: float
    bound: float
    runs: int
    failures: int
    violates: bool
    verdict: str
    operator: str
    events: tuple[str, ...]
    isolation: Isolation | None = None
    implausible: str = ""


class Entrant(Struct, frozen=True, kw_only=True):
    """What the board shows of a candidate's proposal."""

    candidate: str
    operator: str
    first: bool


class Standing(Struct, kw_only=True):
    """What one candidate has gathered under one key."""

    entrant: Entrant
    trial: int = -1
    scores: list[float] = []
    failures: int = 0
    violates: bool = False
    verdict: str = ""
    events: list[str] = []
    isolation: Isolation | None = None


class LeaderboardView:
    """Fold of scores by comparability key and candidate; a standing's name is both, the key first.

    What was excised it never sees.
    """

    folds = (StudyConfigured, CandidateProposed, TrialStarted, TrialFinished, NoiseMeasured, VerdictReached)

    cells: ClassVar[Mapping[str, Any]] = {"_keys": list[str], "_spread": float, "_best_true": float | None}
    tables: ClassVar[Mapping[str, Any]] = {"_entrants": Entrant, "_started": TrialStarted, "_standings": Standing}
    lists: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, objective: Objective, constraints: tuple[Constraint, ...] = ()) -> None:
        self._objective = objective
        self._constraints = constraints
        self._entrants: Table[Entrant] = Table()
        self._started: Table[TrialStarted] = Table()
        self._standings: Table[Standing] = Table()
        self._keys: list[str] = []
        self._spread = 0.0
        self._best_true: float | None = None

    def apply(self, event: Event) -> None:
        """Take one more event."""
        body = event.body
        if isinstance(body, CandidateProposed):
            self._entrants[event.id] = Entrant(
                candidate=body.candidate, operator=body.hypothesis.operator, first=not body.parents
            )
        elif isinstance(body, TrialStarted) and body.purpose not in ASIDE:
            self._started[event.id] = body
        elif isinstance(body, TrialFinished):
            self._finish(event, body)
        elif isinstance(body, NoiseMeasured):
            self._spread = body.deviation
        elif isinstance(body, VerdictReached):
            self._judge(event, body)
        elif isinstance(body, StudyConfigured):
            self._best_true = body.settings.policy.bound

    def keys(self) -> tuple[str, ...]:
        """Return the comparability keys that have results, in order of first result."""
        return tuple(self._keys)

    def rows(self, key: str) -> list[BoardRow]:
        """Return the ranking under one key, best first; candidates without a score come last."""
        plausible = (standing for standing in self._under(key) if not self._implausible(standing))
        return [self._row(place, standing) for place, standing in enumerate(sorted(plausible, key=self._rank), start=1)]

    def quarantined(self, key: str) -> list[BoardRow]:
        """Return the candidates with a score beyond the bound, in order of their first trial."""
        caught = [standing for standing in self._under(key) if self._implausible(standing)]
        return [self._row(0, standing) for standing in sorted(caught, key=lambda standing: standing.trial)]

    def _under(self, key: str) -> Iterator[Standing]:
        return (standing for name, standing in self._standings.items() if name.startswith(f"{key} "))

    def _implausible(self, standing: Standing) -> str:
        if self._best_true is None or standing.violates:
            return ""
        reasons = (beyond_bound(self._objective, score, self._best_true) for score in standing.scores)
        return next(filter(None, reasons), "")

    def _finish(self, event: Event, body: TrialFinished) -> None:
        started = self._started.get(body.started)
        entrant = self._entrants.get(started.proposed) if started else None
        if started is None or entrant is None:
            return
        if body.comparability_key not in self._keys:
            self._keys.append(body.comparability_key)
        name = f"{body.comparability_key} {started.proposed}"
        standing = self._standings.get(name) or Standing(entrant=entrant, events=[started.proposed])
        self._standings[name] = standing
        standing.trial = started.number if standing.trial < 0 else standing.trial
        standing.events.append(event.id)
        standing.isolation = weaker(standing.isolation, body.isolation) if standing.isolation else body.isolation
        if body.failure is None:
            standing.scores.append(body.metrics[self._objective.metric])
            standing.violates |= not all(constraint.holds(body.metrics) for constraint in self._constraints)
        else:
            standing.failures += 1

    def _judge(self, event: Event, body: VerdictReached) -> None:
        for key in self._keys:
            name = f"{key} {body.candidate}"
            standing = self._standings.get(name)
            if standing is not None:
                standing.verdict = body.verdict
                standing.events.append(event.id)
                self._standings[name] = standing

    def _mean(self, standing: Standing) -> float:
        return math.fsum(standing.scores) / len(standing.scores)

    def _bound(self, standing: Standing) -> float:
        half_width = _ONE_SIDED_95 * self._spread / math.sqrt(len(standing.scores))
        return self._mean(standing) - half_width * (1 if self._objective.direction == "maximize" else -1)

    def _rank(self, standing: Standing) -> tuple[int, float, int, int]:
        if not standing.scores:
            return (2, 0.0, 0, standing.trial)
        return (
            int(standing.violates),
            -self._objective.gain(self._bound(standing), 0.0),
            -len(standing.scores),
            standing.trial,
        )

    def _row(self, place: int, standing: Standing) -> BoardRow:
        scored = bool(standing.scores)
        return BoardRow(
            place=place,
            trial=standing.trial,
            candidate=standing.entrant.candidate,
            mean=self._mean(standing) if scored else math.nan,
            bound=self._bound(standing) if scored else math.nan,
            runs=len(standing.scores),
            failures=standing.failures,
            violates=standing.violates,
            verdict=standing.verdict or ("baseline" if standing.entrant.first else "open"),
            operator=standing.entrant.operator,
            events=tuple(standing.events),
            isolation=standing.isolation,
            implausible=self._implausible(standing),
        )
