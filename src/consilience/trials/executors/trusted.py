"""A trusted process: plain, in a session of its own, without a sandbox.

Rules:
    1. Only the evaluator of a split problem is run so: the code of the problem's owner.
    2. Killing it kills its process group; it is reaped exactly once.

Data flow: argv, folder, environment, descriptors -> `start_trusted` -> ConfinedProcess.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from consilience.core.errors import EnvironmentLacksError
from consilience.trials.sandbox.confinement import ConfinedProcess, Exit

POLL_SECONDS = 0.002


def start_trusted(
    argv: Sequence[str], folder: Path, environment: Mapping[str, str], streams: tuple[int, int, int]
) -> ConfinedProcess:
    """Start a trusted process with these three descriptors and no other.

    Raises:
        EnvironmentLacksError: the machine could not start it.
    """
    stdin, stdout, stderr = streams
    try:
        process = subprocess.Popen(  # noqa: S603 - the problem's own interpreter
            argv, stdin=stdin, stdout=stdout, stderr=stderr, cwd=folder, env=environment, start_new_session=True
        )
    except OSError as error:
        raise EnvironmentLacksError(
            f"cannot start {argv[0]}: {error.strerror}", hint="check the problem's interpreter and free memory"
        ) from error
    return _Trusted(process)


class _Trusted:
    """The started process."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._exit: Exit | None = None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def exit_descriptor(self) -> int:
        """Return a new pidfd, which the caller closes: it becomes readable when the process has ended."""
        return os.pidfd_open(self.pid)

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
                cpu_ms = round(1000 * (usage.ru_utime + usage.ru_stime))
                self._exit = Exit(
                    code=max(code, 0),
                    signal=max(-code, 0),
                    cpu_ms=cpu_ms,
                    memory_kb=usage.ru_maxrss,
                    inherited_kb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
                )
        return self._exit
