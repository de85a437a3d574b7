"""`write_template`: the commented folder that a new problem starts from.

Rules:
    1. Nothing is overwritten: the folder is absent or empty.
    2. What is written runs as it is.
"""

from __future__ import annotations

from pathlib import Path

from consilience.core.errors import UsageError

_STARTER = Path(__file__).parent / "starter"
_FILES = ("problem.toml", "solution.py", "evaluator.py")


def write_template(destination: Path) -> tuple[Path, ...]:
    """Write the starter into a folder, making it if need be, and return the files written.

    Raises:
        UsageError: the folder is not empty, is a file, or cannot be written.
    """
    try:
        if destination.exists() and any(destination.iterdir()):
            raise UsageError(f"{destination} is not empty", hint="name a new folder: nothing is overwritten")
        destination.mkdir(parents=True, exist_ok=True)
        return tuple(_copy(name, destination) for name in _FILES)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"cannot write {destination}: {reason}", hint="name a folder that you may write") from error


def _copy(name: str, destination: Path) -> Path:
    target = destination / name
    target.write_bytes((_STARTER / name).read_bytes())
    return target
