"""A candidate's process that a warm one has forked: waited for, killed, and what its parent says of its end.

Rules:
    1. The recorder kills and watches it by a pidfd, which no other process can come to mean.

Data flow: pidfd, Word of its parent -> ForkedProcess -> Exit.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from consilience.trials.sandbox.confinement import Exit
from consilience.trials.sandbox.exits import is_readable


class Word(Struct, frozen=True, kw_only=True):
    """What the warm process says."""

    ready: bool = False
    unfit: str = ""
    started: bool = False
    status: int | None = None
    cpu_ms: int = 0
    memory_kb: int = 0
    own_kb: int = 0


class ForkedProcess:
    """A candidate's process, forked from a warm one."""

    def __init__(self, ended: Callable[[], Word], pidfd: int) -> None:
        """Take over a pidfd; `ended` waits for its parent's word of its end, and is called once."""
        self._parents_word = ended
        self._pidfd = pidfd
        self._exit: Exit | None = None

    @property
    def pid(self) -> int:
        """Its process id on the host, or -1 once it is reaped."""
        for line in Path(f"/proc/self/fdinfo/{self._pidfd}").read_text().splitlines():
            if line.startswith("Pid:"):
                return int(line.split()[1])
        return -1

    def exit_descriptor(self) -> int:
        """Return a new pidfd, which the caller closes: it becomes readable when the process has ended."""
        return os.dup(self._pidfd)

    def wait(self, timeout_seconds: float | None = None) -> Exit | None:
        """Return how it ended, or None when it is still running after the timeout."""
        if self._exit is None and self._ended(timeout_seconds):
            self._exit = self._describe(self._parents_word())
            os.close(self._pidfd)
        return self._exit

    def kill(self) -> Exit:
        """Kill it, and return how it ended. It could start no other process."""
        if self._exit is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        while (exit_ := self.wait()) is None:
            continue  # without a timeout there is an end
        return exit_

    def _ended(self, timeout_seconds: float | None) -> bool:
        return is_readable(self._pidfd, timeout_seconds)

    def _describe(self, word: Word) -> Exit:
        status = word.status or 0
        return Exit(
            code=max(status, 0),
            signal=max(-status, 0),
            cpu_ms=word.cpu_ms,
            memory_kb=word.memory_kb,
            inherited_kb=word.own_kb,
        )
