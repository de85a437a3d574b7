"""A whole study in memory: the real engine on a fake executor, without disk, keys or processes.

Rules:
    1. Decisions, events and folds are the product's own; only signing, storing and running are left out.
    2. The events say nothing of who signed them: never for anything but tests and simulations.

Data flow: problem, settings, proposers, score function -> engine steps -> events -> SearchState.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from consilience.core.artifact import Artifact, artifact_id
from consilience.core.bodies import HiveFounded, StudyConfigured, TrialFinished, TrialStarted
from consilience.core.bodies_journal import ExcisionWithdrawn, ResultExcised
from consilience.core.events import Event, payload_bytes
from consilience.core.outcome import Isolation, Resources
from consilience.core.ports import Proposer
from consilience.core.problem import Problem, problem_id
from consilience.core.study import Spend, StudySettings
from consilience.journal.excision import excisions_of
from consilience.journal.feed import FeedHead, advance, next_payload, read_event
from consilience.journal.standing import StandingFold
from consilience.search.engine import ProposeBaseline, Record, RunTrial, Stop, next_step
from consilience.search.proposing import Offer, propose_baseline, propose_next
from consilience.search.state import SearchState

Score = Callable[[Artifact, int], float]
_ISOLATION = Isolation(level="none", domain="told")
_FORKED = Isolation(level="none", domain="told", execution="fork")


class MemoryStudy:
    """Runs one study; `events` and `state` are what a journal would hold.

    `forked_score`, where it is set, is what a candidate scores in a forked process; all trials but rechecks are then
    forked, as an executor with a warm process does.
    """

    forked_score: Score | None = None

    def __init__(
        self, problem: Problem, baseline: Artifact, settings: StudySettings, proposers: Sequence[Proposer], score: Score
    ) -> None:
        self.state = SearchState(problem)
        self._fold = StandingFold((self.state,))
        self.events: list[Event] = []
        self._artifacts: dict[str, Artifact] = {}
        self._baseline = baseline
        self._proposers = proposers
        self._score = score
        self._head = FeedHead(hive="memory", author="nobody", feed="memory")
        policy = settings.policy
        genesis = HiveFounded(
            problem=problem_id(problem),
            specification="",
            policy=policy,
            roles={},
            supply="0",
            witnesses=("nobody",),
            auditors=(),
        )
        self._append(genesis)
        self._append(StudyConfigured(version=1, settings=settings))

    def run(self) -> Stop:
        """Carry out steps until the engine stops."""
        while True:
            step = next_step(self.state)
            if isinstance(step, Stop):
                return step
            if isinstance(step, RunTrial):
                self._run_trial(step)
            elif isinstance(step, Record):
                self._append(step.body)
            else:
                first = isinstance(step, ProposeBaseline)
                offer = propose_baseline(self._baseline) if first else self._propose()
                if offer is None:
                    return Stop(reason="exhausted", message="no new candidate")
                self._artifacts[artifact_id(offer.artifact)] = offer.artifact
                self._append(offer.body)

    def artifact(self, candidate: str) -> Artifact:
        """Return a candidate's artifact."""
        return self._artifacts[candidate]

    def configure(self, settings: StudySettings) -> Event:
        """Let other settings take effect."""
        return self._append(StudyConfigured(version=2, settings=settings))

    def excise(self, target: str, reason: str = "a test") -> Event:
        """Excise a result."""
        return self._append(ResultExcised(target=target, reason=reason))

    def take_back(self, excision: str, reason: str = "a test") -> Event:
        """Take an excision back."""
        return self._append(ExcisionWithdrawn(excision=excision, reason=reason))

    def _propose(self) -> Offer | None:
        return propose_next(self.state, self._proposers, self.artifact)

    def _run_trial(self, step: RunTrial) -> None:
        started = TrialStarted(
            number=step.number,
            proposed=step.proposed,
            seed=step.seed,
            purpose=step.purpose,
            reserved=step.reservation.spend,
        )
        event = self._append(started)
        artifact = self.artifact(self.state.members[step.proposed].body.candidate)
        metric = self.state.problem.objective.metric
        forked = self.forked_score if step.purpose != "recheck" else None
        score = (forked or self._score)(artifact, step.seed)
        self._append(_finished(event.id, {metric: score}, _FORKED if forked else _ISOLATION))

    def _append(self, body: Any) -> Event:
        event = read_event(payload_bytes(next_payload(self._head, body, at=0)), "")
        self._head = advance(self._head, event)
        self.events.append(event)
        self._fold.apply(event)
        if self._fold.stale:
            self._refold()
        return event

    def _refold(self) -> None:
        self.state = SearchState(self.state.problem)
        self._fold.restart((self.state,), self.events, excisions_of(self.events))


def _finished(started: str, metrics: dict[str, float], isolation: Isolation) -> TrialFinished:
    return TrialFinished(
        started=started,
        metrics=metrics,
        failure=None,
        resources=Resources(),
        spent=Spend(trials=1),
        isolation=isolation,
        comparability_key="",
        environment="memory",
        log="",
        feedback="",
    )
