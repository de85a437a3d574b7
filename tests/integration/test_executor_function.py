"""Split trials with real processes: what the evaluator may do, and every way in which a trial fails."""

from __future__ import annotations

import functools
import hashlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from consilience.core.artifact import Artifact, ArtifactFile
from consilience.core.outcome import Outcome
from consilience.core.ports import LoadedProblem
from consilience.core.problem import EvaluatorSpec, FileDigest, Limits
from consilience.testing.trivial import LIMITS, SPLIT, artifact, loaded, request, split_problem
from consilience.trials.executors.function import FunctionExecutor
from consilience.trials.sandbox.probe import strongest_sandbox

sandbox = functools.cache(strongest_sandbox)

Make = Callable[..., FunctionExecutor]
FORGIVING = """
def evaluate(candidate, seed):
    try:
        candidate.call("run", seed)
    except BaseException:
        pass
    return 1.0
"""
HONEST = "def run(seed):\n    return seed * 2\n"


@pytest.fixture(params=["fresh", "auto"])
def make(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Make]:
    made: list[FunctionExecutor] = []

    def maker(problem: LoadedProblem | str = SPLIT) -> FunctionExecutor:
        problem = split_problem(problem) if isinstance(problem, str) else problem
        made.append(FunctionExecutor(problem, sandbox(sys.executable), tmp_path / "work", request.param))
        return made[-1]

    yield maker
    for executor in made:
        executor.close()
    assert not list((tmp_path / "work").glob("*"))


def reason(outcome: Outcome) -> str:
    assert outcome.failure is not None, outcome
    assert outcome.metrics == {}
    return outcome.failure.reason


def run(executor: FunctionExecutor, program: str, limits: Limits = LIMITS, seed: int = 1) -> Outcome:
    return executor.run(request(artifact(program), seed=seed, limits=limits))


def test_a_bare_number_is_the_objective(make: Make) -> None:
    outcome = run(make("def evaluate(candidate, seed):\n    return candidate.call('run', seed)\n"), HONEST, seed=4)
    assert outcome.metrics == {"score": 8.0}
    assert (outcome.isolation.domain, outcome.log, outcome.failure) == ("split", "", None)


def test_parameters_alone_start_no_candidate(make: Make) -> None:
    executor = make("def evaluate(candidate, seed):\n    return candidate.parameters['x'] + seed\n")
    outcome = executor.run(request(Artifact(parameters={"x": 0.5}), seed=2))
    assert outcome.metrics == {"score": 2.5}


def test_the_evaluator_stays_warm_and_starts_afresh_after_a_failure(make: Make) -> None:
    executor = make("calls = []\n" + SPLIT.replace("return", "calls.append(1); n = len(calls)\n    return").replace(
        "{", "{'calls': n, "
    ))  # fmt: skip
    counts = [run(executor, HONEST).metrics["calls"] for _ in range(3)]
    assert reason(run(executor, "def run(seed):\n    raise KeyError(seed)\n")) == "crash"
    assert [*counts, run(executor, HONEST).metrics["calls"]] == [1, 2, 3, 1]


def test_an_evaluator_that_died_between_trials_starts_afresh(make: Make) -> None:
    executor = make("import os\n" + SPLIT.replace('{"score"', '{"pid": os.getpid(), "score"'))
    pid = int(run(executor, HONEST).metrics["pid"])
    os.kill(pid, signal.SIGKILL)
    time.sleep(0.1)
    assert int(run(executor, HONEST).metrics["pid"]) != pid


@pytest.mark.parametrize("name", ["evaluator.py", "candidate.py", "json.py", "harness.py"])
def test_a_program_may_have_any_name(make: Make, name: str) -> None:
    program = Artifact(files=(ArtifactFile(name, HONEST),))
    assert make().run(request(program)).metrics == {"score": 2.0}


def test_chance_at_import_follows_the_seed_too(make: Make) -> None:
    program = (
        "import random\nimport numpy as np\nX = random.random() + np.random.rand()\ndef run(seed):\n    return X\n"
    )
    executor = make()
    first, again, other = (run(executor, program, seed=seed).metrics for seed in (2**33 + 1, 2**33 + 1, -1))
    assert first == again != other


