"""Trials of command problems: the artifact and fixed files in a fresh folder, one command, a printed metric.

Rules:
    1. Fresh folder and process for each trial; the command may start processes and write in its folder.
    2. A non-zero exit code is a crash, whatever was printed before.
    3. The artifact prints its own metric, so it can print any: the domain says `command`.

Data flow: TrialRequest -> folder -> command in the sandbox -> output -> `printed` -> Outcome.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

from consilience.core.errors import EnvironmentLacksError
from consilience.core.outcome import Failure, Isolation, Outcome
from consilience.core.ports import LoadedProblem, TrialRequest
from consilience.trials.executors import folders, interpreters
from consilience.trials.executors.child import Child
from consilience.trials.executors.logs import joined_log
from consilience.trials.executors.pipes import Tail
from consilience.trials.executors.printed import printed_metrics
from consilience.trials.executors.scrub import Scrubber
from consilience.trials.executors.whole import Run, ended, run_whole
from consilience.trials.sandbox.confinement import Confinement, Sandbox

SEED_VARIABLE = "CONSILIENCE_SEED"
SCRATCH_MB = 1024  # whole programs write checkpoints


class CommandExecutor:
    """Runs a command that prints the objective's metric."""

    def __init__(self, loaded: LoadedProblem, sandbox: Sandbox, work_dir: Path) -> None:
        self._loaded = loaded
        self._sandbox = sandbox
        self._work_dir = work_dir
        self._command = resolved_command(loaded, loaded.support)

    @property
    def isolation(self) -> Isolation:
        """How candidates are held."""
        return Isolation(level=self._sandbox.level, domain="command")

    def run(self, request: TrialRequest) -> Outcome:
        """Run one trial to its outcome.

        Raises:
            EnvironmentLacksError: the machine could not start a process or write a file.
        """
        with folders.trial_folder(self._work_dir) as folder:
            work, scratch = folder / "work", folder / "scratch"
            folders.write_files(work, self._loaded.support)
            folders.write_artifact(work, request.artifact)
            scratch.mkdir()
            readable = folders.link_data(work, self._loaded)
            confinement = self._confinement(work, scratch, readable, request)
            run = run_whole(
                self._sandbox,
                confinement,
                lambda descriptor: Tail(descriptor, 1024 * request.limits.output_kb),
                first_line=b"",
                finished=lambda child: _flooded(child, request.limits.output_kb),
            )
            python = interpreters.executable_of(self._loaded.interpreter)
            return Scrubber({str(folder): "trial", python: "python"}).outcome(self._outcome(run, confinement))

    def close(self) -> None:
        """Nothing outlives a trial."""

    def _confinement(self, work: Path, scratch: Path, readable: tuple[str, ...], request: TrialRequest) -> Confinement:
        environment = interpreters.child_environment(str(scratch), str(scratch)) | interpreters.hash_seed(request.seed)
        seed = str(request.seed)
        argv = tuple(word.replace("{seed}", seed) for word in self._command)
        program = argv[0] if Path(argv[0]).is_absolute() else str(work / argv[0])
        return Confinement(
            argv=(program, *argv[1:]),
            work_dir=str(work),
            scratch=str(scratch),
            readable=readable,
            writable=(str(work),),
            environment=environment | {SEED_VARIABLE: seed, "PYTHONUNBUFFERED": "1"},
            limits=request.limits,
            may_fork=True,
            scratch_mb=SCRATCH_MB,
        )

    def _outcome(self, run: Run, confinement: Confinement) -> Outcome:
        output = _tail(run.child).text()
        errors = run.child.log.text()
        result = self._metrics(run, confinement, output, errors)
        return Outcome(
            metrics={} if isinstance(result, Failure) else result,
            failure=result if isinstance(result, Failure) else None,
            resources=run.resources,
            isolation=self.isolation,
            log=joined_log({"output": output, "errors": errors}),
        )

    def _metrics(self, run: Run, confinement: Confinement, output: str, errors: str) -> dict[str, float] | Failure:
        limit_kb = confinement.limits.output_kb
        if run.failure:
            return run.failure
        if _flooded(run.child, limit_kb):
            return Failure(reason="invalid_output", message=Child.flood_message(limit_kb))
        if run.exit.code or run.exit.signal:
            return ended(run, confinement, errors if errors.strip() else output)
        problem = self._loaded.problem
        return printed_metrics(f"{errors}\n{output}", problem.objective.metric, problem.evaluator.metric_pattern)


def resolved_command(loaded: LoadedProblem, fixed: Collection[str]) -> tuple[str, ...]:
    """Return the command with the interpreter filled in and its program found.

    Args:
        loaded: the problem.
        fixed: paths of the fixed files that lie in the program's folder.

    Raises:
        EnvironmentLacksError: the program is neither in the problem's files nor on this machine.
    """
    python = interpreters.executable_of(loaded.interpreter)
    first, *rest = (word.replace("{python}", python) for word in loaded.problem.evaluator.command)
    local = first.removeprefix("./")
    if local in fixed or any(file.path == local for file in loaded.baseline.files):
        return (local, *rest)
    found = shutil.which(first)
    if found is None:
        raise EnvironmentLacksError(
            f"the problem's command starts with {first!r}, which is not on this machine",
            hint="install it, or use {python} in the command for the problem's interpreter",
        )
    return (str(Path(found).absolute()), *rest)


def _tail(child: Child) -> Tail:
    assert isinstance(child.answers, Tail)  # noqa: S101 - `run` makes it so; for the type checker
    return child.answers


def _flooded(child: Child, output_kb: int) -> bool:
    return child.flooded_by(_tail(child).total, output_kb)
