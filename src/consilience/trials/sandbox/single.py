"""One process without descendants of its own: started in a session of its own, waited for, killed, measured.

Rules:
    1. Killing it kills its process group; it is reaped exactly once.
    2. Nothing here is Linux's own: it is the part of process handling that macOS has too (wait4(2), killpg(2)).

Data flow: subprocess.Popen -> SingleProcess -> Exit.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

from consilience.trials.sandbox.confinement import Exit
from consilience.trials.sandbox.exits import exit_descriptor

try:
    import resource
except ImportError:  # Windows, where nothing here is started: `probe` says so
    resource = None  # type: ignore[assignment]

POLL_SECONDS = 0.002


class SingleProcess:
    """A started process that leads a session."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._exit: Exit | None = None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def exit_descriptor(self) -> int:
        """Return a new descriptor, which the caller closes: it becomes readable when the process has ended."""
        return exit_descriptor(self.pid)

    def wait(self, timeout_seconds: float | None = None) -> Exit | None:
        """Reap it if it ends in time."""
        if timeout_seconds is None:
            return self._reap(0)
        deadline = time.monotonic() + timeout_seconds
        while self._reap(os.WNOHANG) is None and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        return self._exit

    def kill(self) -> Exit:
        """Kill its process group and reap it."""
        with contextlib.suppress(ProcessLookupError):  # nothing is left of the group
            os.killpg(self.pid, signal.SIGKILL)
        while (ended := self._reap(0)) is None:
            pass
        return ended

    def _reap(self, flags: int) -> Exit | None:
        if self._exit is None:
            pid, status, usage = os.wait4(self.pid, flags)
            if pid:
                code = self._process.returncode = os.waitstatus_to_exitcode(status)
                self._exit = Exit(
                    code=max(code, 0),
                    signal=max(-code, 0),
                    cpu_ms=round(1000 * (usage.ru_utime + usage.ru_stime)),
                    memory_kb=peak_kb(usage.ru_maxrss),
                    inherited_kb=peak_kb(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss),
                )
        return self._exit


def peak_kb(maximum: int) -> int:
    """Return a peak of resident memory in kB: getrusage(2) counts kB on Linux, bytes on macOS."""
    return maximum // 1024 if sys.platform == "darwin" else maximum
