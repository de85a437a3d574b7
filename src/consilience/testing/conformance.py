"""The contract of executors as a test class: inherit it, supply an executor and an artifact, and run pytest.

Rules:
    1. A subclass gives the fixture `executor` for a problem whose candidate is one Python file with a function
       ``run(seed)``, whose result is the metric `metric`, and says in `artifact` how that file is wrapped.
    2. The suite tests what callers rely on, never how an executor does it.
    3. pytest is needed; it is not a run-time dependency.

Data flow: behaviour -> program text -> the subclass's artifact -> executor -> assertions on the Outcome.
"""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path

import pytest

from consilience.core.artifact import Artifact
from consilience.core.outcome import FailureReason, Outcome
from consilience.core.ports import Executor
from consilience.testing.trivial import LIMITS, artifact, request

HONEST_SCORE = 1.5
KILL_MARGIN_SECONDS = 2.0

HONEST = f"def run(seed):\n    return {HONEST_SCORE}\n"
SEEDED = "import random\ndef run(seed):\n    return random.random()\n"
CRASH = "def run(seed):\n    raise ValueError('boom')\n"
SYNTAX = "def run(seed:\n"
HANG = "def run(seed):\n    while True:\n        pass\n"
SLEEP = "import time\ndef run(seed):\n    time.sleep(600)\n"
NON_FINITE = "def run(seed):\n    return float('nan')\n"
GARBAGE = "def run(seed):\n    return 'a word'\n"
LITTER = """
import os, tempfile
def run(seed):
    for folder in (os.getcwd, tempfile.gettempdir):
        for number in range(5):
            try:
                open(os.path.join(folder(), f"litter-{number}"), "w").write("x" * 1000)
            except OSError:
                pass
    return 1.5
"""
TREE = """
import subprocess, sys, time
def run(seed):
    for _ in range(2):
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", "MARKER"], start_new_session=True)
    time.sleep(600)
"""


class ExecutorConformance:
    """What every executor must do. Subclass it as ``class TestMine(ExecutorConformance)``."""

    metric = "score"

    @pytest.fixture
    def work_dir(self, tmp_path: Path) -> Path:
        """The folder below which the executor keeps its temporary files."""
        return tmp_path / "work"

    @pytest.fixture
    def executor(self, work_dir: Path) -> Iterator[Executor]:
        """The executor under test, closed afterwards."""
        raise NotImplementedError

    def artifact(self, program: str) -> Artifact:
        """Wrap a program that defines ``run(seed)`` as the executor's problem wants it."""
        return artifact(program)

    def outcome(self, executor: Executor, program: str, seed: int = 1) -> Outcome:
        """Run one trial."""
        return executor.run(request(self.artifact(program), seed=seed))

    def test_it_is_an_executor(self, executor: Executor) -> None:
        """The protocol's methods are there."""
        assert isinstance(executor, Executor)

    def test_an_honest_program_gets_its_score(self, executor: Executor) -> None:
        """Metrics, resources and isolation are filled in."""
        outcome = self.outcome(executor, HONEST)
        assert outcome.ok, outcome
        assert outcome.metrics[self.metric] == HONEST_SCORE
        assert outcome.isolation == executor.isolation
        assert outcome.resources.cpu_ms > 0
        assert outcome.resources.memory_kb > 0

    def test_the_seed_decides_chance(self, executor: Executor) -> None:
        """The same seed gives the same number, another seed another."""
        first, again, other = (self.outcome(executor, SEEDED, seed) for seed in (1, 1, 2))
        assert first.metrics == again.metrics
        assert first.metrics != other.metrics

    @pytest.mark.parametrize(
        ("program", "reasons"),
        [
            (CRASH, {"crash"}),
            (SYNTAX, {"crash"}),
            (NON_FINITE, {"non_finite"}),
            (GARBAGE, {"invalid_output", "missing_metric"}),
        ],
        ids=["crash", "syntax", "non-finite", "garbage"],
    )
    def test_a_failure_is_an_outcome(
        self, executor: Executor, program: str, reasons: AbstractSet[FailureReason]
    ) -> None:
        """It has a reason and no metrics, and the next trial is not disturbed by it."""
        outcome = self.outcome(executor, program)
        assert outcome.failure is not None
        assert outcome.failure.reason in reasons, outcome
        assert outcome.metrics == {}
        assert self.outcome(executor, HONEST).ok

    @pytest.mark.parametrize("program", [HANG, SLEEP], ids=["spins", "sleeps"])
    def test_a_hang_is_killed_in_time(self, executor: Executor, program: str) -> None:
        """Within the limit and a margin."""
        self.outcome(executor, HONEST)  # what is started once is started now
        started = time.monotonic()
        outcome = self.outcome(executor, program)
        assert time.monotonic() - started < LIMITS.wall_seconds + KILL_MARGIN_SECONDS
        assert outcome.failure is not None
        assert outcome.failure.reason == "timeout", outcome

    def test_the_whole_tree_is_killed(self, executor: Executor) -> None:
        """Also what has left the session; where starting processes is refused there is nothing to kill."""
        marker = uuid.uuid4().hex
        outcome = self.outcome(executor, TREE.replace("MARKER", marker))
        assert outcome.failure is not None
        assert outcome.failure.reason in {"timeout", "violation"}, outcome
        assert not _running(marker)

    def test_nothing_is_left_on_disk(self, executor: Executor, work_dir: Path) -> None:
        """Neither by a program that litters, nor by one that is killed."""
        assert self.outcome(executor, LITTER).ok
        self.outcome(executor, SLEEP)
        executor.close()
        assert not work_dir.exists() or list(work_dir.iterdir()) == []

    def test_every_number_is_finite(self, executor: Executor) -> None:
        """So that outcomes can be written down."""
        assert all(math.isfinite(value) for value in self.outcome(executor, HONEST).metrics.values())


def _running(marker: str) -> bool:
    """Tell whether any process has the marker among its arguments."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if marker.encode() in file.read_bytes():
                return True
        except OSError:
            continue  # it ended meanwhile
    return False
