"""A reference beside the candidate, timed in turns: what is honest is measured, what cheats gains nothing."""

from __future__ import annotations

import functools
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from consilience.core.outcome import Outcome
from consilience.core.study import ExecutionPolicy
from consilience.testing.trivial import LIMITS, artifact, request, split_problem
from consilience.trials.executors.function import FunctionExecutor
from consilience.trials.sandbox.probe import strongest_sandbox

sandbox = functools.cache(strongest_sandbox)
LONG = msgspec.structs.replace(LIMITS, wall_seconds=60.0, cpu_seconds=60.0)

REFERENCE = "def work(n):\n    return sum(i * i for i in range(n))\n"
SLOWER = "def work(n):\n    return sum([sum(i * i for i in range(n)) for _ in range(2)]) // 2\n"
EXACT = "def work(n):\n    return (n - 1) * n * (2 * n - 1) // 6\n"
TIMED = """
from consilience.evaluators.function import close
from consilience.evaluators.timing import time_calls

def evaluate(candidate, seed):
    timing = time_calls(candidate, "work", ((150_000 + n,) for n in range(14)), close)
    return {"score": timing.speedup, **timing.metrics()}  # of CPU time: tests share the machine
"""
CALLS = """
def evaluate(candidate, seed):
    reference = candidate.reference("reference.py")
    return BODY
"""

Run = Callable[..., Outcome]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    made: list[FunctionExecutor] = []

    def runner(
        evaluator: str, program: str, reference: str = REFERENCE, execution: ExecutionPolicy = "auto", python: str = ""
    ) -> Outcome:
        problem = split_problem(evaluator)
        files = {**problem.support, "reference.py": reference.encode()}
        problem = msgspec.structs.replace(problem, support=files, interpreter=python)
        made.append(FunctionExecutor(problem, sandbox(sys.executable), tmp_path / "work", execution))
        return made[-1].run(request(artifact(program), limits=LONG))

    yield runner
    for executor in made:
        executor.close()
    assert not list((tmp_path / "work").glob("*"))


def score(outcome: Outcome) -> float:
    assert outcome.failure is None, outcome
    return outcome.metrics["score"]


def test_the_same_work_is_neither_faster_nor_slower(run: Run) -> None:
    outcome = run(TIMED, REFERENCE)
    assert 0.7 < score(outcome) < 1.4
    assert outcome.isolation.execution == "fresh"
    assert outcome.metrics["speedup_low"] <= outcome.metrics["speedup"] <= outcome.metrics["speedup_high"]


def test_less_work_is_faster_and_more_is_slower(run: Run) -> None:
    assert score(run(TIMED, EXACT)) > 10
    assert score(run(TIMED, SLOWER)) < 0.75


def test_work_between_the_calls_gains_nothing(run: Run) -> None:
    """The cheat computes the next answers while others have the turn. Inputs that follow each other can be foreseen."""
    ahead = (
        "import threading\n" + REFERENCE.replace("work", "slow") + "known = {}\n"
        "def prepare(n):\n    for i in range(n, n + 3):\n        known[i] = known.get(i) or slow(i)\n"
        "def work(n):\n"
        "    answer = known.get(n) or slow(n)\n"
        "    threading.Thread(target=prepare, args=(n + 1,), daemon=True).start()\n"
        "    return answer\n"
    )
    assert score(run(TIMED, ahead)) < 1.4


def test_taking_the_cpu_from_the_reference_gains_nothing(run: Run) -> None:
    hog = (
        "import threading\n" + REFERENCE + "def spin():\n    while True: pass\n"
        "for _ in range(4):\n    threading.Thread(target=spin, daemon=True).start()\n"
    )
    assert score(run(TIMED, hog)) < 1.0


def test_a_wrong_answer_has_no_score(run: Run) -> None:
    outcome = run(TIMED, "def work(n):\n    return 1\n")
    assert outcome.failure is not None
    assert (outcome.failure.reason, outcome.metrics) == ("invalid_output", {})
    assert "wrong answer to input 0" in outcome.failure.message


def test_what_is_too_fast_is_the_evaluators_fault(run: Run) -> None:
    outcome = run(TIMED, "def work(n):\n    return n\n", "def work(n):\n    return n\n")
    assert outcome.failure is not None
    assert outcome.failure.reason == "evaluator_error"
    assert "times the work into one call" in outcome.failure.message


@pytest.mark.parametrize(
    ("body", "reference", "words"),
    [
        ("reference.call('work', 1)", "import os\ndef work(n):\n    os._exit(3)\n", "the reference failed (crash)"),
        ("reference.call('work', 1)", "def work(n):\n    return 1 / 0\n", "the reference raised ZeroDivisionError"),
        ("reference.call('work', 1)", "def work(n):\n    return {1}\n", "the reference raised TypeError"),
        ("reference.call('absent')", REFERENCE, "the reference raised AttributeError"),
        ("candidate.call('work', 1), candidate.reference('absent.py')", REFERENCE, "absent.py"),
    ],
)
def test_what_a_reference_does_wrong_is_the_evaluators_fault(run: Run, body: str, reference: str, words: str) -> None:
    outcome = run(CALLS.replace("BODY", body), REFERENCE, reference)
    assert outcome.failure is not None
    assert outcome.failure.reason == "evaluator_error"
    assert words in outcome.failure.message


def test_a_reference_comes_before_the_first_call(run: Run) -> None:
    late = "def evaluate(candidate, seed):\n    candidate.call('work', 1)\n    candidate.reference('reference.py')\n"
    outcome = run(late, REFERENCE)
    assert outcome.failure is not None
    assert "before the first candidate.call" in outcome.failure.message


def test_a_candidate_cannot_find_the_reference(run: Run) -> None:
    spy = (
        "import os\n"
        "def work(n):\n"
        "    here = os.getcwd()\n"
        "    for folder, _, names in os.walk(os.path.dirname(os.path.dirname(here))):\n"
        "        if 'reference.py' in names: return 1\n"
        "    return 0\n"
    )
    both = CALLS.replace("BODY", "reference.call('work', 3) * 0 + candidate.call('work', 1)")
    assert score(run(both, spy, execution="fresh")) == 0.0


def test_logs_and_use_of_both_are_told(run: Run) -> None:
    burn = "import time\ndef work(n):\n    print('burning')\n    while time.process_time() < 0.3: pass\n    return 1\n"
    outcome = run(CALLS.replace("BODY", "reference.call('work', 1) + candidate.call('work', 1)"), burn, burn)
    assert score(outcome) == 2.0
    assert outcome.log == "[candidate]\nburning\n[reference]\nburning\n"
    assert outcome.resources.cpu_ms >= 500


def test_the_helpers_are_found_by_an_interpreter_that_lacks_the_package(run: Run, tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", symlinks=True)
    python = str(tmp_path / "bare" / "bin" / "python")
    missing = subprocess.run([python, "-c", "import consilience"], capture_output=True, check=False, cwd="/")
    assert missing.returncode == 1
    evaluator = (
        "from consilience.evaluators.function import close, score_calls, secret_seed\n"
        "from consilience.evaluators import timing\n"
        "def evaluate(candidate, seed):\n"
        "    return score_calls(candidate, 'work', [(n,) for n in range(5)], lambda n: sum(i * i for i in range(n)),"
        " close).share\n"
    )
    problem = msgspec.structs.replace(split_problem(evaluator), interpreter=python)
    executor = FunctionExecutor(problem, sandbox(python), tmp_path / "work", "fresh")
    outcome = executor.run(request(artifact(EXACT), limits=LONG))
    executor.close()
    assert score(outcome) == 1.0
