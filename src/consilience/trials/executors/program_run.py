"""Runs a whole program once, with a file as its input.

Rules:
    1. What decided comes first: time, flood, then how the process ended.
    2. The tree is dead before anything is judged.
    3. Its input is a copy that nobody can change: a program may open its own descriptors again, for writing too,
       through /proc/self/fd, and would reach the evaluator's file.

Data flow: Confinement, stdin -> sealed copy -> Child -> `run_program` -> Ended.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from consilience.core.outcome import Failure
from consilience.trials.executors.child import Child
from consilience.trials.executors.pipes import Pump, Tail
from consilience.trials.sandbox.confinement import ConfinedProcess, Confinement, Exit, Sandbox


class Ended(Struct, frozen=True, kw_only=True):
    """How one run went. `stopped` is set where the recorder ended it; texts are capped and untrusted."""

    exit: Exit
    stopped: Failure | None
    seconds: float
    stdout: str
    stderr: str


def run_program(sandbox: Sandbox, confinement: Confinement, stdin: Path, pump: Pump, deadline: float) -> Ended:
    """Run the program until it ends or reaches a limit.

    Args:
        sandbox: how it is held.
        confinement: what it may see and use.
        stdin: the file that it reads as its standard input.
        pump: carries its output, and that of whoever else is joined to it.
        deadline: a reading of `time.monotonic()`, in seconds.

    Raises:
        EnvironmentLacksError: the machine could not start it.
    """
    started = time.monotonic()
    child = _start(sandbox, confinement, stdin)
    try:
        child.join(pump)
        stopped = _watch(child, confinement, pump, deadline)
    finally:
        exit_ = child.end(pump)
    seconds = time.monotonic() - started
    output = _output(child)
    return Ended(
        exit=exit_,
        stopped=stopped or _flood(child, confinement),
        seconds=seconds,
        stdout=output.text(),
        stderr=child.log.text(),
    )


def _start(sandbox: Sandbox, confinement: Confinement, stdin: Path) -> Child:
    keep = 1024 * confinement.limits.output_kb
    with _unchangeable(stdin) as given:

        def starter(_pipe: int, stdout: int, stderr: int) -> ConfinedProcess:
            return sandbox.start(confinement, stdin=given.fileno(), stdout=stdout, stderr=stderr)

        child = Child(starter, lambda descriptor: Tail(descriptor, keep))
    child.inbox.close()
    return child


def _unchangeable(path: Path) -> BinaryIO:
    """Open a file's bytes for reading so that no process can write them.

    Source: memfd_create(2) and its seals. Systems other than Linux have neither them nor /proc/self/fd as a way
    back to a file.
    """
    if sys.platform != "linux":
        return path.open("rb")
    import fcntl  # noqa: PLC0415 - Windows lacks it

    copy = os.fdopen(os.memfd_create("stdin", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "w+b")
    with path.open("rb") as original:
        shutil.copyfileobj(original, copy)
    copy.seek(0)
    seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
    fcntl.fcntl(copy.fileno(), fcntl.F_ADD_SEALS, seals)
    return copy


def _watch(child: Child, confinement: Confinement, pump: Pump, deadline: float) -> Failure | None:
    if pump.run(lambda: child.ended or _flood(child, confinement) is not None, deadline):
        return None
    seconds = confinement.limits.wall_seconds
    return Failure(reason="timeout", message=f"it did not finish within the trial's {seconds:g} s")


def _flood(child: Child, confinement: Confinement) -> Failure | None:
    limit_kb = confinement.limits.output_kb
    if child.flooded(limit_kb) or child.flooded_by(_output(child).total, limit_kb):
        return Failure(reason="invalid_output", message=Child.flood_message(limit_kb))
    return None


def _output(child: Child) -> Tail:
    assert isinstance(child.answers, Tail)  # noqa: S101 - `_start` makes it so; for the type checker
    return child.answers
