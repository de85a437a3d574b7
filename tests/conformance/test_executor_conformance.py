"""Every executor keeps the same contract, in the sandbox of this machine."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from consilience.core.artifact import Artifact
from consilience.core.ports import Executor, LoadedProblem
from consilience.core.study import ExecutionPolicy
from consilience.testing.conformance import ExecutorConformance
from consilience.testing.trivial import command_problem, openevolve_problem, printing_artifact, split_problem
from consilience.trials.executors.factory import make_executor
from consilience.trials.sandbox.probe import strongest_sandbox

sandbox = functools.cache(strongest_sandbox)


def _made(loaded: LoadedProblem, work_dir: Path, execution: ExecutionPolicy = "auto") -> Iterator[Executor]:
    executor = make_executor(loaded, sandbox(sys.executable), work_dir, execution)
    yield executor
    executor.close()


class TestForked(ExecutorConformance):
    @pytest.fixture
    def executor(self, work_dir: Path) -> Iterator[Executor]:
        yield from _made(split_problem(), work_dir)


class TestFresh(ExecutorConformance):
    @pytest.fixture
    def executor(self, work_dir: Path) -> Iterator[Executor]:
        yield from _made(split_problem(), work_dir, "fresh")


class TestOpenEvolve(ExecutorConformance):
    metric = "combined_score"

    @pytest.fixture
    def executor(self, work_dir: Path) -> Iterator[Executor]:
        yield from _made(openevolve_problem(), work_dir)


class TestCommand(ExecutorConformance):
    @pytest.fixture
    def executor(self, work_dir: Path) -> Iterator[Executor]:
        yield from _made(command_problem(), work_dir)

    def artifact(self, program: str) -> Artifact:
        return printing_artifact(program)
