"""A started process with its tree: waiting, measuring, watching its memory, killing all of it.

Rules:
    1. Reaped exactly once, by wait4, from whichever of `wait` and `kill` comes first; never a zombie.
    2. Where the outermost process is our own helper, the confined processes are killed first and the helper
       is left to reap them, so that their CPU time is counted.
    3. What is exact: CPU and exit of a process that may not fork. Lower bound: CPU of descendants that were
       killed before anybody waited for them (sampled just before the kill). Upper bound: memory, when it is
       below what this process itself had, because the kernel counts the pages held between fork and exec.
    4. A tree that overruns a sum is killed as a whole, whoever found it out: the kernel or the watchdog.

Data flow: subprocess.Popen -> HeldProcess <- Watchdog (every 50 ms where there are sums to keep) -> Exit.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from consilience.trials.sandbox.cgroups import Group
from consilience.trials.sandbox.confinement import Exit, Overrun
from consilience.trials.sandbox.exits import is_readable
from consilience.trials.sandbox.proctree import Usage, await_stop, children, descendants, usage
from consilience.trials.sandbox.room import Gauge
from consilience.trials.sandbox.watchdog import WATCHDOG

try:
    import resource
except ImportError:  # Windows, where nothing here is started: `probe` says so
    resource = None  # type: ignore[assignment]

_T = TypeVar("_T")
_SIGNAL_BASE = 128  # a helper reports a child killed by signal N as exit code 128 + N
_LAST_SIGNAL = 64
_GRACE_SECONDS = 5.0
_STOP_SECONDS = 0.5
_ENOUGH_SAMPLES = 3  # of a tree's memory, to take their peak for its own: one at its start shows only the helper
_MAXIMUM_SAMPLED = 1024  # a tree larger than this is not measured to its last process before it is killed


class Ceiling(Struct, frozen=True):
    """What a whole tree may use before the watchdog kills it."""

    memory_kb: int
    cpu_ms: int
    processes: int

    def over(self, now: Usage) -> Overrun:
        """Say what is over, or ""."""
        if now.memory_kb > self.memory_kb:
            return "memory"
        if now.cpu_ms > self.cpu_ms:
            return "cpu"
        return "processes" if now.processes > self.processes else ""


class Sums(Struct, frozen=True, kw_only=True):
    """What is kept of a tree as a whole: None where nothing is."""

    ceiling: Ceiling | None = None
    gauge: Gauge | None = None
    group: Group | None = None


class HeldProcess:
    """The processes below one helper (bubblewrap, or our warden), which dies when they do."""

    def __init__(self, process: subprocess.Popen[bytes], sums: Sums, *, report: int | None = None) -> None:
        self._process = process
        self._sums = sums
        self._overran: Overrun = ""
        self._report = report
        self._floor_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self._lock = threading.Lock()
        self._peak = Usage()
        self._samples = 0
        self._exit: Exit | None = None
        self._ready = os.pidfd_open(process.pid)
        if sums.ceiling is not None or sums.gauge is not None:
            WATCHDOG.watch(self._look)

    @property
    def pid(self) -> int:
        """The helper's process id on the host."""
        return self._process.pid

    def exit_descriptor(self) -> int:
        """Return a new pidfd, which the caller closes: it becomes readable when the helper has ended."""
        return os.dup(self._ready)

    def wait(self, timeout_seconds: float | None = None) -> Exit | None:
        """Reap it and return how it ended, or None when it is still running after the timeout."""
        if self._exit is None and self._ended(timeout_seconds):
            self._reap()
        return self._exit

    def kill(self) -> Exit:
        """Kill the whole tree, reap it, and return how it ended."""
        if self._exit is None:
            self._sample(_MAXIMUM_SAMPLED)
            self._kill_tree()
        if not self._ended(_GRACE_SECONDS):
            self._send(signal.SIGKILL)
            self._ended(None)
        return self._reap()

    def stop(self) -> None:
        """Kill the whole tree and leave the reaping to `wait` or `kill`; for another thread to call."""
        self._kill_tree()

    def _ended(self, timeout_seconds: float | None) -> bool:
        if self._exit is not None:
            return True
        return is_readable(self._ready, timeout_seconds)

    def _reap(self) -> Exit:
        with self._lock:
            if self._exit is None:
                with suppress(ProcessLookupError):  # the helper's group: what it had not yet bound to its own life
                    os.killpg(self._process.pid, signal.SIGKILL)
                _pid, status, used = os.wait4(self._process.pid, 0)
                self._process.returncode = os.waitstatus_to_exitcode(status)
                os.close(self._ready)
                self._settle_group()
                self._exit = self._describe(self._process.returncode, *self._used(used))
            return self._exit

    def _settle_group(self) -> None:
        if self._sums.group is not None:
            if self._sums.group.kills():
                self._overran = "memory"
            self._sums.group.remove()

    def _used(self, used: resource.struct_rusage) -> tuple[int, int]:
        """Return CPU milliseconds and memory of the tree: the warden's report where there is one."""
        if self._report is not None:
            with os.fdopen(self._report, "rb") as file:
                figures = os.pread(file.fileno(), 64, 0).split()
            if figures:
                return int(figures[0]), int(figures[1])
        informative = used.ru_maxrss > self._floor_kb or self._samples < _ENOUGH_SAMPLES
        return round((used.ru_utime + used.ru_stime) * 1000), used.ru_maxrss if informative else 0

    def _describe(self, code: int, cpu_ms: int, memory_kb: int) -> Exit:
        if code < 0:
            code = _SIGNAL_BASE - code
        number = code - _SIGNAL_BASE if _SIGNAL_BASE < code <= _SIGNAL_BASE + _LAST_SIGNAL else 0
        return Exit(
            code=0 if number else code,
            signal=number,
            cpu_ms=max(cpu_ms, self._peak.cpu_ms),
            memory_kb=max(memory_kb, self._peak.memory_kb, self._least_kb()),
            inherited_kb=self._floor_kb,
            overran=self._overran,
        )

    def _kill_tree(self) -> None:
        """Stop the helper so that it cannot start anything, kill what it holds, and let it reap.

        A helper that holds nothing yet is killed itself.
        """
        self._send(signal.SIGSTOP)
        await_stop(self._process.pid, _STOP_SECONDS)
        held = self._with_lock(self._kill_held)
        self._send(signal.SIGCONT if held else signal.SIGKILL)

    def _kill_held(self) -> bool:
        """Kill what hangs below the helper: the roots with their process groups at one stroke, then the rest."""
        roots = children(self._process.pid)
        for pid in roots:
            for kill in (os.killpg, os.kill):
                with suppress(ProcessLookupError):
                    kill(pid, signal.SIGKILL)
        for pid in descendants(self._process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return bool(roots)

    def _send(self, number: signal.Signals) -> None:
        self._with_lock(lambda: os.kill(self._process.pid, number))

    def _with_lock(self, action: Callable[[], _T]) -> _T | None:
        """Act on the process ids only while they are certainly ours: before the reaping."""
        with self._lock:
            return action() if self._exit is None else None

    def _sample(self, at_most: int | None = None) -> Usage:
        with self._lock:
            now = usage(descendants(self._process.pid, at_most=at_most)) if self._exit is None else Usage()
            if self._sums.group is not None and self._exit is None:
                now = replace(now, memory_kb=self._sums.group.memory_kb())
            self._samples += 1
            self._peak = Usage(
                max(now.cpu_ms, self._peak.cpu_ms),
                max(now.memory_kb, self._peak.memory_kb),
                max(now.processes, self._peak.processes),
            )
            return now

    def _least_kb(self) -> int:
        """Return what a tree used at least that the kernel stopped at its limit, between two samples."""
        ceiling = self._sums.ceiling
        return ceiling.memory_kb if ceiling and self._overran == "memory" else 0

    def _look(self) -> bool:
        """Have the tree killed once it is over; False when there is nothing more to look after."""
        self._overran = self._overran or self._find_overrun()
        if self._overran:
            threading.Thread(target=self._kill_tree, daemon=True).start()
        return not self._overran and self._exit is None

    def _find_overrun(self) -> Overrun:
        sums = self._sums
        if sums.group is not None and sums.group.kills():
            return "memory"
        if sums.ceiling is not None and (over := sums.ceiling.over(self._sample(sums.ceiling.processes))):
            return over
        over_room = sums.gauge is not None and self._with_lock(self._over_room)
        return "room" if over_room else ""

    def _over_room(self) -> bool:
        return self._sums.gauge is not None and self._sums.gauge.over(self._process.pid)
