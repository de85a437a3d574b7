"""Takes over the files that a whole program hands over, once nothing of it runs any more.

Rules:
    1. Regular files only, below the program's own folder, with one name: no links of either kind, no devices,
       pipes or sockets, nothing mounted. Each step of a path is opened without following links, from the
       folder's descriptor down, so that no name can lead anywhere else.
    2. Sizes are read before bytes are, and all files together have one cap.
    3. A file that is absent is no failure here: the evaluator may do without it.

Data flow: folder, names -> `take_outputs` -> out-0, out-1 ... beside the evaluator, or a Failure.

Source: open(2), O_NOFOLLOW and O_NONBLOCK; fstat(2).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from consilience.core.outcome import Failure

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_CHUNK = 1 << 20
_ABSENT = (errno.ENOENT, errno.ENOTDIR)
_WHAT = (
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class _RefusedError(Exception):
    """An output that is not taken; becomes a Failure."""


def take_outputs(work: Path, names: tuple[str, ...], limit_bytes: int, into: Path) -> tuple[str, ...] | Failure:
    """Copy the outputs that are there, in order, to ``out-0``, ``out-1``... and return their names.

    Args:
        work: the program's folder; nothing of the program runs any more.
        names: the paths that the problem names.
        limit_bytes: of all of them together.
        into: a folder that the program cannot reach.
    """
    taken: list[str] = []
    left = limit_bytes
    try:
        with _opened(str(work), _FOLDER) as folder:
            for name in names:
                size = _take(folder, name, left, into / f"out-{len(taken)}")
                if size is None:
                    continue
                taken.append(name)
                left -= size
    except _RefusedError as error:
        return Failure(reason="invalid_output", message=str(error))
    return tuple(taken)


def _take(folder: int, name: str, left: int, target: Path) -> int | None:
    """Copy one output and return its size; None where it is absent."""
    *above, last = name.split("/")
    try:
        with _below(folder, above) as inner, _opened(last, _FILE, inner) as file:
            found = os.fstat(file)
            _check(name, found, os.fstat(folder).st_dev, left)
            return _copy(file, found.st_size, target)
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise _RefusedError(f"output {name} cannot be taken: {_why(folder, name, error)}") from error


def _check(name: str, found: os.stat_result, device: int, left: int) -> None:
    what = next((words for test, words in _WHAT if test(found.st_mode)), "")
    if what or not stat.S_ISREG(found.st_mode):
        raise _RefusedError(f"output {name} is {what or 'no file'}, expected a regular file")
    if found.st_nlink != 1 or found.st_dev != device:
        raise _RefusedError(f"output {name} has another name elsewhere (a hard link or a mount)")
    if found.st_size > left:
        raise _RefusedError(f"output {name}: the outputs together are over the limit of output_kb")


def _copy(file: int, size: int, target: Path) -> int:
    """Copy exactly the bytes that were counted."""
    with target.open("xb") as stream:
        left = size
        while left and (chunk := os.read(file, min(left, _CHUNK))):
            stream.write(chunk)
            left -= len(chunk)
    return size - left


@contextmanager
def _below(folder: int, parts: list[str]) -> Iterator[int]:
    """Open the folder that these steps lead to, following no link."""
    if not parts:
        yield folder
        return
    with _opened(parts[0], _FOLDER, folder) as inner, _below(inner, parts[1:]) as last:
        yield last


@contextmanager
def _opened(path: str, flags: int, folder: int | None = None) -> Iterator[int]:
    descriptor = os.open(path, flags, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _why(folder: int, name: str, error: OSError) -> str:
    """Say what stands where a file could not be opened."""
    try:
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except OSError:
        mode = 0
    what = next((words for test, words in _WHAT if test(mode)), "")
    return f"it is {what}" if what else error.strerror or str(error)