def test_numpy_arrays_stay_arrays_and_lists_stay_lists(make: Make) -> None:
    executor = make(
        "import numpy as np\n"
        "def evaluate(candidate, seed):\n"
        "    rows = np.arange(4, dtype='>i2').reshape(2, 2).T\n"
        "    more = {'deep': [np.zeros((0, 3), bool)]}\n"
        "    got = candidate.call('run', rows, [1, 2], scale=np.float32(0.5), more=more)\n"
        "    assert type(got['rows']) is np.ndarray and got['rows'].dtype == np.float64, got\n"
        "    assert got['rows'].tolist() == [[0.0, 1.0], [0.5, 1.5]], got\n"
        "    assert got['rows'].flags.owndata and got['rows'].flags.writeable\n"
        "    assert type(got['list']) is list and type(got['total']) is int, got\n"
        "    assert got['empty'].shape == (0, 3) and got['empty'].dtype == bool\n"
        "    return got['rows'].sum()\n"
    )
    program = (
        "import numpy as np\n"
        "def run(rows, numbers, scale, more):\n"
        "    assert type(rows) is np.ndarray and rows.dtype == np.int16 and rows.flags.writeable\n"
        "    assert type(numbers) is list and type(scale) is float\n"
        "    return {'rows': rows * scale, 'list': numbers, 'total': rows.sum(), 'empty': more['deep'][0]}\n"
    )
    assert run(executor, program).metrics == {"score": 3.0}


@pytest.mark.parametrize(
    ("answer", "expected", "words"),
    [
        ("np.array([1.0, np.nan])", "non_finite", "Out of range float values"),
        ("[np.array(1 + 1j * np.inf)]", "non_finite", "Out of range float values"),
        ("np.float16([np.inf])", "non_finite", "Out of range float values"),
        ("np.array(['text'])", "invalid_output", "<U4 cannot be sent"),
        ("np.array([{}])", "invalid_output", "object cannot be sent"),
        ("np.ma.masked_array([1, 2], [0, 1])", "invalid_output", "MaskedArray"),
        ("np.zeros(300_000, np.int8)", "invalid_output", "over 256 kB"),
        ("np.zeros(10 ** 8, np.int8)", "invalid_output", "over 256 kB"),
        ("{'$array': 0}", "invalid_output", "one place for each"),
        ("[np.zeros(1), {'$array': 0}]", "invalid_output", "one place for each"),
    ],
)
def test_arrays_that_are_refused(make: Make, answer: str, expected: str, words: str) -> None:
    limits = msgspec.structs.replace(LIMITS, wall_seconds=10.0)
    outcome = run(make(), f"import numpy as np\ndef run(seed):\n    return {answer}\n", limits)
    assert reason(outcome) == expected, outcome
    assert outcome.failure is not None
    assert words in outcome.failure.message


FORGED_FRAME = """
import os, time
LINE = b'{"body":16,"arrays":[{"dtype":"float64","shape":[2]}],"value":{"$array":0}}\\n'
def run(seed):
    for descriptor in range(100, 104):
        try:
            os.write(descriptor, LINE + bytes(COUNT))
        except OSError:
            pass
    END
"""


@pytest.mark.parametrize(
    ("count", "end", "expected"),
    [
        (8, "os._exit(0)", "crash"),
        (8, "time.sleep(60)", "timeout"),
        (17, "time.sleep(60)", "invalid_output"),
        (8 + 1 + 300_000, "time.sleep(60)", "invalid_output"),
    ],
)
def test_a_frame_of_another_length_than_announced_fails(make: Make, count: int, end: str, expected: str) -> None:
    evaluator = "import time\ndef evaluate(c, seed):\n    c.call('run', 1)\n    time.sleep(0.2)\n    return 1.0\n"
    program = FORGED_FRAME.replace("COUNT", str(count)).replace("END", end)
    outcome = run(make(evaluator), program)
    assert reason(outcome) == expected, outcome


def test_argument_arrays_may_be_large_and_hold_nan(make: Make) -> None:
    executor = make(
        "import numpy as np\ndef evaluate(candidate, seed):\n"
        "    return candidate.call('run', np.full((1000, 2000), np.nan), np.float32([np.inf]))\n"
    )
    program = "import numpy as np\ndef run(a, b):\n    return int(np.isnan(a).sum() + np.isinf(b).sum())\n"
    assert run(executor, program).metrics == {"score": 2_000_001.0}


