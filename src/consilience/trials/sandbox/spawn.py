"""Starts the outermost process of a confinement: exact environment, three streams, named descriptors, no shell.

Rules:
    1. Every descriptor that is not named stays closed to the child.
    2. Settings travel in anonymous files, closed here once the child has them.
    3. A path that does not exist is found before anything starts.
    4. A child can see whether we live: the order to die with a parent means nothing until it is given, and a parent
       that dies before that leaves an orphan.

Data flow: command line -> Popen -> HeldProcess.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Self

from msgspec import Struct

from consilience.core.errors import EnvironmentLacksError
from consilience.trials.sandbox.confinement import Confinement

WARDEN = str(Path(__file__).with_name("warden.py").resolve())


class Streams(Struct, frozen=True):
    """The only descriptors of the caller's that the target sees."""

    stdin: int
    stdout: int
    stderr: int


@cache
def keeper() -> int:
    """Return the end of a pipe that reads as ended once this process is dead; children look at it, then close it."""
    reading, _kept_open_by_us = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    return reading


class Settings:
    """Anonymous files that a child reads or writes; a context manager that closes them here."""

    def __init__(self) -> None:
        self._open: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in self._open:
            os.close(descriptor)

    @property
    def descriptors(self) -> tuple[int, ...]:
        """All of them, for the child to inherit."""
        return tuple(self._open)

    def holding(self, parts: Iterable[str] | bytes) -> int:
        """Return a descriptor at the start of a file with these bytes, or these NUL-separated texts."""
        data = parts if isinstance(parts, bytes) else b"\0".join(os.fsencode(part) for part in parts)
        descriptor = os.memfd_create("settings")
        self._open.append(descriptor)
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(data)
        os.lseek(descriptor, 0, os.SEEK_SET)
        return descriptor

    def adopting(self, descriptor: int) -> int:
        """Take over an open descriptor, for the child to inherit, and return it."""
        self._open.append(descriptor)
        return descriptor

    def kept_copy(self, descriptor: int) -> int:
        """Return another descriptor of the same file, which the caller closes."""
        return os.dup(descriptor)


def spawn(
    line: Iterable[str],
    streams: Streams,
    *,
    environment: dict[str, str],
    descriptors: tuple[int, ...] = (),
    folder: str = "/",
) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own. It must close the descriptor `keeper()` before any program of others.

    Raises:
        EnvironmentLacksError: the program is gone or cannot be run.
    """
    command = list(line)
    try:
        return subprocess.Popen(  # noqa: S603 - running commands is the purpose; no shell is involved
            command,
            env=environment,
            stdin=streams.stdin,
            stdout=streams.stdout,
            stderr=streams.stderr,
            pass_fds=(*descriptors, keeper()),
            cwd=folder,
            start_new_session=True,
        )
    except OSError as error:
        raise EnvironmentLacksError(
            f"the sandbox cannot start {command[0]}: {error}", hint="Run consilience doctor to see what is missing."
        ) from error


def warden_line(line: Iterable[str], environment: dict[str, str], settings: Settings) -> tuple[list[str], int]:
    """Return the command that runs `line` below a warden, and the descriptor that its report will be in."""
    command = list(line)
    entries = [f"{name}={value}" for name, value in environment.items()]
    orders = settings.holding([str(len(command)), *command, *entries])
    report = settings.holding(b"")
    return [sys.executable, "-I", "-S", WARDEN, str(orders), str(report), str(keeper())], report


def make_links(folder: str, links: dict[str, str]) -> None:
    """Make links in a folder of ours that serves as home; what is there already stays.

    Args:
        folder: nothing that is confined has written in it yet.
        links: path below it, to what it leads.

    Raises:
        EnvironmentLacksError: the folder cannot be written.
    """
    for name, target in links.items():
        link = Path(folder, name)
        if os.path.lexists(link):
            continue
        try:
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(target)
        except OSError as error:
            raise EnvironmentLacksError(
                f"the sandbox cannot start: {link} cannot be made: {error.strerror}", hint="free some space"
            ) from error


def require_paths(confinement: Confinement) -> None:
    """Check that each path that the confinement names is there.

    Raises:
        EnvironmentLacksError: one is not.
    """
    folders = (*confinement.writable, confinement.scratch, confinement.work_dir)
    for path in (*confinement.readable, *confinement.devices, *folders):
        if not Path(path).exists():
            raise EnvironmentLacksError(
                f"the sandbox cannot start: {path} does not exist",
                hint="Something removed it while the trial was prepared; run again.",
            )
