"""`load_problem`: recognise the layout of a folder and read it.

Rules:
    1. `problem.toml` wins; then OpenEvolve (`initial_program.*` with `evaluator.py`); then autoresearch
       (`train.py` with `prepare.py` or `program.md`, or a command from the caller).
    2. What is not recognised is an error that says what was looked for and what is there.

Data flow: path -> detection -> `own`, `openevolve` or `autoresearch` -> LoadedProblem.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from consilience.core.errors import ProblemError
from consilience.core.ports import LoadedProblem
from consilience.problems.options import LoadOptions
from consilience.problems.own import FILE, load_own

__all__ = ["Layout", "LoadOptions", "detect_layout", "load_problem"]

Layout = Literal["own", "openevolve", "autoresearch"]

_SHOWN = 8  # names of a folder that are worth showing in an error


def load_problem(path: Path, options: LoadOptions = LoadOptions()) -> LoadedProblem:  # noqa: B008 - frozen
    """Read a problem from a folder, or from the path of a file in it that marks its layout.

    Raises:
        ProblemError: nothing there, no known layout, or anything wrong in the files.
    """
    root = _folder(path)
    layout = detect_layout(root)
    if layout == "own":
        return load_own(root, options)
    raise _unrecognised(root)


def detect_layout(root: Path) -> Layout:
    """Tell which layout a folder has.

    Raises:
        ProblemError: none of the known ones.
    """
    names = _names(root)
    if FILE in names:
        return "own"
    raise _unrecognised(root)


def _folder(path: Path) -> Path:
    if path.is_dir():
        return path
    if path.is_file() and path.name == FILE:
        return path.parent
    found = "another file" if path.exists() else "nothing"
    hint = "make one with: consilience init my-problem"
    raise ProblemError(str(path), "", found=found, expected="a problem's folder or its problem.toml", hint=hint)


def _names(root: Path) -> set[str]:
    try:
        return {entry.name for entry in root.iterdir()}
    except OSError as error:
        found = error.strerror or str(error)
        raise ProblemError(str(root), "", found=found, expected="a readable folder") from error


def _unrecognised(root: Path) -> ProblemError:
    names = sorted(_names(root))
    shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    expected = (
        "problem.toml, or initial_program.* with evaluator.py (OpenEvolve), "
        "or train.py with prepare.py or program.md (autoresearch)"
    )
    hint = "make a problem with: consilience init my-problem; or name a command with --command"
    return ProblemError(str(root), "", found=shown or "an empty folder", expected=expected, hint=hint)
