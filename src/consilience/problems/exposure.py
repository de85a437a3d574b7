"""Sees that nothing which scores lies where candidates may read: grants and interpreters open whole folders.

Rules:
    1. The holdout is below no folder that a candidate may read, the interpreter's own included.
    2. Where the evaluator is apart from the candidate, its files and data are below no granted folder.

Data flow: LoadedProblem -> `check_exposure` -> the same, or a ProblemError.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from consilience.core.errors import ProblemError
from consilience.core.ports import LoadedProblem
from consilience.problems.schema import FILE

_APART = ("function", "program")


def check_exposure(loaded: LoadedProblem) -> LoadedProblem:
    """Return the problem, if none of its secrets lies in the open.

    Raises:
        ProblemError: one does; names the folder that opens it.
    """
    granted = [Path(path).resolve() for path in (*loaded.grants.readable, *loaded.grants.scratch)]
    _check(loaded, loaded.holdout, granted, "sandbox.readable")
    _check(loaded, loaded.holdout, _interpreter_folders(loaded.interpreter), "evaluator.interpreter")
    if loaded.problem.evaluator.kind in _APART:
        secret = (*loaded.support, *(file.path for file in loaded.problem.data))
        _check(loaded, secret, granted, "sandbox.readable")
    return loaded


def _check(loaded: LoadedProblem, paths: Iterable[str], folders: list[Path], key: str) -> None:
    for path in paths:
        real = (loaded.root / path).resolve()
        opened = next((folder for folder in folders if real.is_relative_to(folder)), None)
        if opened is not None:
            found = f"{str(opened)!r}, which holds {path}"
            hint = f"candidates could read {path}; open another folder, or move the problem's files out of this one"
            raise ProblemError(FILE, key, found=found, expected="a folder without what scores", hint=hint)


def _interpreter_folders(interpreter: str) -> list[Path]:
    """Return the folder of the environment that candidates run in: its prefix, which they may read."""
    prefix = Path(interpreter).parent.parent if interpreter else Path(sys.prefix)
    return [prefix.resolve()]
