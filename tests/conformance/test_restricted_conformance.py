"""Executors keep their contract at level `restricted` too, with an interpreter that another user may read."""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from consilience.core.artifact import Artifact
from consilience.core.ports import Executor, LoadedProblem
from consilience.core.study import ExecutionPolicy
from consilience.testing.conformance import ExecutorConformance
from consilience.testing.trivial import command_problem, printing_artifact, split_problem
from consilience.trials.executors.factory import make_executor
from consilience.trials.sandbox.confinement import Sandbox
from consilience.trials.sandbox.probe import strongest_sandbox
from consilience.trials.sandbox.tools import Tools, find_tools

SYSTEM_PYTHON = "/usr/bin/python3"


@functools.cache
def restricted() -> Sandbox | None:
    """Return this machine's sandbox of level `restricted`, or None."""
    if not os.access(SYSTEM_PYTHON, os.X_OK):
        return None
    found = strongest_sandbox(SYSTEM_PYTHON, tools=Tools(landlock_abi=find_tools().landlock_abi))
    return found if found.level == "restricted" else None


class Restricted(ExecutorConformance):
    @pytest.fixture
    def work_dir(self) -> Iterator[Path]:
        folder = tempfile.mkdtemp()
        Path(folder).chmod(0o755)  # as another user when we are root
        yield Path(folder) / "work"
        shutil.rmtree(folder)

    def made(self, problem: LoadedProblem, work_dir: Path, execution: ExecutionPolicy = "auto") -> Iterator[Executor]:
        sandbox = restricted()
        if sandbox is None:
            pytest.skip("this machine has no level restricted for the system's Python")
        loaded = msgspec.structs.replace(problem, interpreter=SYSTEM_PYTHON)
        executor = make_executor(loaded, sandbox, work_dir, execution)
        yield executor
        executor.close()


class TestRestrictedForked(Restricted):
    @pytest.fixture
    def executor(self, work_dir: Path) -> Iterator[Executor]:
        yield from self.made(split_problem(), work_dir, "fork")


class TestRestrictedFresh(Restricted):
    @pytest.fixture
    def executor(self, work_dir: Path) -> Iterator[Executor]:
        yield from self.made(split_problem(), work_dir, "fresh")


class TestRestrictedCommand(Restricted):
    @pytest.fixture
    def executor(self, work_dir: Path) -> Iterator[Executor]:
        yield from self.made(command_problem(), work_dir)

    def artifact(self, program: str) -> Artifact:
        return printing_artifact(program)


del Restricted, ExecutorConformance  # pytest would collect them, without an executor to test
