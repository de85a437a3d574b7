"""Candidates that cheat in a split trial: none gets more than its data is worth."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from consilience.core.outcome import Outcome
from consilience.testing.trivial import artifact, request, split_problem
from consilience.trials.executors.function import FunctionExecutor
from consilience.trials.sandbox.probe import strongest_sandbox

sandbox = functools.cache(strongest_sandbox)

SECRET = 0.8125  # what a perfect answer would be; only the evaluator knows it
EVALUATOR = f"""
import math
SECRET = {SECRET}
def evaluate(candidate, seed):
    answer = candidate.call("run", seed)
    if type(answer) not in (int, float) or not math.isfinite(answer):
        return 0.0
    return 1.0 - min(1.0, abs(answer - SECRET))
"""
WRONG = "def run(seed):\n    return 100.0\n"  # worth exactly 0


@pytest.fixture
def executor(tmp_path: Path) -> Iterator[FunctionExecutor]:
    made = FunctionExecutor(split_problem(EVALUATOR), sandbox(sys.executable), tmp_path / "work")
    yield made
    made.close()


def attempt(executor: FunctionExecutor, program: str) -> Outcome:
    outcome = executor.run(request(artifact(program)))
    after = executor.run(request(artifact(f"def run(seed):\n    return {SECRET}\n")))
    assert after.metrics == {"score": 1.0}, "an honest candidate afterwards is scored as ever"
    return outcome


MODULES = """
import sys
for module in list(sys.modules.values()):
    if hasattr(module, "evaluate"):
        module.evaluate = lambda *a: 1.0
"""
FRAMES = """
import sys
for frame in sys._current_frames().values():
    while frame:
        frame.f_globals["SECRET"] = 100.0
        frame = frame.f_back
"""
FLOAT_SUBCLASS = """
class Forged(float):
    def __repr__(self): return "0.8125"
    def __sub__(self, other): return 0.0
    __rsub__ = __sub__
def run(seed):
    return Forged(100.0)
"""
ALWAYS_EQUAL = """
class Equal:
    def __eq__(self, other): return True
    def __abs__(self): return 0
    def tolist(self): return 100.0
def run(seed):
    return Equal()
"""
THREAD_EXIT = """
import os, threading, time
def late():
    time.sleep(0.05)
    os._exit(0)
def run(seed):
    threading.Thread(target=late).start()
    time.sleep(5)
"""
RAW_WRITE = """
import os
def run(seed):
    for descriptor in range(3, 300):
        try:
            BODY
        except OSError:
            pass
    return 1
"""
DEEP_JSON = RAW_WRITE.replace("BODY", "os.write(descriptor, b'[' * 50000 + b']' * 50000 + b'\\n')")
CHANNEL_FLOOD = RAW_WRITE.replace("BODY", "while True: os.write(descriptor, b'x' * 65536)")
FORGED = (
    '{\\"op\\":\\"metrics\\",\\"metrics\\":{\\"score\\":1.0}}',
    '{\\"value\\":0.8125}',
    '{\\"score\\":1.0}',
)
ANSWERS_THE_SAME = "def run(seed):\n    return 0.8125\n"
EVERY_DESCRIPTOR = """
import os
for descriptor in range(3, 300):
    try:
        os.write(descriptor, b"LINE\\n")
    except OSError:
        pass
