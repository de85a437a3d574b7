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
from collections import defaultdict

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


class _Standing:
    """What one candidate has gathered under one key."""

    def __init__(self, candidate: CandidateProposed, proposed: str) -> None:
        self.candidate = candidate
        self.trial = -1
        self.scores: list[float] = []
        self.failures = 0
        self.violates = False
        self.verdict = ""
        self.events = [proposed]
        self.isolation: Isolation | None = None


class LeaderboardView:
    """Fold of scores by comparability key and candidate. What was excised it never sees."""

    folds = (StudyConfigured, CandidateProposed, TrialStarted, TrialFinished, NoiseMeasured, VerdictReached)

    def __init__(self, objective: Objective, constraints: tuple[Constraint, ...] = ()) -> None:
        self._objective = objective
        self._constraints = constraints
        self._candidates: dict[str, CandidateProposed] = {}
        self._started: dict[str, TrialStarted] = {}
        self._keys: dict[str, dict[str, _Standing]] = defaultdict(dict)
        self._spread = 0.0
        self._best_true: float | None = None

    def apply(self, event: Event) -> None:
        """Take one more event."""
        body = event.body
        if isinstance(body, CandidateProposed):
            self._candidates[event.id] = body
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
        plausible = (standing for standing in self._keys.get(key, {}).values() if not self._implausible(standing))
        return [self._row(place, standing) for place, standing in enumerate(sorted(plausible, key=self._rank), start=1)]

    def quarantined(self, key: str) -> list[BoardRow]:
        """Return the candidates with a score beyond the bound, in order of their first trial."""
        caught = [standing for standing in self._keys.get(key, {}).values() if self._implausible(standing)]
        return [self._row(0, standing) for standing in sorted(caught, key=lambda standing: standing.trial)]

    def _implausible(self, standing: _Standing) -> str:
        if self._best_true is None or standing.violates:
            return ""
        reasons = (beyond_bound(self._objective, score, self._best_true) for score in standing.scores)
        return next(filter(None, reasons), "")

    def _finish(self, event: Event, body: TrialFinished) -> None:
        started = self._started.get(body.started)
        candidate = self._candidates.get(started.proposed) if started else None
        if started is None or candidate is None or started.purpose in ASIDE:
            return
        standings = self._keys[body.comparability_key]
        standing = standings.setdefault(started.proposed, _Standing(candidate, started.proposed))
        standing.trial = started.number if standing.trial < 0 else standing.trial
        standing.events.append(event.id)
        standing.isolation = weaker(standing.isolation, body.isolation) if standing.isolation else body.isolation
        if body.failure is None:
            standing.scores.append(body.metrics[self._objective.metric])
            standing.violates |= not all(constraint.holds(body.metrics) for constraint in self._constraints)
        else:
            standing.failures += 1

    def _judge(self, event: Event, body: VerdictReached) -> None:
        for standings in self._keys.values():
            if body.candidate in standings:
                standings[body.candidate].verdict = body.verdict
                standings[body.candidate].events.append(event.id)

    def _mean(self, standing: _Standing) -> float:
        return math.fsum(standing.scores) / len(standing.scores)

    def _bound(self, standing: _Standing) -> float:
        half_width = _ONE_SIDED_95 * self._spread / math.sqrt(len(standing.scores))
        return self._mean(standing) - half_width * (1 if self._objective.direction == "maximize" else -1)

    def _rank(self, standing: _Standing) -> tuple[int, float, int, int]:
        if not standing.scores:
            return (2, 0.0, 0, standing.trial)
        return (
            int(standing.violates),
            -self._objective.gain(self._bound(standing), 0.0),
            -len(standing.scores),
            standing.trial,
        )

    def _row(self, place: int, standing: _Standing) -> BoardRow:
        scored = bool(standing.scores)
        return BoardRow(
            place=place,
            trial=standing.trial,
            candidate=standing.candidate.candidate,
            mean=self._mean(standing) if scored else math.nan,
            bound=self._bound(standing) if scored else math.nan,
            runs=len(standing.scores),
            failures=standing.failures,
            violates=standing.violates,
            verdict=standing.verdict or ("baseline" if not standing.candidate.parents else "open"),
            operator=standing.candidate.hypothesis.operator,
            events=tuple(standing.events),
            isolation=standing.isolation,
            implausible=self._implausible(standing),
        )
