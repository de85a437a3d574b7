"""The runner: carries out the engine's steps, one at a time, and records what came of them.

Rules:
    1. A reservation is durable before its trial starts, an outcome before it is shown.
    2. A request to stop is honoured between trials; an interrupt kills the trial and gives its budget back.
    3. Decisions are the engine's; this module runs, measures and writes.

Data flow: `search.engine.next_step` -> here -> Executor -> events -> SearchState -> next step.
"""

from __future__ import annotations

from collections.abc import Sequence

from consilience.core.bodies import EndReason, RunEnded, RunStarted, TrialCancelled, TrialStarted
from consilience.core.canonical import canonical_bytes
from consilience.core.errors import BaselineError
from consilience.core.events import Event
from consilience.core.outcome import Isolation, Outcome
from consilience.core.ports import Executor, Proposer, TrialRequest
from consilience.core.study import Spend
from consilience.core.version import version
from consilience.node.beliefs import new_belief
from consilience.node.recording import RunContext, record_outcome, run_context
from consilience.node.session import Session
from consilience.search.engine import ProposeBaseline, ProposeNext, Record, RunTrial, Stop, next_step
from consilience.search.proposing import propose_next
from consilience.trials.environment import EnvironmentDescription


class Runner:
    """Runs a session's study on one executor until it stops."""

    def __init__(self, session: Session, proposers: Sequence[Proposer]) -> None:
        self._session = session
        self._proposers = proposers
        self._stopping = False
        self._in_trial = False
        self._accounted_ms = 0
        self._run: Event | None = None
        self._context: RunContext | None = None

    def request_stop(self) -> None:
        """Stop after the trial that is running."""
        self._stopping = True

    def interrupt(self) -> None:
        """Stop now: end the running trial too. Called from a signal handler.

        Raises:
            KeyboardInterrupt: only while a trial runs, never in the middle of writing an event.
        """
        self._stopping = True
        if self._in_trial:
            raise KeyboardInterrupt

    def start(self, environment: EnvironmentDescription, isolation: Isolation) -> None:
        """Record that this process works on the study now."""
        session = self._session
        platform = "told" if isolation.domain == "told" else ""
        self._context = run_context(session.loaded.problem, environment, platform)
        self._run = session.append(
            RunStarted(
                study=session.run_state.study_event,
                comparability_key=self._context.comparability_key,
                environment=self._context.environment,
                environment_blob=session.journal.put(canonical_bytes(environment)),
                isolation=isolation,
                workers=1,
                software=version(),
            )
        )
        session.commit()
        self._accounted_ms = session.clock.elapsed_ms()

    def run(self, executor: Executor) -> Stop:
        """Work until the budget is spent, the space is exhausted, or a stop is asked for.

        Raises:
            BaselineError: the artifact as given has no score.
        """
        try:
            stop = self._work(executor)
        except KeyboardInterrupt:
            stop = Stop(reason="drained", message="interrupted; the same command resumes")
        finally:
            executor.close()
        self.end(stop.reason, stop.message)
        if stop.reason == "failed":
            raise BaselineError(stop.message, hint=stop.hint)
        return stop

    def end(self, reason: EndReason, message: str) -> None:
        """Record what was learnt and that the process stopped in good order, and close the epoch."""
        if self._run is not None:
            self._draw_beliefs()
            self._session.append(RunEnded(run=self._run.id, reason=reason, message=message))
            self._session.close_epoch()
            self._session.commit()

    def advance(self) -> RunTrial | Stop:
        """Carry out every step that needs no trial, and return the one that does, or the end."""
        while True:
            if self._stopping:
                return Stop(reason="drained", message="stopped as asked; the same command resumes")
            step = next_step(self._session.state)
            if isinstance(step, RunTrial | Stop):
                return step
            if isinstance(step, Record):
                self._session.append(step.body)
            elif isinstance(step, ProposeBaseline):
                self._session.offer_baseline()
            elif not self._propose(step):
                return Stop(reason="exhausted", message="no new candidate was found: the space is used up")

    def begin(self, step: RunTrial) -> Event:
        """Reserve a trial's budget, durably."""
        started = self._session.append(
            TrialStarted(
                number=step.number,
                proposed=step.proposed,
                seed=step.seed,
                purpose=step.purpose,
                reserved=step.reservation.spend,
            )
        )
        self._session.commit()
        return started

    def _work(self, executor: Executor) -> Stop:
        while True:
            step = self.advance()
            if isinstance(step, Stop):
                return step
            started = self.begin(step)
            try:
                self._run_trial(executor, step, started)
            except BaseException:
                self._session.append(TrialCancelled(started=started.id, reason="interrupted", spent=self._time()))
                raise

    def _run_trial(self, executor: Executor, step: RunTrial, started: Event) -> None:
        session = self._session
        candidate = session.state.members[step.proposed].body.candidate
        request = TrialRequest(
            artifact=session.read_artifact(candidate),
            seed=step.seed,
            limits=step.reservation.limits,
            fresh=step.purpose == "recheck",
        )
        self._in_trial = True
        try:
            outcome = executor.run(request)
        finally:
            self._in_trial = False
        self.finish(step, started, outcome)

    def finish(self, step: RunTrial, started: Event, outcome: Outcome) -> None:
        """Record a trial's outcome; it is durable with the next commit."""
        if self._context is None:
            raise LookupError("the run has not been started")
        wall_ms = self._time().wall_ms
        body = record_outcome(self._context, started.id, step.reservation, outcome, self._session.journal, wall_ms)
        self._session.append(body)

    def _draw_beliefs(self) -> None:
        session = self._session
        drawn = new_belief(session.loaded.problem, session.beliefs, session.author)
        if drawn is not None:
            session.append(drawn)

    def _propose(self, _step: ProposeNext) -> bool:
        offer = propose_next(self._session.state, self._proposers, self._session.read_artifact)
        if offer is not None:
            self._session.offer(offer)
        return offer is not None

    def _time(self) -> Spend:
        """Return the time since the last trial was accounted for, and account for it."""
        now = self._session.clock.elapsed_ms()
        passed, self._accounted_ms = now - self._accounted_ms, now
        return Spend(wall_ms=passed)
