"""A pool for functions that the user trusts: their own Python callables, not candidates' text. It is no sandbox.

Rules:
    1. The function runs in a worker forked from this process; a crash, a hang or a kill ends the worker, and the
       next trial gets a new one.
    2. At the limit of time the worker's whole tree is killed; what a task leaves running is killed after it.
    3. Outcomes say level `none` and domain `shared-process`. The function's figures of use are its own account.

Data flow: TrialRequest -> Task -> pebble's pool of one worker -> Report -> Outcome.

pebble (an extra) is used because its pool goes on after a worker has died; the standard library's does not.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from concurrent.futures import TimeoutError as NotInTimeError
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from consilience.core.errors import EnvironmentLacksError
from consilience.core.outcome import Failure, Isolation, Outcome, Resources
from consilience.core.ports import TrialRequest
from consilience.trials.executors import folders
from consilience.trials.executors.classify import ended_badly
from consilience.trials.executors.pool_worker import LOG, WORKER, Evaluate, Report, Task, adopt, work
from consilience.trials.sandbox.confinement import Exit
from consilience.trials.sandbox.proctree import Usage, await_stop, descendants, state, usage

_STOP_SECONDS = 0.5
_LOOK_SECONDS = 0.2
_LOG_BYTES = 64 * 1024


class PoolExecutor:
    """Runs ``evaluate(parameters, seed)`` in a forked worker.

    Args:
        evaluate: the user's function: parameter values by name and a seed in, a number or numbers by name out.
        metric: the objective's name, which a bare number is given.
        work_dir: the folder below which tasks write.

    Raises:
        EnvironmentLacksError: pebble is not installed.
    """

    def __init__(self, evaluate: Evaluate, metric: str, work_dir: Path) -> None:
        self._metric = metric
        self._work_dir = work_dir
        self._pebble = _pebble()
        fork = multiprocessing.get_context("fork")
        self._pool = self._pebble.ProcessPool(max_workers=1, context=fork, initializer=adopt, initargs=(evaluate,))

    @property
    def isolation(self) -> Isolation:
        """The function is held by nothing."""
        return Isolation(level="none", domain="shared-process", execution="fork")

    def run(self, request: TrialRequest) -> Outcome:
        """Run one trial to its outcome.

        Raises:
            EnvironmentLacksError: the machine could not write a file.
        """
        with folders.trial_folder(self._work_dir) as folder:
            started = time.monotonic()
            task = Task(
                parameters=request.artifact.parameters,
                seed=request.seed,
                metric=self._metric,
                folder=str(folder),
                limits=request.limits,
            )
            report = self._report(task)
            failure = Failure(reason=report.reason, message=report.message) if report.reason else None
            wall_ms = round(1000 * (time.monotonic() - started))
            return Outcome(
                metrics=report.metrics,
                failure=failure,
                resources=Resources(wall_ms=wall_ms, cpu_ms=report.cpu_ms, memory_kb=report.memory_kb),
                isolation=self.isolation,
                log=_tail(folder / LOG),
            )

    def close(self) -> None:
        """End the worker."""
        self._pool.stop()
        self._pool.join()

    def _report(self, task: Task) -> Report:
        worker = _Worker(Path(task.folder))
        future = self._pool.schedule(work, args=(task,))
        try:
            report = _answer(future, worker, time.monotonic() + task.limits.wall_seconds)
        except NotInTimeError:
            used = worker.kill()
            message = f"the function did not answer within the trial's {task.limits.wall_seconds:g} s"
            return Report(reason="timeout", message=message, cpu_ms=used.cpu_ms, memory_kb=used.memory_kb)
        except self._pebble.ProcessExpired as error:
            return _expired(int(error.exitcode or 0), task)
        except BaseException:  # Ctrl-C while waiting: the worker must not go on alone
            worker.kill()
            raise
        finally:
            future.cancel()  # of no effect on one that is done
        _kill_below(worker.pid)
        return report or _expired(0, task)


def _answer(future: Any, worker: _Worker, deadline: float) -> Report | None:
    """Wait for the answer; None when the worker has left without one, which pebble does not see at exit code 0."""
    gone_before = False
    while True:
        left = deadline - time.monotonic()
        try:
            report: Report = future.result(timeout=max(0.0, min(left, _LOOK_SECONDS)))
        except NotInTimeError:
            if left <= _LOOK_SECONDS:
                raise
            if gone_before and worker.gone:
                return None
            gone_before = worker.gone
        else:
            return report


class _Worker:
    """The process that has taken a task, which has left its number in the task's folder."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / WORKER

    @property
    def pid(self) -> int:
        """Its process id; 0 when none has taken the task yet."""
        try:
            return int(self._file.read_text() or 0)
        except OSError:
            return 0

    @property
    def gone(self) -> bool:
        """Tell whether it had the task and has ended."""
        pid = self.pid
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        return False  # 0 asks about this process, which is there

    def kill(self) -> Usage:
        """Kill it with all that is below it, and return what they had used. The pool starts another."""
        pid = self.pid
        if pid == 0 or self.gone:
            return Usage()
        os.kill(pid, signal.SIGSTOP)
        await_stop(pid, _STOP_SECONDS)
        used = usage([pid, *descendants(pid)])
        _kill_below(pid)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return used


def _kill_below(pid: int) -> None:
    """Kill what a worker has started, until nothing alive is left of it."""
    while alive := [below for below in descendants(pid) if state(below) not in {"Z", ""}]:
        for below in alive:
            with suppress(ProcessLookupError):
                os.kill(below, signal.SIGKILL)


def _expired(code: int, task: Task) -> Report:
    """Say how a worker ended that we have not killed; a negative code is a signal's number."""
    exit_ = Exit(code=max(code, 0), signal=max(-code, 0), cpu_ms=0, memory_kb=0)
    failure = ended_badly(exit_, task.limits, _tail(Path(task.folder) / LOG))
    return Report(reason=failure.reason, message=failure.message)


def _tail(file: Path) -> str:
    try:
        with file.open("rb") as log:
            log.seek(max(0, file.stat().st_size - _LOG_BYTES))
            return log.read(_LOG_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


def _pebble() -> ModuleType:
    try:
        import pebble  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise EnvironmentLacksError(
            "running a Python function as the evaluator needs pebble", hint="pip install 'consilience[pool]'"
        ) from error
    return pebble
