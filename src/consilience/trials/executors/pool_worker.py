"""The worker's side of the pool: calls the owner's function once for each task, and says what came of it.

Rules:
    1. It runs in a process forked from the caller's: the function is inherited, never pickled.
    2. What goes back is plain: numbers by name, or a description of what went wrong.
    3. Limits of CPU and memory are the kernel's, counted from where the task starts.

Data flow: Task -> the function -> Report.
"""

from __future__ import annotations

import ctypes
import math
import os
import resource
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from consilience.core.outcome import FailureReason
from consilience.core.problem import Limits, ParameterValue
from consilience.trials.executors.classify import capped, reason_of
from consilience.trials.harness import harness_wire
from consilience.trials.sandbox.single import peak_kb

Evaluate = Callable[[dict[str, ParameterValue], int], "float | Mapping[str, float]"]

LOG, WORKER = "log", "worker"  # files in a task's folder: what is printed, and the number of who has taken it
_PR_SET_CHILD_SUBREAPER = 36  # prctl(2): orphans below the worker stay below it, where they are found and killed
_PR_SET_PDEATHSIG = 1  # the worker holds the caller's locks by inheritance, so it ends when the caller does
_evaluate: list[Evaluate] = []  # the one function of this worker


class Task(Struct, frozen=True, kw_only=True):
    """One call. `folder` is where it runs; what it writes there is thrown away."""

    parameters: dict[str, ParameterValue]
    seed: int
    metric: str
    folder: str
    limits: Limits


class Report(Struct, frozen=True, kw_only=True):
    """What came of a call: metrics, or a reason with a message; and what it used, by its own account."""

    metrics: dict[str, float] = {}
    reason: FailureReason | None = None
    message: str = ""
    cpu_ms: int = 0
    memory_kb: int = 0


def adopt(evaluate: Evaluate) -> None:
    """Prepare a fresh worker."""
    _evaluate[:] = [evaluate]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the caller, who ends us
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)  # a notebook's are none
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def work(task: Task) -> Report:
    """Call the function."""
    cpu_before = _cpu_seconds()
    _enter(Path(task.folder))
    _limit(task.limits, cpu_before)
    try:
        harness_wire.seed_all(task.seed)
        report = _judged(_evaluate[0](dict(task.parameters), task.seed), task.metric)
    except BaseException as error:  # noqa: BLE001 - the named boundary: the function is foreign to us
        traceback.print_exception(type(error), error, error.__traceback__)
        described = harness_wire.describe(error)
        reason = reason_of(described["type"], described["errno"])
        report = Report(reason=reason, message=capped(f"{described['type']}: {described['message']}"))
    sys.stdout.flush()
    sys.stderr.flush()
    used = math.ceil(1000 * (_cpu_seconds() - cpu_before))
    peak = peak_kb(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return Report(
        metrics=report.metrics, reason=report.reason, message=report.message, cpu_ms=max(1, used), memory_kb=peak
    )


def _enter(folder: Path) -> None:
    """Go to the task's folder, and let what is printed go to a file in it."""
    (folder / WORKER).write_text(str(os.getpid()))
    os.chdir(folder)
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    log = os.open(folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)


def _limit(limits: Limits, cpu_before: float) -> None:
    """Set the soft limits, so that the next task's can be others."""
    _soft(resource.RLIMIT_CPU, math.ceil(cpu_before + limits.cpu_seconds))
    size = _address_space()
    if size:
        _soft(resource.RLIMIT_AS, size + (limits.memory_mb << 20))


def _soft(number: int, value: int) -> None:
    hard = resource.getrlimit(number)[1]
    resource.setrlimit(number, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def _address_space() -> int:
    """Return what the worker has by inheritance, in bytes; 0 where the system does not say (proc_pid_statm(5))."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _cpu_seconds() -> float:
    own, below = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + below.ru_utime + below.ru_stime


def _judged(value: Any, metric: str) -> Report:
    """Take a number, or numbers by name, and nothing else."""
    named = value if isinstance(value, Mapping) else {metric: value}
    metrics: dict[str, float] = {}
    for name, found in named.items():
        number = found.item() if hasattr(found, "item") else found
        if type(number) not in {int, float} or not isinstance(name, str):
            message = f"the function returned {type(found).__name__} for {name!r}, expected a number"
            return Report(reason="invalid_output", message=capped(message))
        if not math.isfinite(number):
            return Report(reason="non_finite", message=capped(f"{name} = {number}"))
        metrics[name] = float(number)
    if metric not in metrics:
        found = ", ".join(sorted(metrics)) or "nothing"
        message = f"the function returned no metric {metric!r}; it returned {found}"
        return Report(reason="missing_metric", message=capped(message))
    return Report(metrics=metrics)
