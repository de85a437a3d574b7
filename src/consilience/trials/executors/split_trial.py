"""One split trial as it goes on: the evaluator's calls relayed to the candidate and back, until there is a result.

Rules:
    1. A candidate that was killed, timed out, ran out of memory or broke the lock-step decides the outcome,
       whatever the evaluator would make of it; an exception in it reaches the evaluator as CandidateError.
    2. At the deadline the one that holds the turn is to blame.

Data flow: TrialRequest -> evaluator request -> calls relayed -> metrics or Failure -> Outcome.
"""

from __future__ import annotations

import time

import msgspec

from consilience.core.outcome import Failure, FailureReason, Isolation, Outcome, Resources
from consilience.core.ports import TrialRequest
from consilience.core.problem import Objective
from consilience.trials.executors.bench import Bench
from consilience.trials.executors.candidate_process import answer_message, as_failure
from consilience.trials.executors.classify import capped
from consilience.trials.executors.evaluator_process import EvaluatorProcess, Report, call_message, own_error
from consilience.trials.executors.logs import joined_log
from consilience.trials.executors.pipes import Pump

Result = dict[str, float] | Failure
_UNUSABLE = ("WrongAnswerError", "OutputError")  # what the harness calls answers and files that cannot be scored
_ASKING = ("call", "reference")


class SplitTrial:
    """One trial as it goes on."""

    def __init__(self, objective: Objective, evaluator: EvaluatorProcess, bench: Bench, pump: Pump) -> None:
        self._objective = objective
        self._evaluator = evaluator
        self._bench = bench
        self._pump = pump
        self._deadline = 0.0
        self._seconds = 0.0
        self._raised: Failure | None = None
        self._last = Report(op="ready")

    def outcome(self, request: TrialRequest, isolation: Isolation) -> Outcome:
        """Play it to its end; `isolation` says how the candidate is held."""
        result: Result = self._evaluator.ready() or {}
        started, cpu_before = time.monotonic(), self._evaluator.cpu_ms
        if not isinstance(result, Failure):
            self._seconds = request.limits.wall_seconds
            self._deadline = started + self._seconds
            result = self._play(request)
        exit_ = self._bench.end(self._pump)
        wall_ms = round(1000 * (time.monotonic() - started))
        if not isinstance(result, Failure) and self._bench.spoke_unasked():
            result = Failure(reason="invalid_output", message="the candidate wrote on the channel after its answer")
        log = joined_log({**self._bench.logs(), "evaluator": self._evaluator.log()})
        cpu_ms, peak_kb = self._evaluator_use(cpu_before, failed=isinstance(result, Failure))
        resources = Resources(
            wall_ms=wall_ms,
            cpu_ms=cpu_ms + (exit_.cpu_ms if exit_ else 0),
            memory_kb=max(peak_kb, exit_.memory_kb if exit_ else 0),
        )
        failure = result if isinstance(result, Failure) else None
        metrics = {} if isinstance(result, Failure) else result
        if self._bench.compares:
            isolation = msgspec.structs.replace(isolation, execution="fresh")
        return Outcome(metrics=metrics, failure=failure, resources=resources, isolation=isolation, log=log)

    def _play(self, request: TrialRequest) -> Result:
        self._evaluator.send({"seed": request.seed, "parameters": request.artifact.parameters})
        while True:
            report = self._evaluator_turn()
            if isinstance(report, Failure):
                return report
            if report.op not in _ASKING:
                return self._verdict(report)
            refused = self._candidate_turn(report) if report.op == "call" else self._add_reference(report)
            if refused:
                return refused

    def _evaluator_turn(self) -> Report | Failure:
        evaluator, bench = self._evaluator, self._bench
        in_time = self._pump.run(
            lambda: evaluator.answers.settled or evaluator.ended or bench.disturbed(), self._deadline
        )
        if bench.disturbed():
            return bench.disturbance(self._pump)
        if not in_time:
            message = f"the evaluator held the turn at the trial's limit of {self._seconds:g} s"
            return Failure(reason="evaluator_timeout", message=message)
        report = evaluator.report()
        self._last = report if isinstance(report, Report) else self._last
        return report

    def _candidate_turn(self, report: Report) -> Failure | None:
        """Relay one call; return why the trial is over, or None after the evaluator has its answer."""
        started = time.monotonic()
        process = self._bench.called(report.to)
        if isinstance(process, Failure):
            return process
        if not process.started and (refused := process.start(self._pump)):
            return refused
        reply = process.call(call_message(report), self._pump, self._deadline)
        seconds = time.monotonic() - started
        if isinstance(reply, Failure):
            return reply
        self._raised = as_failure(reply) if report.to == 0 else None
        if self._raised and self._raised.reason == "memory":
            return self._raised
        self._evaluator.send(answer_message(reply, seconds, process.cpu_seconds()))
        return None

    def _add_reference(self, report: Report) -> Failure | None:
        number = self._bench.add_reference(report.source)
        if isinstance(number, Failure):
            return number
        self._evaluator.send({"value": number})
        return None

    def _verdict(self, report: Report) -> Result:
        if report.op == "candidate_error":
            unusable = report.error.get("type") in _UNUSABLE
            reason: FailureReason = "invalid_output" if unusable else "crash"
            return self._raised or Failure(reason=reason, message=capped(str(report.error.get("message"))))
        if report.op == "error":
            return own_error(report)
        if report.op != "metrics":
            return Failure(reason="invalid_output", message=capped(report.message or f"unexpected {report.op}"))
        if report.non_finite:
            return Failure(reason="non_finite", message=capped("; ".join(report.non_finite)))
        return _named(report.metrics, self._objective.metric)

    def _evaluator_use(self, cpu_before: int, *, failed: bool) -> tuple[int, int]:
        """Return what the evaluator used in this trial; after a failed one it is ended, to start afresh."""
        exit_ = self._evaluator.stop() if failed else None
        now = exit_.cpu_ms if exit_ else self._last.cpu_ms
        self._evaluator.cpu_ms = 0 if failed else now
        peak_kb = self._last.memory_kb or (exit_.memory_kb if exit_ else 0)
        return max(0, now - cpu_before), peak_kb


def _named(metrics: dict[str, float], objective: str) -> Result:
    """Give a bare number the objective's name, and see that the objective is there."""
    if set(metrics) == {""}:
        return {objective: metrics[""]}
    if objective not in metrics:
        found = ", ".join(sorted(metrics)) or "nothing"
        message = f"evaluate returned no metric {objective!r}; it returned {found}"
        return Failure(reason="missing_metric", message=capped(message))
    return metrics
