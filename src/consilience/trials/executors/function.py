"""Split trials: the evaluator and the candidate in processes of their own, the recorder between them.

Rules:
    1. Three domains: candidate (sandboxed), evaluator (trusted, warm), recorder (this process: pipes, clock, CPU).
    2. A holdout trial has an evaluator process of its own, started for it and ended with it.
    3. A reference, which the evaluator may time the candidate against, is the evaluator's own code (`bench`).

Data flow: TrialRequest -> how the candidate is started -> `split_trial` -> Outcome.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec

from consilience.core.outcome import Execution, Isolation, Outcome
from consilience.core.ports import LoadedProblem, TrialRequest
from consilience.core.study import ExecutionPolicy
from consilience.trials.executors import folders
from consilience.trials.executors.bench import Alone, Bench
from consilience.trials.executors.callee import Callee
from consilience.trials.executors.candidate_process import CandidateProcess
from consilience.trials.executors.candidate_start import ForkStarter, FreshStarter
from consilience.trials.executors.evaluator_process import EvaluatorProcess
from consilience.trials.executors.interpreters import executable_of, inspect_interpreter
from consilience.trials.executors.pipes import Pump
from consilience.trials.executors.scrub import Scrubber, python_names
from consilience.trials.executors.seeds import candidate_seed
from consilience.trials.executors.split_trial import SplitTrial
from consilience.trials.executors.warm import Warm, preloads
from consilience.trials.executors.zygote import Plan, ZygoteBrokenError
from consilience.trials.sandbox.confinement import Sandbox


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
        has_program = bool(loaded.baseline.files)  # parameters alone start no process of a candidate's
        self._warm = Warm(sandbox, plan, work_dir, execution if has_program else "fresh")

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
        trial = SplitTrial(self._loaded.problem.objective, evaluator, bench, self._pump)
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
