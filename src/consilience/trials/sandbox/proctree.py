"""Reads process trees from /proc: who descends from whom, and what they use together.

Rules:
    1. A process may vanish between any two reads: what cannot be read any more counts as gone.
    2. Nothing here sends a signal.

Source of the fields: Linux proc_pid_stat(5), proc_pid_statm(5); CONFIG_PROC_CHILDREN for `children`.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from msgspec import Struct

_TICK_MS = 1000 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.0
_PAGE_KB = os.sysconf("SC_PAGE_SIZE") // 1024 if hasattr(os, "sysconf") else 0
_LOOK_SECONDS = 0.0005  # a process stops within microseconds, unless it is in the kernel
_STATE, _FIRST_TIME, _LAST_TIME, _STARTED = 0, 11, 15, 19  # of stat's fields after the name: state; utime to cstime


class Usage(Struct, frozen=True):
    """What a set of processes uses at one moment: CPU so far, resident memory now, and their number."""

    cpu_ms: int = 0
    memory_kb: int = 0
    processes: int = 0


def descendants(pid: int, *, at_most: int | None = None) -> list[int]:
    """Return every process below this one, nearest first; stop looking once there are more than `at_most`."""
    found: list[int] = []
    waiting = [pid]
    while waiting and (at_most is None or len(found) <= at_most):
        below = children(waiting.pop(0))
        found += below
        waiting += below
    return found


def children(pid: int) -> list[int]:
    """Return the direct children, of all threads."""
    found: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [int(child) for child in (task / "children").read_text().split()]
    except OSError:
        return found
    return found


def state(pid: int) -> str:
    """Return the state letter of proc_pid_stat(5), or "" when there is no such process."""
    fields = _stat(pid)
    return fields[_STATE] if fields else ""


def start_ticks(pid: int) -> int | None:
    """Return when a process started, in the kernel's ticks since boot, or None when it is gone or a zombie.

    With its id it names a process for as long as the machine is up.
    """
    fields = _stat(pid)
    return int(fields[_STARTED]) if fields and fields[_STATE] not in {"Z", "X"} else None


def await_stop(pid: int, seconds: float) -> None:
    """Wait until a process that was sent SIGSTOP stands still, or is gone, but no longer than this."""
    deadline = time.monotonic() + seconds
    while state(pid) not in {"T", "Z", ""} and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)


def usage(pids: list[int]) -> Usage:
    """Add up what these processes use; children that they have reaped count in the CPU time."""
    ticks = pages = alive = 0
    for pid in pids:
        fields = _stat(pid)
        if fields:
            alive += 1
            ticks += sum(int(field) for field in fields[_FIRST_TIME:_LAST_TIME])
            pages += _resident_pages(pid)
    return Usage(round(ticks * _TICK_MS), pages * _PAGE_KB, alive)


def _stat(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return text[text.rindex(")") + 2 :].split()


def _resident_pages(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
