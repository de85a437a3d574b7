"""Split trials of whole programs: a command in any language hands over files, the evaluator scores them.

Rules:
    1. The program sees the candidate's files, the problem's `visible` files, what the evaluator gives it, and its
       parameters; nothing else of the problem. Each run has a fresh sandbox and folder.
    2. Time, memory, forbidden actions and files that are no plain files decide the outcome, whatever the evaluator
       would make of them. Another exit code than 0 reaches the evaluator as program.Error.
    3. Outputs are taken after the whole tree is dead, and reach the evaluator as files that only it can read.

Data flow: evaluator's call -> folder, Confinement -> `run_program` -> `take_outputs` -> answer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from consilience.core.canonical import canonical_bytes
from consilience.core.outcome import Failure, Outcome
from consilience.core.ports import LoadedProblem, TrialRequest
from consilience.core.problem import PARAMETERS_FILE, Limits
from consilience.trials.executors import folders, interpreters
from consilience.trials.executors.candidate_process import RaisedError, Reply
from consilience.trials.executors.classify import ended_badly
from consilience.trials.executors.command import SCRATCH_MB, SEED_VARIABLE, resolved_command
from consilience.trials.executors.evaluator_process import EvaluatorProcess
from consilience.trials.executors.function import FunctionExecutor
from consilience.trials.executors.logs import LOG_CHARACTERS
from consilience.trials.executors.pipes import Pump
from consilience.trials.executors.program_outputs import take_outputs
from consilience.trials.executors.program_run import Ended, run_program
from consilience.trials.sandbox.confinement import Confinement, Exit, Sandbox

_SCRIPT_MARK = "#!"


class ProgramExecutor(FunctionExecutor):
    """Runs ``evaluate(program, seed)`` apart from the program that it scores."""

    def __init__(self, loaded: LoadedProblem, sandbox: Sandbox, work_dir: Path) -> None:
        """Prepare for one problem.

        Raises:
            EnvironmentLacksError: the interpreter does not run, or the command is not on this machine.
        """
        super().__init__(loaded, sandbox, work_dir, "fresh")
        self._command = resolved_command(loaded, [file.path for file in loaded.problem.evaluator.visible])

    def _run(self, request: TrialRequest, evaluator: EvaluatorProcess) -> Outcome:
        with folders.trial_folder(self._work_dir) as folder:
            place = _Place(loaded=self._loaded, request=self._theirs(request), command=self._command, folder=folder)
            return self._play(request, evaluator, WholeProgram(self._sandbox, place, evaluator), folder, "fresh")


class _Place(msgspec.Struct, frozen=True, kw_only=True):
    """What one trial's runs share."""

    loaded: LoadedProblem
    request: TrialRequest
    command: tuple[str, ...]
    folder: Path


