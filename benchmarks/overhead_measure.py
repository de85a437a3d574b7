"""Runs a command and accounts for its whole process tree: CPU, wall time, and processes left behind.

Rules:
    1. What is counted is what the kernel adds up for reaped descendants (RUSAGE_CHILDREN). The command runs below a
       measurer of its own, which adopts orphans, so that nothing detaches from the account.
    2. The measurer itself is not counted. Processes that outlive the command are killed and counted as left behind.

Data flow: command -> this file as a script (the measurer) -> command -> report file -> Measure.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from msgspec import Struct
from msgspec.json import decode

_PR_SET_CHILD_SUBREAPER = 36
_GRACE_SECONDS = 2.0


class Measure(Struct, frozen=True, kw_only=True):
    """One run: exit code, wall and whole-tree CPU in seconds, and how many processes outlived the command."""

    code: int
    wall: float
    cpu: float
    left_behind: int


def measure(command: list[str], environment: dict[str, str]) -> Measure:
    """Run a command to its end and account for its whole tree.

    Raises:
        SystemExit: it failed.
    """
    with tempfile.NamedTemporaryFile() as report:
        line = [sys.executable, __file__, report.name, *command]
        done = subprocess.run(line, env=environment, capture_output=True, check=False)
        found = decode(Path(report.name).read_bytes() or b"null", type=Measure | None)
    if found is None or found.code:
        output = (done.stdout + done.stderr).decode(errors="replace")
        raise SystemExit(f"{' '.join(command)} failed:\n{output[-2000:]}")
    return found


def _account(command: list[str]) -> dict[str, float]:
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    start = time.perf_counter()
    process = subprocess.Popen(command)
    code = process.wait()
    wall = time.perf_counter() - start
    left_behind = _reap_orphans()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"code": code, "wall": wall, "cpu": used.ru_utime + used.ru_stime, "left_behind": left_behind}


def _reap_orphans() -> int:
    """Reap what the command left behind, killing it after a grace period."""
    count, deadline = 0, time.monotonic() + _GRACE_SECONDS
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return count
        count += bool(pid)
        if not pid and time.monotonic() > deadline:
            _kill_children()
        time.sleep(0 if pid else 0.01)


def _kill_children() -> None:
    for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        os.kill(int(pid), signal.SIGKILL)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(_account(sys.argv[2:])))
