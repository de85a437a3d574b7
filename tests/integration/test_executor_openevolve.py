"""OpenEvolve-style problems run unchanged: layouts, results, cascades, and their failures."""

from __future__ import annotations

import functools
import hashlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from consilience.core.artifact import Artifact, ArtifactFile
from consilience.core.outcome import Outcome
from consilience.core.ports import Executor, LoadedProblem
from consilience.core.problem import EvaluatorSpec, FileDigest
from consilience.testing.trivial import LIMITS, OPENEVOLVE, artifact, loaded, openevolve_problem, request
from consilience.trials.executors.factory import make_executor
from consilience.trials.sandbox.probe import strongest_sandbox

sandbox = functools.cache(strongest_sandbox)

Make = Callable[[LoadedProblem | str], Executor]
HONEST = "def run(seed):\n    return 2.0\n"

# The layout of evaluators that run the program in a process of its own and fetch a pickled result.
SUBPROCESS = """
import os, pickle, subprocess, sys, tempfile
from openevolve.evaluation_result import EvaluationResult

CHILD = '''
import importlib.util, pickle
spec = importlib.util.spec_from_file_location("program", {program!r})
program = importlib.util.module_from_spec(spec)
spec.loader.exec_module(program)
with open({result!r}, "wb") as file:
    pickle.dump({{"value": program.run(1)}}, file)
'''

def evaluate(program_path):
    with tempfile.NamedTemporaryFile(suffix=".py", delete=False) as script:
        result = script.name + ".results"
        script.write(CHILD.format(program=program_path, result=result).encode())
    try:
        process = subprocess.Popen([sys.executable, script.name], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, err = process.communicate(timeout=5)
        if process.returncode:
            return EvaluationResult(metrics={"combined_score": 0.0, "error": err.decode()}, artifacts={"stderr": err})
        with open(result, "rb") as file:
            value = pickle.load(file)["value"]
    finally:
        os.unlink(script.name)
        if os.path.exists(result):
            os.unlink(result)
    return EvaluationResult(
        metrics={"combined_score": value, "validity": True}, artifacts={"note": "fine", "stdout": out}
    )
"""

CASCADE = """
import importlib.util

def load(path):
    spec = importlib.util.spec_from_file_location("program", path)
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    return program

def evaluate(path):
    raise AssertionError("the cascade replaces it")

def evaluate_stage1(path):
    return {"combined_score": load(path).run(1), "first": 1.0}

def evaluate_stage2(path):
    return {"combined_score": 2 * load(path).run(2), "second": 1.0, "artifacts": {"stage": "two"}}

def evaluate_stage3(path):
    return {"combined_score": 4 * load(path).run(3), "third": 1.0}
"""


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Executor] = []

    def maker(problem: LoadedProblem | str) -> Executor:
        problem = openevolve_problem(problem) if isinstance(problem, str) else problem
        made.append(make_executor(problem, sandbox(sys.executable), tmp_path / "work"))
        return made[-1]

    yield maker
    for executor in made:
        executor.close()
    assert not list((tmp_path / "work").glob("*"))


def run(executor: Executor, program: str, seed: int = 1) -> Outcome:
    return executor.run(request(artifact(program), seed=seed))


def reason(outcome: Outcome) -> str:
    assert outcome.failure is not None, outcome
    assert outcome.metrics == {}
    return outcome.failure.reason


def test_an_evaluator_that_starts_processes_and_pickles(make: Make) -> None:
    executor = make(SUBPROCESS)
    outcome = run(executor, HONEST)
    assert outcome.metrics == {"combined_score": 2.0}
    assert outcome.feedback == "note: fine\nstdout: \nvalidity: True"
    assert outcome.isolation.domain == "shared-process"
    failed = run(executor, "def run(seed):\n    raise ValueError('boom')\n")
    assert reason(failed) == "crash"
    assert "ValueError: boom" in failed.feedback