class WholeProgram:
    """The candidate of one trial: nothing runs between two calls."""

    def __init__(self, sandbox: Sandbox, place: _Place, evaluator: EvaluatorProcess) -> None:
        self._sandbox = sandbox
        self._place = place
        self._evaluator = evaluator
        self._used: Exit | None = None
        self._texts: list[str] = []
        self._exchanged: list[Path] = []

    @property
    def started(self) -> bool:
        """There is nothing to start before a run."""
        return True

    def start(self, pump: Pump) -> Failure | None:  # noqa: ARG002 - the protocol's
        """Do nothing: each run starts its own processes."""
        return None

    def call(self, message: Any, pump: Pump, deadline: float) -> Reply | Failure:
        """Run the program once and answer with what came of it."""
        limits = self._limits_left()
        number, inputs = message["kwargs"]["number"], message["kwargs"]["inputs"]
        if isinstance(limits, Failure):
            return limits
        if refused := self._collision(inputs):
            return refused
        exchange, here = self._evaluator.exchange / str(number), self._place.folder / f"run-{number}"
        self._exchanged.append(exchange)
        try:
            readable = self._fill(here / "work", exchange, inputs)
            (here / "scratch").mkdir()
            confinement = self._confinement(here, readable, message["args"], limits)
            ended = run_program(self._sandbox, confinement, exchange / "stdin", pump, deadline)
            self._account(ended)
            return self._failure(ended, limits) or self._answer(ended, here / "work", exchange)
        finally:
            folders.remove(here)

    def cpu_seconds(self) -> float:
        """Return the CPU time of all runs so far."""
        return self._used.cpu_ms / 1000 if self._used else 0.0

    def disturbed(self) -> bool:
        """Tell whether it acts out of turn: nothing of it is alive between runs."""
        return False

    def disturbance(self, pump: Pump) -> Failure:  # noqa: ARG002 - the protocol's
        """Say what it did out of turn."""
        raise AssertionError("a whole program is not alive between runs")

    def end(self, pump: Pump) -> Exit | None:  # noqa: ARG002 - the protocol's
        """Remove the files that were exchanged, and return what all runs used."""
        for folder in self._exchanged:
            folders.remove(folder)
        self._exchanged = []
        return self._used

    def spoke_unasked(self) -> bool:
        """Tell whether it spoke unasked: it has no channel."""
        return False

    def log(self) -> str:
        """Return the tail of what its runs printed."""
        return "\n".join(text.rstrip() for text in self._texts if text.strip())[-LOG_CHARACTERS:]

    def _limits_left(self) -> Limits | Failure:
        """Return the limits of the next run: what the runs before have left of the trial's CPU time."""
        limits = self._place.request.limits
        left = limits.cpu_seconds - self.cpu_seconds()
        if left <= 0:
            return _cpu_failure(limits)
        return msgspec.structs.replace(limits, cpu_seconds=left)

    def _collision(self, inputs: list[str]) -> Failure | None:
        """Refuse inputs that the candidate's own files would stand in for."""
        own = {PARAMETERS_FILE, *(file.path for file in self._place.request.artifact.files)}
        taken = sorted(own.intersection(inputs))
        if not taken:
            return None
        message = f"the evaluator gives the program a file {taken[0]!r}, which is the program's own"
        return Failure(reason="evaluator_error", message=message)

    def _fill(self, work: Path, exchange: Path, inputs: list[str]) -> tuple[str, ...]:
        """Fill a run's folder; return the paths outside that must be readable."""
        artifact = self._place.request.artifact
        given = {name: (exchange / f"in-{number}").read_bytes() for number, name in enumerate(inputs)}
        folders.write_files(work, given)
        if artifact.parameters:
            folders.write_files(work, {PARAMETERS_FILE: canonical_bytes(artifact.parameters)})
        folders.write_artifact(work, artifact)
        for file in artifact.files:
            if file.text.startswith(_SCRIPT_MARK):
                folders.inside(work, file.path).chmod(0o755)
        return folders.link_visible(work, self._place.loaded)

    def _confinement(self, here: Path, readable: tuple[str, ...], arguments: list[Any], limits: Limits) -> Confinement:
        loaded, seed = self._place.loaded, self._place.request.seed
        work, scratch = str(here / "work"), str(here / "scratch")
        first, *rest = (word.replace("{seed}", str(seed)) for word in self._place.command)
        python = interpreters.executable_of(loaded.interpreter)
        own = interpreters.child_environment(scratch, scratch) | interpreters.ONE_THREAD | interpreters.hash_seed(seed)
        return Confinement(
            argv=(first if Path(first).is_absolute() else f"{work}/{first}", *rest, *map(str, arguments)),
            work_dir=work,
            scratch=scratch,
            readable=readable,
            writable=(work,),
            environment=own | {SEED_VARIABLE: str(seed)},
            limits=limits,
            may_fork=True,
            limit_address_space=first == python,  # V8 and its kin reserve far more than they use
            scratch_mb=loaded.grants.scratch_mb or SCRATCH_MB,
        )

    def _account(self, ended: Ended) -> None:
        before = self._used or Exit(code=0, signal=0, cpu_ms=0, memory_kb=0)
        self._used = Exit(
            code=ended.exit.code,
            signal=ended.exit.signal,
            cpu_ms=before.cpu_ms + ended.exit.cpu_ms,
            memory_kb=max(before.memory_kb, ended.exit.memory_kb),
        )
        self._texts += [ended.stdout[-LOG_CHARACTERS:], ended.stderr]

    def _failure(self, ended: Ended, limits: Limits) -> Reply | Failure | None:
        """Say why the run has no answer; an ordinary bad end is the evaluator's to judge."""
        if ended.stopped:
            return ended.stopped
        if not (ended.exit.code or ended.exit.signal):
            return None
        failure = ended_badly(ended.exit, limits, ended.stderr if ended.stderr.strip() else ended.stdout)
        if failure.reason == "cpu_limit":
            return _cpu_failure(self._place.request.limits)
        if failure.reason != "crash":
            return failure
        return Reply(error=RaisedError(type="ProgramError", message=failure.message), stage="call")

    def _answer(self, ended: Ended, work: Path, exchange: Path) -> Reply | Failure:
        limit_bytes = 1024 * self._place.request.limits.output_kb
        taken = take_outputs(work, self._place.loaded.problem.evaluator.outputs, limit_bytes, exchange)
        if isinstance(taken, Failure):
            return taken
        value = {
            "seconds": ended.seconds,
            "cpu_seconds": ended.exit.cpu_ms / 1000,
            "memory_mb": ended.exit.memory_kb / 1024,
            "stdout": ended.stdout,
            "stderr": ended.stderr,
            "outputs": taken,
        }
        return Reply(value=value)


def _cpu_failure(limits: Limits) -> Failure:
    return Failure(reason="cpu_limit", message=f"used up its {limits.cpu_seconds:g} s of CPU time")
