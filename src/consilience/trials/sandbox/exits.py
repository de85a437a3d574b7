"""A descriptor that becomes readable when a process ends: a pidfd on Linux, a kernel queue on macOS and the BSDs.

Rules:
    1. Watching reaps nothing: the process stays a zombie until its owner waits for it.
    2. A process that has ended already is seen at once.

Data flow: pid -> EndOfProcess.descriptor -> a poll loop.
Source: pidfd_open(2), Linux 5.3; kqueue(2), EVFILT_PROC with NOTE_EXIT.
"""

from __future__ import annotations

import os
import select
from typing import Any


class EndOfProcess:
    """Watches one child. `ended` is true where it was found ended already and the descriptor tells nothing."""

    def __init__(self, pid: int) -> None:
        self.ended = False
        self._queue: Any = None
        if hasattr(os, "pidfd_open"):
            self.descriptor = os.pidfd_open(pid)
            return
        self._queue = _Kernel.kqueue()
        self.descriptor = int(self._queue.fileno())
        self._watch(pid)

    def close(self) -> None:
        """Close the descriptor."""
        if self._queue is None:
            os.close(self.descriptor)
        else:
            self._queue.close()

    def _watch(self, pid: int) -> None:
        flags = _Kernel.KQ_EV_ADD | _Kernel.KQ_EV_ONESHOT
        event = _Kernel.kevent(pid, _Kernel.KQ_FILTER_PROC, flags, _Kernel.KQ_NOTE_EXIT)
        try:
            self._queue.control([event], 0, 0)
        except ProcessLookupError:
            self.ended = True


_Kernel: Any = select  # its kqueue part is not there on Linux, where type checkers look
