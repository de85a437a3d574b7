"""A sandbox at each level that this machine can enforce; one that it cannot is skipped with the reason."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from consilience.core.outcome import IsolationLevel
from consilience.core.problem import Limits
from consilience.trials.sandbox.confinement import ConfinedProcess, Confinement, Exit, Sandbox
from consilience.trials.sandbox.probe import Probe, open_sandbox, probe_sandboxes, unsafe_sandbox
from consilience.trials.sandbox.proctree import descendants
from consilience.trials.sandbox.tools import Tools, find_tools

HELD: tuple[IsolationLevel, ...] = ("strong", "restricted")
ALL: tuple[IsolationLevel, ...] = (*HELD, "none")
SYSTEM_PYTHON = "/usr/bin/python3"


class Done(NamedTuple):
    exit: Exit
    out: str
    err: str


class Bench:
    """One sandbox with the folders of a trial."""

    def __init__(self, sandbox: Sandbox, interpreter: str, root: Path) -> None:
        self.sandbox, self.interpreter = sandbox, interpreter
        self.work, self.scratch = root / "work", root / "scratch"
        for folder in (self.work, self.scratch):
            folder.mkdir()
            folder.chmod(0o777)

    def confinement(self, code: str, *, may_fork: bool = False, **changes: object) -> Confinement:
        fields: dict[str, object] = {
            "argv": (self.interpreter, "-s", "-c", code),
            "work_dir": str(self.work),
            "scratch": str(self.scratch),
            "writable": (str(self.work),),
            "environment": {"OPENBLAS_NUM_THREADS": "1", "TMPDIR": str(self.scratch)},
            "limits": Limits(cpu_seconds=10, memory_mb=512),
            "may_fork": may_fork,
        }
        return Confinement(**(fields | changes))  # type: ignore[arg-type]

    def start(self, confinement: Confinement) -> ConfinedProcess:
        null = subprocess.DEVNULL
        return self.sandbox.start(confinement, stdin=null, stdout=null, stderr=null)

    def run(self, code: str, **changes: object) -> Done:
        return self.finish(self.confinement(code, **changes))  # type: ignore[arg-type]

    def finish(self, confinement: Confinement) -> Done:
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = self.sandbox.start(
                confinement, stdin=subprocess.DEVNULL, stdout=out.fileno(), stderr=err.fileno()
            )
            ended = process.wait(20)
            assert ended is not None or process.kill() is None, "it hung"
            out.seek(0)
            err.seek(0)
            assert ended is not None
            return Done(ended, out.read().decode(), err.read().decode())


@cache
def probed(level: str, interpreter: str) -> Probe:
    tools = find_tools()
    if level == "restricted":
        tools = Tools(landlock_abi=tools.landlock_abi)
    return probe_sandboxes(interpreter, tools=tools)


def sandbox_at(level: IsolationLevel) -> tuple[Sandbox, str]:
    if level == "none":
        return unsafe_sandbox(sys.executable), sys.executable
    reasons = []
    for interpreter in (sys.executable, SYSTEM_PYTHON):
        if not Path(interpreter).exists():
            continue
        probe = probed(level, interpreter)
        if probe.level == level:
            return open_sandbox(probe), interpreter
        reasons += [report.reason for report in probe.reports]
    pytest.skip(f"no {level} level here: {reasons}")


@pytest.fixture
def root() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="levels-") as folder:
        Path(folder).chmod(0o755)  # the restricted level runs as another user when we are root
        yield Path(folder).resolve()


@pytest.fixture
def bench(request: pytest.FixtureRequest, root: Path) -> Iterator[Bench]:
    sandbox, interpreter = sandbox_at(request.param)
    yield Bench(sandbox, interpreter, root)
    assert descendants(os.getpid()) == [], "a process is left"


at_held = pytest.mark.parametrize("bench", HELD, indirect=True)
at_strong = pytest.mark.parametrize("bench", ["strong"], indirect=True)
at_all = pytest.mark.parametrize("bench", ALL, indirect=True)
