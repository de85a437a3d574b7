"""A called process with what is between us and it: its CPU time by the kernel's clock, and holding it still.

Rules:
    1. CPU time is read from outside, in nanoseconds; /proc counts in hundredths of a second.
    2. A process that is gone, and a system without such clocks, count as 0.
    3. What is held still uses no CPU: neither its threads nor its timers run until it is let go.

Data flow: pid of the outermost process -> Tree -> seconds, signals.
Source of the clock's number: MAKE_PROCESS_CPUCLOCK in the kernel's include/linux/posix-timers_types.h, which is what
clock_getcpuclockid(3) returns; Python has no call for it. A namespace's first process obeys SIGSTOP from outside:
pid_namespaces(7).
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

from consilience.trials.sandbox.proctree import descendants

_PID_SHIFT, _SCHEDULER_CLOCK = 3, 2  # CPUCLOCK_SCHED: what the scheduler has counted


class Tree:
    """The processes from the outermost inwards, as they are when first asked for.

    A called candidate may start no process, so they stay the same; finding them costs more than reading them.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._found: tuple[int, ...] = ()

    def cpu_seconds(self) -> float:
        """Return what they have used so far, together."""
        return sum(cpu_seconds(pid) for pid in self._pids)

    def hold(self) -> None:
        """Hold the innermost still."""
        self._signal(signal.SIGSTOP)

    def let_go(self) -> None:
        """Let it go on, if it was ever held."""
        if self._found:
            self._signal(signal.SIGCONT)

    @property
    def _pids(self) -> tuple[int, ...]:
        if not self._found and self._pid > 0:  # a process that is gone already may have been reported as -1
            self._found = (self._pid, *descendants(self._pid))
        return self._found

    def _signal(self, number: signal.Signals) -> None:
        for pid in self._pids[-1:]:
            with suppress(ProcessLookupError):
                os.kill(pid, number)


def cpu_seconds(pid: int) -> float:
    """Return what one process has used, all its threads together."""
    try:
        return time.clock_gettime((~pid << _PID_SHIFT) | _SCHEDULER_CLOCK)
    except (OSError, OverflowError):
        return 0.0