def test_cpu_time_of_the_whole_trial_is_told(make: Make) -> None:
    executor = make(
        "import time\n"
        "def evaluate(candidate, seed):\n"
        "    candidate.call('run', seed)\n"
        "    first = candidate.cpu_seconds\n"
        "    time.sleep(0.5)\n"
        "    candidate.call('run', seed)\n"
        "    return {'score': candidate.cpu_seconds - first, 'wall': candidate.seconds}\n"
    )
    busy = (
        "import threading\n"
        "def spin():\n    while True: pass\n"
        "def run(seed):\n    threading.Thread(target=spin, daemon=True).start()\n    return 1\n"
    )
    assert run(executor, HONEST).metrics["score"] < 0.1
    gap = run(executor, busy).metrics
    assert gap["score"] > 0.1  # spun while the evaluator had the turn, on a machine that may be busy
    assert gap["wall"] < 0.4


def test_several_files_and_large_data(make: Make) -> None:
    executor = make("def evaluate(candidate, seed):\n    return candidate.call('run', 'x' * 5_000_000)\n")
    files = (
        ArtifactFile("pack/main.py", "from helper import size\nimport other\ndef run(x):\n    return size(x)\n"),
        ArtifactFile("pack/helper.py", "def size(x):\n    return len(x)\n"),
        ArtifactFile("other.py", ""),
    )
    assert executor.run(request(Artifact(files=files))).metrics == {"score": 5e6}


def test_data_and_support_files_lie_in_the_evaluators_folder(make: Make, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "numbers.txt").write_text("7")
    digest = FileDigest(path="data/numbers.txt", sha256=hashlib.sha256(b"7").hexdigest())
    evaluator = (
        "from pathlib import Path\nfrom lib.helper import double\n"
        "def evaluate(candidate, seed):\n    return double(int(Path('data/numbers.txt').read_text()))\n"
    )
    support = {"sub/evaluator.py": evaluator, "lib/helper.py": "def double(x):\n    return 2 * x\n"}
    spec = EvaluatorSpec(kind="function", entry="sub/evaluator.py")
    assert run(make(loaded(spec, support, root=tmp_path, data=(digest,))), HONEST).metrics == {"score": 14.0}


def test_the_evaluator_may_catch_a_candidates_exception(make: Make) -> None:
    executor = make(
        "def evaluate(candidate, seed):\n"
        "    try:\n"
        "        candidate.call('run', seed)\n"
        "    except candidate.Error as error:\n"
        "        assert (error.type, error.message) == ('ValueError', 'no'), error\n"
        "        assert candidate.seconds > 0\n"
        "        return -1\n"
    )
    assert run(executor, "def run(seed):\n    raise ValueError('no')\n").metrics == {"score": -1.0}


def test_an_exception_that_passes_is_the_candidates_crash(make: Make) -> None:
    outcome = run(make(), "def run(seed):\n    raise ValueError('no')\n")
    assert reason(outcome) == "crash"
    assert outcome.failure is not None
    assert outcome.failure.message == "ValueError: no"
    assert "line 2, in run" in outcome.log


