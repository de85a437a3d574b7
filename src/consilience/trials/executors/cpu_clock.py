"""The CPU time of a running process, by the kernel's clock: nanoseconds, where /proc counts in hundredths of a second.

Rules:
    1. It is read from outside; the process cannot change it.
    2. A process that is gone, and a system without such clocks, count as 0.

Data flow: pid of a tree's outermost process -> TreeClock -> executors.
Source of the clock's number: MAKE_PROCESS_CPUCLOCK in the kernel's include/linux/posix-timers_types.h, which is what
clock_getcpuclockid(3) returns; Python has no call for it.
"""

from __future__ import annotations

import time

from consilience.trials.sandbox.proctree import descendants

_PID_SHIFT, _SCHEDULER_CLOCK = 3, 2  # CPUCLOCK_SCHED: what the scheduler has counted


class TreeClock:
    """The CPU time of a process and of what it has started by the first reading.

    A called candidate may start no process, so its tree does not grow; finding it costs more than reading it.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._tree: tuple[int, ...] = ()

    def seconds(self) -> float:
        """Return what they have used so far, together."""
        self._tree = self._tree or (self._pid, *descendants(self._pid))
        return sum(cpu_seconds(pid) for pid in self._tree)


def cpu_seconds(pid: int) -> float:
    """Return what one process has used, all its threads together."""
    try:
        return time.clock_gettime((~pid << _PID_SHIFT) | _SCHEDULER_CLOCK)
    except (OSError, OverflowError):
        return 0.0
