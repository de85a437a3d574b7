"""What a caller may say about a folder that has no `problem.toml`, and the interpreter that runs it.

Rules:
    1. Options fill what a folder does not say; a `problem.toml` says all but the interpreter itself.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from msgspec import Struct

from consilience.core.errors import ProblemError
from consilience.core.problem import Direction


class LoadOptions(Struct, frozen=True, kw_only=True):
    """Flags for folders without `problem.toml`; "" and None leave the choice to the loader.

    Attributes:
        command: what to run, split into words, e.g. ``("python", "train.py")``.
        metric: the objective's metric.
        metric_pattern: regular expression with one group that finds the metric in the command's output.
        direction: which way is better.
        interpreter: the Python that runs candidates: a path, or a name on PATH.
    """

    command: tuple[str, ...] = ()
    metric: str = ""
    metric_pattern: str = ""
    direction: Direction | None = None
    interpreter: str = ""


def find_interpreter(root: Path, name: str, where: tuple[str, str]) -> str:
    """Return the absolute path of an interpreter, or "" for the one that runs us.

    A virtual environment's Python is a symbolic link that must not be resolved: its own path is what
    selects the environment.

    Raises:
        ProblemError: no such program, or it cannot be executed.
    """
    if not name:
        return ""
    path = os.path.abspath(root / name) if "/" in name else shutil.which(name)  # noqa: PTH100 - resolve() follows links
    if path is None or not os.access(path, os.X_OK) or Path(path).is_dir():
        hint = "give the path of a Python program, such as .venv/bin/python"
        raise ProblemError(*where, found=f"{name!r}, which cannot be run", expected="an interpreter", hint=hint)
    return path


def venv_interpreter(root: Path) -> str:
    """Return the Python of the folder's own `.venv`, or ""."""
    path = root / ".venv" / "bin" / "python"
    return str(path.absolute()) if os.access(path, os.X_OK) else ""
