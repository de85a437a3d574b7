"""Who is left: every process that descends from this one, also those that tried to leave it.

Rules:
    1. While this is open, the kernel gives orphans of our descendants to us (a subreaper, prctl(2)), so that
       nothing started by a trial can leave our tree.
    2. A process that has ended is no survivor, reaped or not; orphans are reaped here.

Data flow: /proc -> `living` -> judge.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from consilience.trials.sandbox.proctree import children, state

_PR_SET_CHILD_SUBREAPER = 36
_ENDED = ("", "Z", "X")  # states of proc_pid_stat(5); "" where there is no such process


@contextmanager
def gathering_orphans() -> Iterator[None]:
    """Become the parent of every orphan among our descendants, for a while; those that have ended are collected then.

    Not before: a child that is no orphan is for who started it to wait for.
    """
    libc, before = ctypes.CDLL(None, use_errno=True), frozenset(children(os.getpid()))
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
        for pid in frozenset(children(os.getpid())) - before:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def living(without: int) -> frozenset[int]:
    """Return the process ids of our living descendants.

    Args:
        without: a process that does not count.
    """
    found: set[int] = set()
    waiting = [os.getpid()]
    while waiting:
        below = [pid for pid in children(waiting.pop()) if pid != without]
        waiting += below
        found.update(pid for pid in below if state(pid) not in _ENDED)
    return frozenset(found)


def reap(pids: frozenset[int]) -> None:
    """Kill processes that were given to us as orphans and collect their ends."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)
