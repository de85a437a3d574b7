"""Builds the command line that runs a confined command through the launcher.

Rules:
    1. A Python target is run inside the launcher's own interpreter, so that replacing the program can be
       denied before its first line; any other command is exec'd by the launcher.
    2. Interpreter options keep their meaning: they come before the launcher.
    3. The launcher's compiled form is used where the interpreter is of our own version.
    4. Only a command that the launcher must exec may exec.

Data flow: Confinement.argv -> Command -> ``interpreter OPTIONS launcher.py SETTINGS -- FORM TARGET...``.
"""

from __future__ import annotations

import importlib.util
import py_compile
import struct
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Literal

from msgspec import Struct

from consilience.trials.sandbox.interpreter import Interpreter

Form = Literal["script", "code", "module", "exec"]
LAUNCHER = str(Path(__file__).with_name("launcher.py").resolve())
_OPTIONS_WITH_VALUE = frozenset({"-W", "-X"})
_NOTHING_IMPORTED = ("-I", "-S")


class Command(Struct, frozen=True):
    """A command split into interpreter options, the way it is run, and what is run."""

    options: tuple[str, ...]
    form: Form
    target: tuple[str, ...]

    def line(self, interpreter: str, settings: tuple[str, ...], launcher: str = LAUNCHER) -> tuple[str, ...]:
        """Return the whole command line, with the launcher's settings in place."""
        return (interpreter, *self.options, launcher, *settings, "--", self.form, *self.target)


@cache
def launcher_for(interpreter: Interpreter) -> str:
    """Return the launcher's compiled form where it fits the interpreter, else its source.

    Compiling it anew costs 2 ms of each start, measured. A script's compiled form is run without a look at its
    source, so that its freshness is checked here (PEP 552: flags, time and size of the source).
    """
    if interpreter.version != sys.version:
        return LAUNCHER
    compiled, source = Path(importlib.util.cache_from_source(LAUNCHER)), Path(LAUNCHER).stat()
    fresh = struct.pack("<III", 0, int(source.st_mtime) & 0xFFFFFFFF, source.st_size & 0xFFFFFFFF)
    with suppress(OSError, py_compile.PyCompileError):
        if not compiled.exists() or compiled.read_bytes()[4:16] != fresh:
            mode = py_compile.PycInvalidationMode.TIMESTAMP
            py_compile.compile(LAUNCHER, str(compiled), doraise=True, invalidation_mode=mode)
        return str(compiled)
    return LAUNCHER


def parse_command(argv: tuple[str, ...], interpreter: str) -> Command:
    """Split a command. One that is not a plain call of the interpreter is exec'd as a whole."""
    command = Command(_NOTHING_IMPORTED, "exec", argv)
    if argv[0] != interpreter:
        return command
    index = 1
    while index < len(argv) and argv[index].startswith("-") and argv[index] not in {"-", "-c", "-m"}:
        index += 2 if argv[index] in _OPTIONS_WITH_VALUE else 1
    options, rest = argv[1:index], argv[index:]
    if not rest or rest[0] == "-":
        return command
    if rest[0] in {"-c", "-m"}:
        return Command(options, "code" if rest[0] == "-c" else "module", rest[1:]) if rest[1:] else command
    return Command(options, "script", rest)


def limit_settings(pairs: tuple[tuple[int, int], ...]) -> tuple[str, ...]:
    """Return resource limits as the launcher's settings."""
    return tuple(f"rlimit={number}:{value}" for number, value in pairs)


def environment_settings(variables: dict[str, str]) -> tuple[str, ...]:
    """Return variables as the launcher's settings."""
    return tuple(f"env={name}={value}" for name, value in variables.items())
