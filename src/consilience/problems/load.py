"""`load_problem`: recognise the layout of a folder and read it.

Rules:
    1. `problem.toml` wins; then a command from the caller; then OpenEvolve (`initial_program.*` with
       `evaluator.py`); then autoresearch (`train.py` with `prepare.py` or `program.md`).
    2. What is not recognised is an error that says what was looked for and what is there.
    3. Options that a layout does not use are named in a warning.

Data flow: path -> detection -> `own`, `openevolve` or `autoresearch` -> LoadedProblem.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from msgspec import structs

from consilience.core.errors import ProblemError
from consilience.core.ports import LoadedProblem
from consilience.problems import autoresearch, openevolve
from consilience.problems.companion import with_companion
from consilience.problems.options import LoadOptions
from consilience.problems.own import FILE, load_own

__all__ = ["Layout", "LoadOptions", "detect_layout", "load_problem"]

Layout = Literal["own", "openevolve", "autoresearch"]

_NO_OPTIONS = LoadOptions()
_SHOWN = 8  # names of a folder that are worth showing in an error
_FLAGS = {
    "command": "--command",
    "metric": "--metric",
    "metric_pattern": "--metric-pattern",
    "direction": "--direction",
}


def load_problem(path: Path, options: LoadOptions = _NO_OPTIONS) -> LoadedProblem:
    """Read a problem from a folder, or from the path of a file in it that marks its layout.

    Raises:
        ProblemError: nothing there, no known layout, or anything wrong in the files.
    """
    root = _folder(path)
    layout = detect_layout(root, options)
    if layout == "own":
        loaded = load_own(root, options)
    elif layout == "autoresearch":
        return with_companion(autoresearch.load_autoresearch(root, options), options)
    else:
        loaded = with_companion(openevolve.load_openevolve_folder(root, options), options)
    return structs.replace(loaded, warnings=(*_unused_options(options, layout), *loaded.warnings))


def detect_layout(root: Path, options: LoadOptions = _NO_OPTIONS) -> Layout:
    """Tell which layout a folder has.

    Raises:
        ProblemError: none of the known ones.
    """
    names = _names(root)
    if FILE in names:
        return "own"
    if options.command:
        return "autoresearch"
    if openevolve.EVALUATOR in names and openevolve.find_program(root):
        return "openevolve"
    if autoresearch.SCRIPT in names and names & set(autoresearch.MARKS):
        return "autoresearch"
    raise _unrecognised(root, names)


def _unused_options(options: LoadOptions, layout: Layout) -> tuple[str, ...]:
    given = [flag for field, flag in _FLAGS.items() if getattr(options, field)]
    says = FILE if layout == "own" else "OpenEvolve's layout"
    return (f"{', '.join(given)}: not used, {says} decides",) if given else ()


def _folder(path: Path) -> Path:
    if path.is_dir():
        return path.resolve()
    if path.is_file() and (path.name == FILE or path.stem == openevolve.PROGRAM):
        return path.resolve().parent
    found = "another file" if path.exists() else "nothing"
    hint = "make one with: consilience init my-problem"
    raise ProblemError(str(path), "", found=found, expected="a problem's folder or its problem.toml", hint=hint)


def _names(root: Path) -> set[str]:
    try:
        return {entry.name for entry in root.iterdir()}
    except OSError as error:
        found = error.strerror or str(error)
        raise ProblemError(str(root), "", found=found, expected="a readable folder") from error


def _unrecognised(root: Path, names: set[str]) -> ProblemError:
    shown = ", ".join(sorted(names)[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    expected = (
        "problem.toml, or initial_program.* with evaluator.py (OpenEvolve), "
        "or train.py with prepare.py or program.md (autoresearch)"
    )
    hint = "make a problem with: consilience init my-problem; or say what to run with --command"
    return ProblemError(str(root), "", found=shown or "an empty folder", expected=expected, hint=hint)
