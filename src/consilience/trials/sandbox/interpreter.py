"""What a Python interpreter needs to see of the host in order to start: its prefixes, packages and libraries.

Rules:
    1. The interpreter is asked (`sys.prefix` and its kin), never guessed at: it may be another Python than ours.
    2. A home folder or the root of the filesystem is never exposed, even when it is somebody's prefix.
    3. Every link on the way is exposed under its own name, so that paths are the same inside and outside.

Data flow: path of an interpreter -> Interpreter -> each level's list of readable paths.
"""

from __future__ import annotations

import json
import os
import subprocess
from functools import cache
from pathlib import Path

from msgspec import Struct

from consilience.core.errors import EnvironmentLacksError

SYSTEM_PATHS = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/lib32", "/etc/ld.so.cache", "/etc/alternatives")
_STORE = Path("/nix/store")  # where some distributions keep every library
_ASK_SECONDS = 30
_QUESTION = """
import json, sys, sysconfig
paths = [sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix]
paths += [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
print(json.dumps({"version": sys.version, "executable": sys.executable, "paths": paths}))
"""


class Interpreter(Struct, frozen=True, kw_only=True):
    """An interpreter, its version as it states it, and the host paths that it needs readable."""

    executable: str
    version: str
    readable: tuple[str, ...]


@cache
def inspect_interpreter(executable: str) -> Interpreter:
    """Ask the interpreter where its parts are.

    Raises:
        EnvironmentLacksError: it is not there, does not start, or is no Python 3.
    """
    answer = _ask(executable)
    named = [Path(path) for path in answer["paths"]]
    chain = _links(Path(answer["executable"])) + _links(Path(executable))
    wanted = [*named, *(path.resolve() for path in named), *chain]
    return Interpreter(executable=executable, version=answer["version"], readable=_minimal(wanted))


def _ask(executable: str) -> dict[str, str]:
    command = [executable, "-I", "-c", _QUESTION]
    hint = "Name a working Python 3 as the problem's interpreter."
    try:
        done = subprocess.run(command, capture_output=True, check=True, timeout=_ASK_SECONDS)  # noqa: S603
        answer: dict[str, str] = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise EnvironmentLacksError(f"the interpreter {executable} does not start: {error}", hint=hint) from error
    return answer


def _links(path: Path) -> list[Path]:
    """Return the file and each file that it links to, as named along the way."""
    found = [path]
    while path.is_symlink():
        path = path.parent / path.readlink()
        found.append(path)
    return [*found, path.resolve()]


def _minimal(paths: list[Path]) -> tuple[str, ...]:
    """Drop what does not exist, what must stay hidden and what a kept folder or the system already holds."""
    kept: list[Path] = [Path(path) for path in SYSTEM_PATHS]
    for path in sorted(set(paths), key=lambda each: len(each.parts)):
        if path.exists() and not _too_wide(path) and not any(path.is_relative_to(folder) for folder in kept):
            kept.append(_STORE if path.is_relative_to(_STORE) else path)
    return tuple(str(path) for path in kept if path.exists())


def _too_wide(path: Path) -> bool:
    """Tell whether a folder is, or holds, this user's home."""
    home = os.path.expanduser("~")  # noqa: PTH111 - Path.home() raises for a user that the system does not know
    return path.is_dir() and Path(home).is_relative_to(path)
