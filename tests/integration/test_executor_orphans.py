"""Nothing outlives the recorder, even when it is killed itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

RECORDER = """
import sys
from pathlib import Path
from consilience.testing.trivial import artifact, request, split_problem
from consilience.trials.executors.factory import make_executor
from consilience.trials.sandbox.probe import strongest_sandbox
executor = make_executor(split_problem(sys.argv[2]), strongest_sandbox(sys.executable), Path(sys.argv[1]))
executor.run(request(artifact(sys.argv[3])))
"""
CALLS = "def evaluate(candidate, seed):\n    return candidate.call('run', seed)\n"
SPINS = "def evaluate(candidate, seed):\n    candidate.call('run', seed)\n    while True: pass\n"
SLEEP = "import time\ndef run(seed):\n    time.sleep(600)\n"


def working_below(folder: Path) -> list[int]:
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if str(link.readlink()).startswith(str(folder)):
                found.append(int(link.parent.name))
        except OSError:
            continue  # it ended meanwhile
    return found


def wait_for(count: int, folder: Path) -> bool:
    for _ in range(100):
        if len(working_below(folder)) >= count if count else not working_below(folder):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize(
    ("evaluator", "program"),
    [(CALLS, SLEEP), (SPINS, "def run(seed):\n    return 1\n")],
    ids=["candidate", "evaluator"],
)
def test_a_killed_recorder_leaves_no_process(tmp_path: Path, evaluator: str, program: str) -> None:
    work = tmp_path.resolve() / "work"
    recorder = subprocess.Popen([sys.executable, "-c", RECORDER, str(work), evaluator, program])
    try:
        assert wait_for(2, work), "evaluator and candidate run"
    finally:
        os.kill(recorder.pid, signal.SIGKILL)
        recorder.wait()
    assert wait_for(0, work), working_below(work)