@pytest.mark.parametrize(
    ("evaluator", "expected", "words"),
    [
        ("def evaluate(candidate, seed):\n    return 1 / 0\n", "evaluator_error", "ZeroDivisionError"),
        ("def evaluate(candidate, seed:\n", "evaluator_error", "SyntaxError"),
        ("x = 1\n", "evaluator_error", "defines no function evaluate"),
        ("import os\ndef evaluate(candidate, seed):\n    os._exit(3)\n", "evaluator_error", "exit code 3"),
        ("import sys\ndef evaluate(candidate, seed):\n    sys.exit(0)\n", "evaluator_error", "SystemExit"),
        ("def evaluate(candidate, seed):\n    while True: pass\n", "evaluator_timeout", "2 s"),
        ("def evaluate(candidate, seed):\n    return 'good'\n", "invalid_output", "str"),
        ("def evaluate(candidate, seed):\n    return {1: 2.0}\n", "invalid_output", "int"),
        ("def evaluate(candidate, seed):\n    return None\n", "invalid_output", "NoneType"),
        ("def evaluate(candidate, seed):\n    return float('nan')\n", "non_finite", "nan"),
        ("def evaluate(candidate, seed):\n    return {'score': 1, 'b': 10 ** 400}\n", "non_finite", "b ="),
        ("def evaluate(candidate, seed):\n    return {'other': 1.0}\n", "missing_metric", "other"),
        ("def evaluate(candidate, seed):\n    return candidate.call('absent')\n", "crash", "'absent'"),
        ("def evaluate(candidate, seed):\n    return candidate.call('run', {1})\n", "evaluator_error", "plain data"),
        ("def evaluate(candidate, seed):\n    return candidate.call('run', 1e999)\n", "evaluator_error", "JSON"),
    ],
)
def test_failures_of_the_evaluator(make: Make, evaluator: str, expected: str, words: str) -> None:
    outcome = run(make(evaluator), HONEST)
    assert reason(outcome) == expected, outcome
    assert outcome.failure is not None
    assert words in outcome.failure.message


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("def run(seed:\n", "crash"),
        ("import absent_module\n", "crash"),
        ("import sys\nsys.exit(0)\n", "crash"),
        ("import sys\ndef run(seed):\n    sys.exit(0)\n", "crash"),
        ("import os\ndef run(seed):\n    os._exit(0)\n", "crash"),
        ("import os, signal\ndef run(seed):\n    os.abort()\n", "crash"),
        ("def run(seed):\n    return run(seed)\n", "crash"),
        ("def run(seed):\n    return len(bytearray(1 << 30))\n", "memory"),
        ("import numpy as np\ndef run(seed):\n    return np.ones(1 << 28).sum()\n", "memory"),
        ("def run(seed):\n    return float('inf')\n", "non_finite"),
        ("def run(seed):\n    return {1, 2}\n", "invalid_output"),
        ("def run(seed):\n    return 'x' * 1_000_000\n", "invalid_output"),
        ("def run(seed):\n    return 2 ** 64\n", "invalid_output"),
        ("def run(seed):\n    x = []\n    for _ in range(50000):\n        x = [x]\n    return x\n", "invalid_output"),
        ("def run(seed):\n    for _ in range(1024):\n        print('x' * (1 << 20))\n    return 1\n", "invalid_output"),
    ],
)
def test_failures_of_the_candidate(make: Make, program: str, expected: str) -> None:
    executor = make()
    outcome = run(executor, program)
    assert reason(outcome) == expected, outcome
    assert len(outcome.log) < 70_000
    assert run(executor, HONEST).metrics == {"score": 2.0}


def test_cpu_time_has_its_own_limit(make: Make) -> None:
    limits = msgspec.structs.replace(LIMITS, wall_seconds=20.0, cpu_seconds=1.0)
    outcome = run(make(), "def run(seed):\n    while True: pass\n", limits)
    assert reason(outcome) == "cpu_limit", outcome
    assert 700 <= outcome.resources.cpu_ms < 3000


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("def run(seed):\n    return len(bytearray(1 << 30))\n", "memory"),
        ("import os\ndef run(seed):\n    os._exit(0)\n", "crash"),
        ("import time\ndef run(seed):\n    time.sleep(60)\n", "timeout"),
    ],
)
def test_an_evaluator_cannot_hide_how_a_candidate_ended(make: Make, program: str, expected: str) -> None:
    assert reason(run(make(FORGIVING), program)) == expected


def test_the_evaluator_is_seeded_and_sees_a_clean_environment(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUR_SECRET", "key")
    executor = make(
        "import os, random\ndef evaluate(candidate, seed):\n"
        "    return {'score': random.random(), 'secret': 'OUR_SECRET' in os.environ}\n"
    )
    first, other, again = (run(executor, HONEST, seed=seed).metrics for seed in (1, 2, 1))
    assert first == again != other
    assert first["secret"] == 0.0


def test_what_is_measured_lies_outside(make: Make) -> None:
    program = "import time\ndef run(seed):\n    time.sleep(0.2)\n    return sum(i for i in range(2_000_000))\n"
    resources = run(make(), program).resources
    assert resources.wall_ms >= 200
    assert resources.cpu_ms >= 20
    assert resources.memory_kb > 5000


def test_texts_are_the_same_in_each_run_and_name_no_folder_of_ours(make: Make) -> None:
    program = (
        "import os, tempfile\n"
        "def run(seed):\n"
        "    print(object(), os.getcwd(), tempfile.mkdtemp())\n"
        "    raise ValueError(os.getcwd())\n"
    )
    first, second = (run(make(), program) for _ in range(2))
    assert first.failure == second.failure
    assert first.log == second.log
    assert first.failure is not None
    assert first.failure.message == "ValueError: candidate/program"
    assert "candidate/scratch/tmp" in first.log
    assert sys.prefix not in first.log
    assert 'File "candidate/program/program.py", line 4, in run' in first.log
