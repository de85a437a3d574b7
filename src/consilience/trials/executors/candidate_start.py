"""How a candidate's process comes to be: fresh in a sandbox of its own, or forked from a warm process.

Rules:
    1. Either way it finds the same: its files, read-only, as the folder it starts in; one folder to write; the same
       environment, module path and limits.
    2. What is forked is as confined as what is fresh; the canaries are run in both.

Data flow: TrialRequest -> Starter -> Child and its start line -> `candidate_process`.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from consilience.core.ports import TrialRequest
from consilience.core.problem import Limits
from consilience.trials.executors import folders, interpreters
from consilience.trials.executors.child import Child, line_channel, start_child
from consilience.trials.executors.interpreters import Interpreter
from consilience.trials.executors.zygote import Zygote
from consilience.trials.harness import HARNESS, script_arguments
from consilience.trials.sandbox.confinement import Confinement, Sandbox
from consilience.trials.sandbox.limits import resource_limits


class Starter(Protocol):
    """**Protocol:** starts the process of one candidate."""

    def start(self, request: TrialRequest, entry: PurePosixPath) -> tuple[Child, dict[str, Any]]:
        """Start it and return it with the line that it waits for.

        Raises:
            EnvironmentLacksError: the machine could not start it.
        """


class FreshStarter:
    """Starts an interpreter in a sandbox, for one candidate."""

    def __init__(self, sandbox: Sandbox, interpreter: Interpreter, folder: Path) -> None:
        self._sandbox = sandbox
        self._interpreter = interpreter
        self._folder = folder

    def start(self, request: TrialRequest, entry: PurePosixPath) -> tuple[Child, dict[str, Any]]:
        """Write the candidate's files and start the interpreter."""
        program, scratch = self._folder / "program", self._folder / "scratch"
        folders.write_artifact(program, request.artifact)
        scratch.mkdir()
        confinement = candidate_confinement(self._interpreter, request.limits, str(program), str(scratch))
        child = start_child(self._sandbox, confinement, line_channel(request.limits.output_kb))
        return child, start_line(self._interpreter, request, str(program), entry)


class ForkStarter:
    """Has a warm process fork the candidate's."""

    def __init__(self, zygote: Zygote, interpreter: Interpreter) -> None:
        self._zygote = zygote
        self._interpreter = interpreter

    def start(self, request: TrialRequest, entry: PurePosixPath) -> tuple[Child, dict[str, Any]]:
        """Fork; the candidate's files travel with the start line.

        Raises:
            ZygoteBrokenError: the warm process has ended.
        """
        program, scratch = str(self._zygote.arena / "program"), str(self._zygote.arena / "scratch")
        confinement = candidate_confinement(self._interpreter, request.limits, program, scratch)
        limits = resource_limits(confinement, count_tasks=False)
        child = Child(self._zygote.fork, line_channel(request.limits.output_kb))
        files = request.artifact.files
        line = {
            **start_line(self._interpreter, request, program, entry),
            "files": {file.path: file.text for file in files},
            "rlimit": [f"{number}:{value}" for number, value in limits],
            "own_modules": sorted({PurePosixPath(file.path).parts[0].removesuffix(".py") for file in files}),
        }
        return child, line


def candidate_confinement(interpreter: Interpreter, limits: Limits, program: str, scratch: str) -> Confinement:
    """Return what a called candidate may see and use."""
    environment = interpreters.child_environment(scratch, scratch) | interpreters.ONE_THREAD
    return Confinement(
        # -S: `site` costs 4 ms in each trial. The path that it would find comes with the start line; import
        # hooks of `.pth` files (editable installs of some build tools) and the builtin `exit` are not there.
        argv=(interpreter.executable, "-S", "-s", *script_arguments("candidate")),
        work_dir=program,
        scratch=scratch,
        readable=(str(HARNESS), program),
        environment=environment | interpreters.FIXED_HASH_SEED,
        limits=limits,
        may_fork=False,
    )


def start_line(interpreter: Interpreter, request: TrialRequest, program: str, entry: PurePosixPath) -> dict[str, Any]:
    """Return what a candidate's process is told first."""
    return {
        "path": [str(PurePosixPath(program) / entry.parent), program, *interpreter.path],
        "prefix": interpreter.prefix,
        "generators": interpreters.generators_in(file.text for file in request.artifact.files),
        "name": entry.stem,
        "seed": request.seed,
    }
