"""Looks at a path as a confined process would see it, without being confined.

Rules:
    1. Links are followed inside the process's own root, never in ours (openat2 with RESOLVE_IN_ROOT).
    2. Nothing is opened for reading or writing: O_PATH only.

Data flow: thread id, path -> `View` -> visible, writable.

Source: openat2(2), proc_pid_root(5), statvfs(3); numbers of uapi linux/openat2.h.
"""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import PurePosixPath
from typing import Self

_OPENAT2 = 437  # the same on every architecture
_RESOLVE_IN_ROOT = 0x10
_PATH_ONLY = getattr(os, "O_PATH", 0) | os.O_CLOEXEC  # only Linux has it, and only Linux comes to use it
_HOW = struct.pack("=QQQ", _PATH_ONLY, 0, _RESOLVE_IN_ROOT)
_CURRENT_FOLDER = 0xFFFFFF9C  # AT_FDCWD as an unsigned 32-bit number

_libc = ctypes.CDLL(None, use_errno=True)


class View:
    """The files of one process, by its root folder. A context manager."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._root = os.open(f"/proc/{pid}/root", _PATH_ONLY | os.O_DIRECTORY)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._root)

    def sees(self, path: str) -> bool:
        """Tell whether the path leads to something there."""
        found = self._open(path)
        if found < 0:
            return False
        os.close(found)
        return True

    def may_write(self, path: str) -> bool:
        """Tell whether the path, or the nearest folder above it that is there, lies on something writable."""
        for place in (path, *map(str, PurePosixPath(path).parents)):
            found = self._open(place)
            if found >= 0:
                try:
                    return not os.statvfs(found).f_flag & os.ST_RDONLY
                finally:
                    os.close(found)
        return False

    def _open(self, path: str) -> int:
        name = os.fsencode(path.lstrip("/") or ".")
        return int(
            _libc.syscall(
                ctypes.c_long(_OPENAT2), self._root, name, _HOW, ctypes.c_size_t(len(_HOW))
            )  # no errno needed
        )


def full_path(pid: int, folder: int | None, path: str) -> str:
    """Return a path that a process names as an absolute one in its own root; "" when the process is gone.

    Args:
        pid: the thread.
        folder: the descriptor that a relative path starts from, as the call's argument; None is the working folder.
        path: as named.
    """
    if path.startswith("/"):
        return "/" + os.path.normpath(path).lstrip("/")
    unsigned = None if folder is None else folder & 0xFFFFFFFF
    start = "cwd" if unsigned in {None, _CURRENT_FOLDER} else f"fd/{unsigned}"
    try:
        above = os.readlink(f"/proc/{pid}/{start}")  # noqa: PTH115 - a magic link
    except OSError:
        return ""
    return os.path.normpath(f"{above}/{path}") if above.startswith("/") else ""