@pytest.mark.parametrize(
    "result",
    [
        "{'combined_score': 2.0}",
        "EvaluationResult(metrics={'combined_score': 2.0}, artifacts={'note': 'x'})",
        "EvaluationResult.from_dict({'combined_score': 2.0})",
        "types.SimpleNamespace(metrics={'combined_score': np.float64(2.0)}, artifacts=None)",
        "{'combined_score': np.float32(2.0), 'artifacts': {'note': b'bytes'}}",
        "{'combined_score': 2, 'ok': np.bool_(True), 'label': 'text', 'rows': [1, 2], 'none': None}",
    ],
)
def test_every_kind_of_result(make: Make, result: str) -> None:
    start = "import types, numpy as np\nfrom openevolve.evaluation_result import EvaluationResult\n"
    assert run(make(f"{start}def evaluate(path):\n    return {result}\n"), HONEST).metrics == {"combined_score": 2.0}


def test_a_coroutine_is_awaited(make: Make) -> None:
    evaluator = (
        "import asyncio\nasync def evaluate(path):\n    await asyncio.sleep(0)\n    return {'combined_score': 3}\n"
    )
    assert run(make(evaluator), HONEST).metrics == {"combined_score": 3.0}


def test_the_mean_stands_in_for_the_combined_score(make: Make) -> None:
    spec = EvaluatorSpec(kind="openevolve", entry="evaluator.py", excluded_metrics=("complexity",))
    evaluator = "def evaluate(path):\n    return {'a': 1.0, 'b': 4.0, 'complexity': 77.0, 'valid': True}\n"
    outcome = run(make(loaded(spec, {"evaluator.py": evaluator}, metric="combined_score")), HONEST)
    assert outcome.metrics == {"a": 1.0, "b": 4.0, "complexity": 77.0, "combined_score": 2.5}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.25, {"combined_score": 0.25, "first": 1.0}),
        (0.5, {"combined_score": 1.0, "first": 1.0, "second": 1.0}),
        (1.0, {"combined_score": 4.0, "first": 1.0, "second": 1.0, "third": 1.0}),
    ],
)
def test_the_cascade_stops_below_a_threshold(make: Make, value: float, expected: dict[str, float]) -> None:
    executor = make(openevolve_problem(CASCADE, thresholds=(0.5, 1.5)))
    outcome = run(executor, f"def run(seed):\n    return {value}\n")
    assert outcome.metrics == expected
    assert ("stage: two" in outcome.feedback) == (len(expected) > 2)


def test_a_crash_in_a_later_stage_is_no_score(make: Make) -> None:
    executor = make(openevolve_problem(CASCADE, thresholds=(0.5, 1.5)))
    outcome = run(executor, "def run(seed):\n    return 1.0 if seed == 1 else 1 / 0\n")
    assert reason(outcome) == "crash"


def test_without_stages_the_cascade_is_a_direct_evaluation(make: Make) -> None:
    assert run(make(openevolve_problem(OPENEVOLVE, thresholds=(0.5,))), HONEST).metrics == {"combined_score": 2.0}


