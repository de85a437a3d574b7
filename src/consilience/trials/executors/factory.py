"""Chooses the executor for a problem.

Rules:
    1. One executor for each evaluator kind; each says its evaluation domain in every outcome.

Data flow: LoadedProblem, Sandbox, work folder -> Executor.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from consilience.core.ports import Executor, LoadedProblem
from consilience.core.problem import EvaluatorKind
from consilience.trials.executors.command import CommandExecutor
from consilience.trials.executors.function import FunctionExecutor
from consilience.trials.executors.openevolve import OpenEvolveExecutor
from consilience.trials.executors.program import ProgramExecutor
from consilience.trials.sandbox.confinement import Sandbox

_KINDS: dict[EvaluatorKind, Callable[[LoadedProblem, Sandbox, Path], Executor]] = {
    "function": FunctionExecutor,
    "openevolve": OpenEvolveExecutor,
    "command": CommandExecutor,
    "program": ProgramExecutor,
}


def make_executor(loaded: LoadedProblem, sandbox: Sandbox, work_dir: Path) -> Executor:
    """Return the executor for the problem's evaluator kind.

    Args:
        loaded: the problem with its files.
        sandbox: how candidates are held.
        work_dir: the folder below which every temporary file lies.

    Raises:
        EnvironmentLacksError: the problem's interpreter or command is not on this machine.
    """
    kind = _KINDS[loaded.problem.evaluator.kind]
    return kind(loaded, sandbox, work_dir)
