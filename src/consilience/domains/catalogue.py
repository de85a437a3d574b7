"""The problems that ship with the package, by name.

Rules:
    1. A built-in problem is an ordinary folder in the own format; nothing treats it in a special way.
    2. Copies go to a folder that is absent or empty; nothing is overwritten.

Data flow: package data -> a folder of the user's -> `problems.load`.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from consilience.core.errors import UsageError
from consilience.problems.faults import did_you_mean

_HERE = Path(__file__).parent
_FOLDERS = {
    "circle-packing": _HERE / "optimisation" / "circle_packing",
    "digits": _HERE / "ml" / "digits",
}
_OURS = shutil.ignore_patterns("__init__.py", "__pycache__")  # what makes the folder a package is not the problem's


def builtin_names() -> tuple[str, ...]:
    """Return the names of all built-in problems, the demo's default first."""
    return tuple(_FOLDERS)


def builtin_folder(name: str) -> Path:
    """Return the installed folder of a built-in problem; read it, do not write there.

    Raises:
        UsageError: no such problem.
    """
    if name not in _FOLDERS:
        hint = did_you_mean(name, _FOLDERS) or f"there are {', '.join(_FOLDERS)}"
        raise UsageError(f"no built-in problem {name!r}", hint=hint)
    return _FOLDERS[name]


def copy_builtin(name: str, destination: Path) -> Path:
    """Copy a built-in problem into a folder and return that folder.

    Raises:
        UsageError: no such problem, the folder is not empty, or it cannot be written.
    """
    source = builtin_folder(name)
    try:
        if destination.exists() and any(destination.iterdir()):
            raise UsageError(f"{destination} is not empty", hint="name a new folder")
        shutil.copytree(source, destination, dirs_exist_ok=True, ignore=_OURS)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"cannot write {destination}: {reason}", hint="name a folder that you may write") from error
    return destination
