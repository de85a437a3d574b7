"""A descriptor that becomes readable when a process ends: a pidfd on Linux, a kernel queue on macOS and the BSDs.

Rules:
    1. Watching reaps nothing: the process stays a zombie until its owner waits for it.
    2. A process that has ended already is seen at once.

Data flow: pid -> `exit_descriptor` -> a poll loop; whoever asked closes it.
Source: pidfd_open(2), Linux 5.3; kqueue(2), EVFILT_PROC with NOTE_EXIT.
"""

from __future__ import annotations

import os
import select
from typing import Any

_Kernel: Any = select  # its kqueue part is not there on Linux, where type checkers look


def exit_descriptor(pid: int) -> int:
    """Return a new descriptor, which the caller closes: it becomes readable when this child has ended."""
    if hasattr(os, "pidfd_open"):
        return os.pidfd_open(pid)
    queue = _Kernel.kqueue()
    try:
        flags = _Kernel.KQ_EV_ADD | _Kernel.KQ_EV_ONESHOT
        queue.control([_Kernel.kevent(pid, _Kernel.KQ_FILTER_PROC, flags, _Kernel.KQ_NOTE_EXIT)], 0, 0)
        return os.dup(queue.fileno())
    except ProcessLookupError:
        return _readable()
    finally:
        queue.close()


def is_readable(descriptor: int, seconds: float | None = None) -> bool:
    """Wait until a descriptor can be read, and tell whether it was in time; None waits for ever."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(None if seconds is None else max(0, round(seconds * 1000))))


def _readable() -> int:
    """Return the end of a pipe that nobody writes to: it can be read at once."""
    reader, writer = os.pipe()
    os.close(writer)
    return reader
