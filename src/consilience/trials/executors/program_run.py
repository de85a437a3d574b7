"""Runs a whole program once, with a file as its input, and watches what no limit of the kernel's does.

Rules:
    1. What decided comes first: time, flood, a full folder, then how the process ended.
    2. The tree is dead before anything is judged.
    3. The size of the program's folder is looked at every quarter of a second: a soft limit.

Data flow: Confinement, stdin -> Child -> `run_program` -> Ended.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from msgspec import Struct

from consilience.core.outcome import Failure
from consilience.trials.executors.child import Child
from consilience.trials.executors.pipes import Pump, Tail
from consilience.trials.sandbox.confinement import ConfinedProcess, Confinement, Exit, Sandbox

LOOK_SECONDS = 0.25  # disks here take some 100 MB in that time
MAXIMUM_ENTRIES = 20_000  # files and folders; a checkpoint of a large model is some hundred files
_BLOCK = 512  # bytes in a unit of st_blocks, stat(2)


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
    with stdin.open("rb") as given:

        def starter(_pipe: int, stdout: int, stderr: int) -> ConfinedProcess:
            return sandbox.start(confinement, stdin=given.fileno(), stdout=stdout, stderr=stderr)

        child = Child(starter, lambda descriptor: Tail(descriptor, keep))
    child.inbox.close()
    return child


def _watch(child: Child, confinement: Confinement, pump: Pump, deadline: float) -> Failure | None:
    while True:
        look = min(deadline, time.monotonic() + LOOK_SECONDS)
        if pump.run(lambda: child.ended or _flood(child, confinement) is not None, look):
            return _full(confinement)
        if look == deadline:
            seconds = confinement.limits.wall_seconds
            return Failure(reason="timeout", message=f"it did not finish within the trial's {seconds:g} s")
        if full := _full(confinement):
            return full


def _flood(child: Child, confinement: Confinement) -> Failure | None:
    limit_kb = confinement.limits.output_kb
    if child.flooded(limit_kb) or child.flooded_by(_output(child).total, limit_kb):
        return Failure(reason="invalid_output", message=Child.flood_message(limit_kb))
    return None


def _full(confinement: Confinement) -> Failure | None:
    """Say that the program's folder holds more than it may, if it does."""
    most = confinement.scratch_mb << 20
    size, entries = folder_use(Path(confinement.work_dir), most)
    if size <= most and entries <= MAXIMUM_ENTRIES:
        return None
    message = f"it filled its folder with over {confinement.scratch_mb} MB or {MAXIMUM_ENTRIES} files"
    return Failure(reason="invalid_output", message=message)


def folder_use(folder: Path, most: int) -> tuple[int, int]:
    """Return the bytes on disk and the number of entries below a folder; stop counting once either is too much."""
    size = entries = 0
    waiting = [str(folder)]
    while waiting and size <= most and entries <= MAXIMUM_ENTRIES:
        used, count, inner = _count(waiting.pop())
        size, entries = size + used, entries + count
        waiting += inner
    return size, entries


def _count(folder: str) -> tuple[int, int, list[str]]:
    """Return bytes, number of entries and folders of one folder; what vanishes or is closed to us counts nothing."""
    size, entries, inner = 0, 0, []
    try:
        with os.scandir(folder) as found:
            for entry in found:
                entries += 1
                size += entry.stat(follow_symlinks=False).st_blocks * _BLOCK
                if entry.is_dir(follow_symlinks=False):
                    inner.append(entry.path)
                if entries > MAXIMUM_ENTRIES:
                    break
    except OSError:
        return size, entries, inner
    return size, entries, inner


def _output(child: Child) -> Tail:
    assert isinstance(child.answers, Tail)  # noqa: S101 - `_start` makes it so; for the type checker
    return child.answers