def test_the_evaluators_folder_holds_its_files_and_data(make: Make, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("1,2,3")
    data = (FileDigest(path="table.csv", sha256=hashlib.sha256(b"1,2,3").hexdigest()),)
    evaluator = (
        "import os\nfrom helper import total\n"
        "def evaluate(path):\n"
        "    assert os.path.dirname(os.path.abspath(__file__)) == os.getcwd()\n"
        "    assert path.endswith('.rs'), path\n"
        "    open('scratch.txt', 'w').write('it may write here')\n"
        "    return {'combined_score': total(open('table.csv').read()) + len(open(path).read())}\n"
    )
    support = {"evaluator.py": evaluator, "helper.py": "def total(text):\n    return sum(map(int, text.split(',')))\n"}
    spec = EvaluatorSpec(kind="openevolve", entry="evaluator.py")
    executor = make(loaded(spec, support, metric="combined_score", root=tmp_path, data=data))
    outcome = executor.run(request(Artifact(files=(ArtifactFile("initial_program.rs", "1234"),))))
    assert outcome.metrics == {"combined_score": 10.0}


def test_chance_follows_the_seed_and_our_environment_is_not_seen(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUR_SECRET", "key")
    executor = make(
        "import os, random\nimport numpy as np\n"
        "def evaluate(path):\n"
        "    assert 'OUR_SECRET' not in os.environ\n"
        "    return {'combined_score': random.random(), 'other': np.random.rand(), 'hash': float(hash('x'))}\n"
    )
    first, again, other = (run(executor, HONEST, seed).metrics for seed in (1, 1, 2))
    assert first == again
    assert all(first[name] != other[name] for name in first)


def test_chance_of_a_program_that_loads_numpy_itself_follows_the_seed(make: Make) -> None:
    program = "import numpy as np\ndef run(seed):\n    return float(np.random.uniform())\n"
    executor = make(OPENEVOLVE)
    first, again, other = (run(executor, program, seed).metrics for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize(
    ("evaluator", "program", "expected"),
    [
        ("import absent\n", HONEST, "evaluator_error"),
        ("def evaluate(path:\n", HONEST, "evaluator_error"),
        ("def evaluate(path):\n    return 1.0\n", HONEST, "crash"),
        ("def evaluate(path):\n    return {'error': 0.0}\n", HONEST, "crash"),
        ("def evaluate(path):\n    return {'combined_score': 9, 'timeout': True}\n", HONEST, "timeout"),
        ("def evaluate(path):\n    return {'combined_score': float('inf')}\n", HONEST, "non_finite"),
        ("def evaluate(path):\n    return {'combined_score': 'high'}\n", HONEST, "missing_metric"),
        ("def evaluate(path):\n    return {}\n", HONEST, "missing_metric"),
        (OPENEVOLVE, "import os\nos._exit(0)\n", "crash"),
        (OPENEVOLVE, "import sys\nsys.exit(0)\n", "crash"),
        (OPENEVOLVE, "def run(seed):\n    return bytearray(1 << 30)\n", "memory"),
        (OPENEVOLVE, "def run(seed):\n    while True: print('x' * 100000)\n", "invalid_output"),
        (OPENEVOLVE, "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", "crash"),
    ],
)
def test_failures(make: Make, evaluator: str, program: str, expected: str) -> None:
    outcome = run(make(evaluator), program)
    assert reason(outcome) == expected, outcome
    assert len(outcome.log) < 70_000


def test_a_second_result_on_the_channel_fails(make: Make) -> None:
    forged = (
        'import os\nline = b\'{"numbers": {"combined_score": 9.0}}\\n\'\n'
        "for descriptor in range(3, 250):\n"
        "    try:\n        os.write(descriptor, line * 2)\n"
        "    except OSError:\n        pass\n"
    )
    assert reason(run(make(OPENEVOLVE), forged + HONEST)) == "invalid_output"


def test_cpu_time_has_its_own_limit(make: Make) -> None:
    limits = msgspec.structs.replace(LIMITS, wall_seconds=20.0, cpu_seconds=1.0)
    spins = artifact("def run(seed):\n    while True: pass\n")
    assert reason(make(OPENEVOLVE).run(request(spins, limits=limits))) == "cpu_limit"


def test_texts_are_the_same_in_each_run(make: Make) -> None:
    executor = make(SUBPROCESS.replace("err.decode()", "repr(process.args)"))
    first, second = (run(executor, "def run(seed):\n    raise ValueError('boom')\n") for _ in range(2))
    assert first.failure is not None
    assert first.failure.message == "the evaluator says: ['python', 'trial/scratch/tmp.py']"
    assert (first.failure, first.log, first.feedback) == (second.failure, second.log, second.feedback)
