"""How much a confined tree has put into the places that it may write: bytes and files.

Rules:
    1. A sized tmpfs bounds bytes, not files, each of which costs the kernel about 1 kB: files are counted there.
       It is reached through the tree's own root, and known by its size: before it is mounted, its path leads
       elsewhere.
    2. A folder of the host bounds nothing: what it has gained since the start is counted, links once.
    3. What cannot be counted (too deep, not readable) counts as too much: a program that hides a folder from
       its keeper is not trusted with a disk.
    4. Files that were unlinked while open are in no folder: they are counted where a process has them open. What
       is hidden better still shows as a loss: half of the disk's free space is too much, whoever caused it.

Data flow: Room -> `Gauge` before the start -> `over` every 50 ms -> "" or what overran.
What leaks: up to 50 ms of writing; on a folder of the host, files that are unlinked and only mapped or in transit,
up to half of the free space.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress

from msgspec import Struct

from consilience.trials.sandbox.proctree import children, descendants

_BLOCK = 512  # of st_blocks, stat(2)
_MIB = 1 << 20
_MOST_PROCESSES = 256
_REST = 4  # times what a count of folders took passes until the next: a fifth of a core at most, however many files


class Room(Struct, frozen=True, kw_only=True):
    """Where a tree may write and how much.

    Attributes:
        folders: of the host.
        private: mount points of tmpfs in the tree's own mount namespace, each `megabytes` in size.
        megabytes: what all folders together may gain.
        files: the same as a number of files, and what each tmpfs may hold.
    """

    folders: tuple[str, ...] = ()
    private: tuple[str, ...] = ()
    megabytes: int
    files: int


class _Held(Struct, frozen=True):
    bytes: int = 0
    files: int = 0


class Gauge:
    """Measures one tree against its room."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._start = _count(room.folders, None)
        self._next_count = 0.0
        self._free = [_free(folder) for folder in room.folders]
        self._disks = {os.stat(folder).st_dev for folder in room.folders}  # noqa: PTH116

    def over(self, helper: int) -> bool:
        """Tell whether the tree below this helper has more than its room."""
        return self._private_over(helper) or self._disk_over() or self._folders_over(helper)

    def _private_over(self, helper: int) -> bool:
        for pid in children(helper)[:1] if self._room.private else ():
            for place in self._room.private:
                files, size = _tmpfs(f"/proc/{pid}/root{place}")
                if size == self._room.megabytes * _MIB and files > self._room.files:
                    return True
        return False

    def _folders_over(self, helper: int) -> bool:
        started = time.monotonic()
        if not self._room.folders or started < self._next_count:
            return False
        over = self._count_over(helper)
        now = time.monotonic()
        self._next_count = now + _REST * (now - started)
        return over

    def _count_over(self, helper: int) -> bool:
        hidden = _unlinked([helper, *descendants(helper, at_most=_MOST_PROCESSES)], self._disks)
        most = _Held(self._start.bytes + self._room.megabytes * _MIB, self._start.files + self._room.files)
        try:
            held = _count(self._room.folders, most)
        except OSError:
            return True
        return held.bytes + hidden.bytes > most.bytes or held.files + hidden.files > most.files

    def _disk_over(self) -> bool:
        now = [_free(folder) for folder in self._room.folders]
        pairs = [
            pair for before, after in zip(self._free, now, strict=True) for pair in zip(before, after, strict=True)
        ]
        return any(after < before // 2 for before, after in pairs)


def _tmpfs(path: str) -> tuple[int, int]:
    """Return (files, size in bytes) of the filesystem at a path, zeros where there is none."""
    try:
        found = os.statvfs(path)
    except OSError:
        return 0, 0
    return found.f_files - found.f_ffree, found.f_blocks * found.f_frsize


def _free(folder: str) -> tuple[int, int]:
    """Return the free bytes and files of a folder's filesystem."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize, found.f_favail


def _count(folders: tuple[str, ...], most: _Held | None) -> _Held:
    """Add up what lies in folders; stop once it is more than `most`.

    Raises:
        OSError: a folder cannot be listed.
    """
    size = files = 0
    waiting = list(folders)
    while waiting and (most is None or (size <= most.bytes and files <= most.files)):
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    files += 1
                    size += _size(entry)
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except FileNotFoundError:
            continue  # removed meanwhile
    return _Held(size, files)


def _unlinked(pids: list[int], disks: set[int]) -> _Held:
    """Add up the files of these disks that processes have open and that no folder names."""
    sizes: dict[tuple[int, int], int] = {}
    for pid in pids:
        try:
            names = os.listdir(f"/proc/{pid}/fd")  # noqa: PTH208
        except OSError:
            continue
        for name in names:
            with suppress(OSError):
                found = os.stat(f"/proc/{pid}/fd/{name}")  # noqa: PTH116
                if found.st_nlink == 0 and found.st_dev in disks:
                    sizes[found.st_dev, found.st_ino] = found.st_blocks * _BLOCK
    return _Held(sum(sizes.values()), len(sizes))


def _size(entry: os.DirEntry[str]) -> int:
    try:
        found = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return 0
    return found.st_blocks * _BLOCK // max(1, found.st_nlink)
