"""Chooses the executor for a problem.

Rules:
    1. One executor for each evaluator kind; each says its evaluation domain in every outcome.

Data flow: LoadedProblem, Sandbox, work folder -> Executor.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from consilience.core.errors import EnvironmentLacksError
from consilience.core.ports import Executor, LoadedProblem
from consilience.core.problem import EvaluatorKind
from consilience.core.study import ExecutionPolicy
from consilience.trials.executors.command import CommandExecutor
from consilience.trials.executors.function import FunctionExecutor
from consilience.trials.executors.grants import with_grants
from consilience.trials.executors.openevolve import OpenEvolveExecutor
from consilience.trials.sandbox.confinement import Sandbox
from consilience.trials.sandbox.wasm import STRONGER_LEVEL

_WHOLE: dict[EvaluatorKind, Callable[[LoadedProblem, Sandbox, Path], Executor]] = {
    "openevolve": OpenEvolveExecutor,
    "command": CommandExecutor,
}


def make_executor(
    loaded: LoadedProblem, sandbox: Sandbox, work_dir: Path, execution: ExecutionPolicy = "auto"
) -> Executor:
    """Return the executor for the problem's evaluator kind.

    Args:
        loaded: the problem with its files.
        sandbox: how candidates are held.
        work_dir: the folder below which every temporary file lies.
        execution: how called candidates are started; whole programs are always started fresh.

    Raises:
        EnvironmentLacksError: the problem's interpreter, command or a path that it grants is not on this machine, or
            forking is demanded where it cannot be had, or the level cannot run such a problem.
    """
    kind, granted = loaded.problem.evaluator.kind, with_grants(sandbox, loaded)
    if kind == "function":
        return FunctionExecutor(loaded, granted, work_dir, execution)
    if sandbox.level == "wasm":
        raise EnvironmentLacksError(
            f"isolation level wasm runs candidates of kind 'function' only, and this problem's kind is {kind!r}",
            hint=STRONGER_LEVEL,
        )
    if execution == "fork":
        raise EnvironmentLacksError(
            f"only the candidates of evaluators of kind function can be forked; this one's kind is {kind}",
            hint="leave execution at auto, or set it to fresh",
        )
    return _WHOLE[kind](loaded, granted, work_dir)
