"""Split trials: the evaluator and the candidate in processes of their own, the recorder between them.

Rules:
    1. Three domains: candidate (sandboxed), evaluator (trusted, warm), recorder (this process: pipes, clock, CPU).
    2. A candidate that was killed, timed out, ran out of memory or broke the lock-step decides the outcome,
       whatever the evaluator would make of it; an exception in it reaches the evaluator as CandidateError.
    3. At the deadline the one that holds the turn is to blame.
    4. A holdout trial has an evaluator process of its own, started for it and ended with it.
    5. A reference, which the evaluator may time the candidate against, is the evaluator's own code (`bench`).

Data flow: TrialRequest -> evaluator request -> calls relayed -> metrics or Failure -> Outcome.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import msgspec

from consilience.core.outcome import Execution, Failure, FailureReason, Isolation, Outcome, Resources
from consilience.core.ports import LoadedProblem, TrialRequest
from consilience.core.problem import Objective
from consilience.core.study import ExecutionPolicy
from consilience.trials.executors import folders
from consilience.trials.executors.bench import Alone, Bench
from consilience.trials.executors.callee import Callee
from consilience.trials.executors.candidate_process import CandidateProcess, answer_message, as_failure
from consilience.trials.executors.candidate_start import ForkStarter, FreshStarter
from consilience.trials.executors.classify import capped
from consilience.trials.executors.evaluator_process import EvaluatorProcess, Report, call_message, own_error
from consilience.trials.executors.interpreters import executable_of, inspect_interpreter
from consilience.trials.executors.logs import joined_log
from consilience.trials.executors.pipes import Pump
from consilience.trials.executors.scrub import Scrubber, python_names
from consilience.trials.executors.seeds import candidate_seed
from consilience.trials.executors.warm import Warm, preloads
from consilience.trials.executors.zygote import Plan, ZygoteBrokenError
from consilience.trials.sandbox.confinement import Sandbox

Result = dict[str, float] | Failure
_UNUSABLE = ("WrongAnswerError", "OutputError")  # what the harness calls answers and files that cannot be scored
_ASKING = ("call", "reference")


class FunctionExecutor:
    """Runs ``evaluate(candidate, seed)`` in a process that the candidate never shares."""

    def __init__(
        self, loaded: LoadedProblem, sandbox: Sandbox, work_dir: Path, execution: ExecutionPolicy = "auto"
    ) -> None:
        """Prepare for one problem.

        Raises:
            EnvironmentLacksError: the interpreter does not run, or forking is demanded and cannot be had.
        """
        self._loaded = loaded
        self._sandbox = sandbox
        self._work_dir = work_dir
        self._pump = Pump()
        self._interpreter = inspect_interpreter(executable_of(loaded.interpreter))
        self._evaluator = EvaluatorProcess(loaded, work_dir, self._pump)
        plan = Plan(
            interpreter=self._interpreter,
            limits=loaded.problem.limits,
            preload=preloads(loaded.baseline),
            grants=loaded.grants,
        )
        self._warm = Warm(sandbox, plan, work_dir, execution)

    @property
    def isolation(self) -> Isolation:
        """How the next candidate will be held."""
        return Isolation(level=self._sandbox.level, domain="split", execution=self._warm.execution)

    def run(self, request: TrialRequest) -> Outcome:
        """Run one trial to its outcome.

        Raises:
            EnvironmentLacksError: the machine could not start a process or write a file.
        """
        evaluator = self._evaluator_for(request)
        try:
            return self._run(request, evaluator)
        finally:
            if request.holdout:
                evaluator.stop()

    def close(self) -> None:
        """End the evaluator and the warm process."""
        self._evaluator.stop()
        self._warm.close()

    def _run(self, request: TrialRequest, evaluator: EvaluatorProcess) -> Outcome:
        theirs = self._theirs(request)
        zygote, lost_ms = None if request.fresh else self._warm.zygote(), 0
        if zygote is not None:
            with suppress(ZygoteBrokenError):
                candidate = CandidateProcess(ForkStarter(zygote, self._interpreter), theirs)
                outcome = self._play(request, evaluator, candidate, zygote.arena, "fork")
                if zygote.served_well():
                    return _charged(outcome, self._warm.served())
                lost_ms = outcome.resources.cpu_ms
        with folders.trial_folder(self._work_dir) as folder:
            candidate = CandidateProcess(FreshStarter(self._sandbox, self._interpreter, folder), theirs)
            outcome = self._play(request, evaluator, candidate, folder, "fresh")
        if zygote is not None and not outcome.ok:
            self._warm.excuse()
        return _charged(outcome, lost_ms)

    def _play(
        self, request: TrialRequest, evaluator: EvaluatorProcess, candidate: Callee, folder: Path, execution: Execution
    ) -> Outcome:
        """Play one trial between evaluator and candidate; nothing of the candidate is left afterwards."""
        bench = Bench(candidate, self._theirs(request), Alone(self._sandbox, self._interpreter, self._work_dir))
        trial = _Trial(self._loaded.problem.objective, evaluator, bench, self._pump)
        isolation = Isolation(level=self._sandbox.level, domain="split", execution=execution)
        try:
            outcome = trial.outcome(request, isolation)
            names = {str(folder): "candidate", **bench.names, str(evaluator.folder): "evaluator"}
            return self._scrubber(names).outcome(outcome)  # made now: the evaluator may have moved
        except ZygoteBrokenError:
            evaluator.stop()  # it waits for an answer that nobody will give
            raise
        finally:
            bench.end(self._pump)

    def _theirs(self, request: TrialRequest) -> TrialRequest:
        """Return the request as the candidate's side gets it: the trial's seed would tell what the evaluator draws."""
        return msgspec.structs.replace(request, seed=candidate_seed(request.seed, self._loaded.support))

    def _evaluator_for(self, request: TrialRequest) -> EvaluatorProcess:
        if not request.holdout:
            return self._evaluator
        return EvaluatorProcess(self._loaded, self._work_dir, self._pump, holdout=True)

    def _scrubber(self, ours: dict[str, str]) -> Scrubber:
        return Scrubber({**python_names(self._interpreter), **ours})


def _charged(outcome: Outcome, cpu_ms: int) -> Outcome:
    """Add CPU time to what a trial used."""
    if not cpu_ms:
        return outcome
    resources = msgspec.structs.replace(outcome.resources, cpu_ms=outcome.resources.cpu_ms + cpu_ms)
    return msgspec.structs.replace(outcome, resources=resources)


class _Trial:
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