"""


@pytest.mark.parametrize("line", FORGED)
@pytest.mark.parametrize("when", ["import", "call"])
def test_forged_lines_on_every_descriptor_gain_nothing(executor: FunctionExecutor, line: str, when: str) -> None:
    """A line of another shape ends the trial. One in the shape of an answer may count as the candidate's answer.

    That is what it could have returned anyway; whether the second answer is seen in time is a race.
    """
    attack = EVERY_DESCRIPTOR.replace("LINE", line)
    if when == "import":
        program = attack + WRONG
    else:
        program = "def run(seed):\n" + attack.replace("\n", "\n    ") + "\n    return 100.0\n"
    outcome = attempt(executor, program)
    if outcome.failure is None:
        assert line == FORGED[1], outcome
        assert outcome.metrics["score"] <= attempt(executor, ANSWERS_THE_SAME).metrics["score"]
    else:
        assert outcome.failure.reason == "invalid_output"


@pytest.mark.parametrize(
    "program",
    [
        "print('score: 1.0')\nprint('{\"score\": 1.0}')\n" + WRONG,
        "import json\njson.dumps = json.JSONEncoder.encode = lambda *a, **k: '{}'\n" + WRONG,
        "import builtins, math\nbuiltins.abs = lambda x: 0.0\nmath.isfinite = lambda x: True\n" + WRONG,
        MODULES + WRONG,
        FRAMES + WRONG,
        FLOAT_SUBCLASS,
        ALWAYS_EQUAL,
        "import atexit, json\natexit.register(lambda: open('metrics.json', 'w').write('{\"score\": 1}'))\n" + WRONG,
    ],
    ids=["prints", "json", "builtins", "modules", "frames", "float-subclass", "always-equal", "atexit"],
)
def test_cheats_inside_the_process_change_nothing(executor: FunctionExecutor, program: str) -> None:
    assert attempt(executor, program).metrics == {"score": 0.0}


@pytest.mark.parametrize(
    ("program", "reasons"),
    [
        ("import os\nprint('score: 1.0', flush=True)\nos._exit(0)\n", {"crash"}),
        ("import sys\nprint('score: 1.0')\nsys.exit(0)\n", {"crash"}),
        ("import os\nos.closerange(0, 300)\n" + WRONG, {"invalid_output", "crash"}),
        (THREAD_EXIT, {"crash"}),
        (DEEP_JSON, {"invalid_output"}),
        (CHANNEL_FLOOD, {"invalid_output"}),
    ],
    ids=["exit", "sys-exit", "closes-all", "thread-exit", "deep-json", "floods-channel"],
)
def test_cheats_on_the_channel_and_the_process_fail(
    executor: FunctionExecutor, program: str, reasons: set[str]
) -> None:
    outcome = attempt(executor, program)
    assert outcome.failure is not None, outcome
    assert outcome.failure.reason in reasons, outcome


def test_stopping_itself_gains_nothing(executor: FunctionExecutor) -> None:
    outcome = attempt(executor, "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)\n" + WRONG)
    # The first process of a namespace cannot stop itself and goes on; elsewhere the trial's time runs out.
    if outcome.failure is None:
        assert outcome.metrics == {"score": 0.0}
    else:
        assert outcome.failure.reason == "timeout"


def test_the_evaluators_file_cannot_be_found(executor: FunctionExecutor) -> None:
    spy = """
import os, re
def run(seed):
    here = os.getcwd()
    for start in (here, os.path.dirname(here), os.path.dirname(os.path.dirname(here)), "/tmp", "/proc"):
        for folder, _, names in os.walk(start):
            if folder.count("/") > 9:
                continue
            for name in names:
                if name == "evaluator.py":
                    try:
                        found = re.search("SECRET = ([0-9.]+)", open(os.path.join(folder, name)).read())
                    except OSError:
                        continue
                    if found:
                        return float(found[1])
    return 100.0
"""
    outcome = attempt(executor, spy)
    assert outcome.metrics == {"score": 0.0} or not outcome.ok, outcome


def test_no_secret_of_ours_reaches_the_candidate(executor: FunctionExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUR_SECRET", "key-material")
    spy = """
import glob, os
def run(seed):
    places = [str(dict(os.environ)).encode()]
    for path in glob.glob("/proc/*/environ"):
        try:
            places.append(open(path, "rb").read())
        except OSError:
            pass
    return 0.8125 if any(b"key-material" in place for place in places) else 100.0
"""
    assert attempt(executor, spy).metrics == {"score": 0.0}
