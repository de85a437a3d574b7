"""Whole-program trials with real processes: data in, data out, and every way in which a program fails."""

from __future__ import annotations

import functools
import hashlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from consilience.core.artifact import Artifact, ArtifactFile
from consilience.core.errors import EnvironmentLacksError
from consilience.core.outcome import Outcome
from consilience.core.ports import LoadedProblem
from consilience.core.problem import EvaluatorSpec, FileDigest, Limits
from consilience.testing.trivial import LIMITS, artifact, loaded, request
from consilience.trials.executors.program import ProgramExecutor
from consilience.trials.executors.seeds import candidate_seed
from consilience.trials.sandbox.probe import strongest_sandbox

sandbox = functools.cache(strongest_sandbox)

Make = Callable[..., ProgramExecutor]
SUM = """
def evaluate(program, seed):
    return {"score": sum(program.run().json("out.json"))}
"""
HONEST = "import json\njson.dump([1, 2.5], open('out.json', 'w'))\n"


def problem(evaluator: str = SUM, support: dict[str, str] | None = None, **rest: object) -> LoadedProblem:
    spec: dict[str, object] = {
        "kind": "program",
        "entry": "evaluator.py",
        "command": ("{python}", "program.py"),
        "outputs": ("out.json", "deep/a.npy", "notes.txt"),
    }
    root = rest.pop("root", Path("/"))
    data = rest.pop("data", ())
    made = EvaluatorSpec(**{**spec, **rest})  # type: ignore[arg-type]
    return loaded(made, {"evaluator.py": evaluator, **(support or {})}, root=root, data=data)  # type: ignore[arg-type]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[ProgramExecutor] = []

    def maker(given: LoadedProblem | str = SUM) -> ProgramExecutor:
        given = problem(given) if isinstance(given, str) else given
        made.append(ProgramExecutor(given, sandbox(sys.executable), tmp_path / "work"))
        return made[-1]

    yield maker
    for executor in made:
        executor.close()
    assert not list((tmp_path / "work").glob("*"))


def run(executor: ProgramExecutor, program: str, limits: Limits = LIMITS, seed: int = 1) -> Outcome:
    return executor.run(request(artifact(program), seed=seed, limits=limits))


def reason(outcome: Outcome) -> str:
    assert outcome.failure is not None, outcome
    assert outcome.metrics == {}
    return outcome.failure.reason


def digest(path: str, data: bytes) -> tuple[FileDigest, ...]:
    return (FileDigest(path=path, sha256=hashlib.sha256(data).hexdigest()),)


def test_predictions_become_a_score(make: Make) -> None:
    executor = make()
    outcome = run(executor, HONEST)
    assert (outcome.metrics, outcome.failure) == ({"score": 3.5}, None)
    assert outcome.isolation.domain == "split"
    assert outcome.resources.cpu_ms > 0
    assert outcome.resources.memory_kb > 1000
    assert run(executor, HONEST).metrics == {"score": 3.5}


def test_what_goes_in_and_what_comes_out(make: Make) -> None:
    evaluator = """
import numpy as np

def evaluate(program, seed):
    files = {"words.txt": "héllo", "raw.bin": b"\\x00\\xff", "rows.json": {"a": [1, 2]}, "x.npy": np.arange(6.0)}
    run = program.run("--rate", 0.5, stdin="given", files=files)
    *words, stated, held = run.stdout.split()
    assert words == ["--rate", "0.5", "given"], run.stdout
    assert stated == held != str(seed)
    assert run.stderr == "warned\\n", run.stderr
    assert run.text("notes.txt") == "héllo"
    assert run.bytes("notes.txt") == "héllo".encode()
    assert run.json("out.json") == {"a": [1, 2], "raw": [0, 255], "parameters": {"x": 0.25}}
    array = run.array("deep/a.npy")
    assert array.shape == (2, 3) and array.dtype == float and array.flags.writeable
    assert 0 < run.cpu_seconds < 5 and 0 < run.seconds < 5 and run.memory_mb > 5
    assert run.outputs == ("out.json", "deep/a.npy", "notes.txt")
    return float(array.sum()) + program.parameters["x"]
"""
    program = """
import json, os, sys
import numpy as np
print(*sys.argv[2:], sys.stdin.read(), sys.argv[1], os.environ["CONSILIENCE_SEED"])
print("warned", file=sys.stderr)
rows = json.load(open("rows.json"))
given = {**rows, "raw": list(open("raw.bin", "rb").read()), "parameters": json.load(open("parameters.json"))}
json.dump(given, open("out.json", "w"))
open("notes.txt", "w").write(open("words.txt").read())
os.mkdir("deep")
np.save("deep/a.npy", np.load("x.npy").reshape(2, 3))
"""
    executor = make(problem(evaluator, command=("{python}", "program.py", "{seed}")))
    given = Artifact(files=(ArtifactFile("program.py", program),), parameters={"x": 0.25})
    outcome = executor.run(request(given, seed=7, limits=msgspec.structs.replace(LIMITS, wall_seconds=10)))
    assert outcome.metrics == {"score": 15.25}, outcome


def test_each_run_has_a_fresh_folder_and_all_are_accounted_for(make: Make) -> None:
    evaluator = """
def evaluate(program, seed):
    runs = [program.run(number) for number in range(3)]
    return {"score": sum(run.json("out.json") for run in runs), "cpu": sum(run.cpu_seconds for run in runs)}
"""
    program = "import os, sys\nassert not os.path.exists('out.json')\nopen('out.json', 'w').write(sys.argv[1])\n"
    outcome = run(make(evaluator), program)
    assert outcome.metrics["score"] == 3.0
    assert outcome.resources.cpu_ms >= round(1000 * outcome.metrics["cpu"])


def test_labels_data_and_evaluator_are_out_of_reach(make: Make, tmp_path: Path) -> None:
    for name, text in (("train.csv", "1,2"), ("labels.csv", "LABELS-OF-THE-TEST")):
        (tmp_path / name).write_text(text)
    evaluator = """
def evaluate(program, seed):
    assert open("labels.csv").read() == "LABELS-OF-THE-TEST"
    assert open("train.csv").read() == "1,2"
    assert open("key.txt").read() == "LABELS-IN-SUPPORT"
    return program.run().json("out.json")
"""
    program = f"""
import glob, json, os
assert open("train.csv").read() == "1,2"
assert sorted(os.listdir(".")) == ["program.py", "train.csv"], os.listdir(".")
root = {str(tmp_path)!r}
for pattern in (root + "/labels.csv", root + "/work/evaluator-*", "../../*/key.txt", "/proc/*/cwd/key.txt"):
    assert not glob.glob(pattern), pattern
try:
    open("train.csv", "w")
except OSError:
    json.dump(1, open("out.json", "w"))
"""
    visible, data = digest("train.csv", b"1,2"), digest("labels.csv", b"LABELS-OF-THE-TEST")
    support = {"key.txt": "LABELS-IN-SUPPORT"}
    outcome = run(make(problem(evaluator, support, root=tmp_path, visible=visible, data=data)), program)
    assert outcome.metrics == {"score": 1.0}, outcome
    assert (tmp_path / "train.csv").read_text() == "1,2"


@pytest.mark.parametrize(
    ("program", "expected", "words"),
    [
        ("raise SystemExit(3)", "crash", "exit code 3"),
        ("raise ValueError('boom')", "crash", "ValueError: boom"),
        ("import os\nos.abort()", "crash", "killed by SIG"),
        ("pass", "invalid_output", "has not written out.json"),
        ("open('out.json', 'w').write('{')", "invalid_output", "strict JSON"),
        ("open('out.json', 'w').write('[NaN]')", "invalid_output", "NaN"),
        ("open('out.json', 'w').write('[1e999]')", "invalid_output", "beyond"),
        ("open('out.json', 'w').write('{\"a\": 1, \"a\": 2}')", "invalid_output", "twice"),
        ("open('out.json', 'w').write('[' * 50000)", "invalid_output", "strict JSON"),
        ("open('out.json', 'wb').write(b'\\xff')", "invalid_output", "UTF-8"),
        ("x = bytearray(1 << 30)", "memory", "MemoryError"),
        ("import time\ntime.sleep(60)", "timeout", "2 s"),
        ("while True: print('x' * 100000)", "invalid_output", "printed"),
        ("import sys\nwhile True: print('x' * 100000, file=sys.stderr)", "invalid_output", "printed"),
        ("open('/etc/new', 'w')", "violation", "Errno"),
    ],
)
def test_failures(make: Make, program: str, expected: str, words: str) -> None:
    outcome = run(make(), program)
    assert reason(outcome) == expected, outcome
    assert words in outcome.failure.message, outcome  # type: ignore[union-attr]


def test_cpu_time_is_one_total_over_all_runs(make: Make) -> None:
    evaluator = "def evaluate(program, seed):\n    while True:\n        program.run()\n"
    busy = "import time\nwhile time.process_time() < 0.4: pass\n"
    limits = msgspec.structs.replace(LIMITS, wall_seconds=30.0, cpu_seconds=1.0)
    outcome = run(make(evaluator), busy, limits)
    assert (reason(outcome), outcome.failure.message) == ("cpu_limit", "used up its 1 s of CPU time")  # type: ignore[union-attr]


FORGIVING = """
def evaluate(program, seed):
    try:
        program.run()
    except BaseException:
        pass
    return 1.0
"""


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("import time\ntime.sleep(60)", "timeout"),
        ("x = bytearray(1 << 30)", "memory"),
        ("import os\nos.symlink('program.py', 'out.json')", "invalid_output"),
        ("while True: print('x' * 100000)", "invalid_output"),
    ],
)
def test_what_the_recorder_saw_is_not_forgiven(make: Make, program: str, expected: str) -> None:
    assert reason(run(make(FORGIVING), program)) == expected


def test_an_evaluator_may_forgive_a_bad_end(make: Make) -> None:
    assert run(make(FORGIVING), "raise SystemExit(3)").metrics == {"score": 1.0}
    caught = (
        "def evaluate(program, seed):\n    try:\n        program.run()\n"
        "    except program.Error as error:\n        return float('exit code 3' in error.message)\n"
    )
    assert run(make(caught), "raise SystemExit(3)").metrics == {"score": 1.0}


def test_a_helpers_complaint_is_the_candidates_failure(make: Make) -> None:
    evaluator = """
from consilience.evaluators.program import accuracy

def evaluate(program, seed):
    return accuracy(["a", "b"], program.run().json("out.json"))
"""
    executor = make(evaluator)
    assert run(executor, "open('out.json', 'w').write('[\"a\", \"a\"]')").metrics == {"score": 0.5}
    outcome = run(executor, HONEST.replace("[1, 2.5]", "[1]"))
    assert (reason(outcome), outcome.failure.message) == (  # type: ignore[union-attr]
        "invalid_output",
        "there are 1 predictions, expected 2",
    )


def test_the_evaluators_own_error_is_its_own(make: Make) -> None:
    assert reason(run(make("def evaluate(program, seed):\n    return {}['x']\n"), HONEST)) == "evaluator_error"
    given = "def evaluate(program, seed):\n    program.run(files={'program.py': 'x'})\n    return 1\n"
    outcome = run(make(given), HONEST)
    assert reason(outcome) == "evaluator_error"
    assert "program's own" in outcome.failure.message  # type: ignore[union-attr]


def test_no_process_outlives_its_run(make: Make) -> None:
    evaluator = """
import time
def evaluate(program, seed):
    size = program.run().json("out.json")
    return size
"""
    daemon = """
import json, os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True:
            json.dump(100, open("out.json", "w"))
            time.sleep(0.001)
    os._exit(0)
json.dump(1, open("out.json", "w"))
"""
    outcome = run(make(evaluator), daemon)
    # the daemon may have written before the program ended, or left the file half written: never afterwards
    assert outcome.metrics.get("score") in {1.0, 100.0} or reason(outcome) == "invalid_output"


def test_a_program_that_is_not_there_says_so_at_once(make: Make) -> None:
    with pytest.raises(EnvironmentLacksError, match="no-such-program"):
        make(problem(command=("no-such-program",)))


def test_a_script_of_the_artifact_is_run_by_its_first_line(make: Make) -> None:
    script = Artifact(files=(ArtifactFile("bin/run.sh", "#!/bin/sh\nprintf '[%s]' $1 > out.json\n"),))
    loaded = msgspec.structs.replace(problem(command=("./bin/run.sh", "{seed}")), baseline=script)
    expected = float(candidate_seed(5, loaded.support))
    assert make(loaded).run(request(script, seed=5)).metrics == {"score": expected}


def test_the_helpers_need_no_third_party_package() -> None:
    code = (
        "import sys; before = set(sys.modules); import consilience.evaluators.program\n"
        "roots = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(roots - set(sys.stdlib_module_names) - {'consilience'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]", done.stdout


def test_the_input_cannot_be_written_through_its_descriptor(make: Make) -> None:
    program = """
import json, os, sys
refused = 0
for flags in (os.O_WRONLY, os.O_RDWR | os.O_TRUNC, os.O_WRONLY | os.O_APPEND):
    try:
        os.fchmod(0, 0o666)
        os.write(os.open("/proc/self/fd/0", flags), b"x" * 4096)
    except OSError:
        refused += 1
json.dump([refused, len(sys.stdin.read())], open("out.json", "w"))
"""
    source = """
def evaluate(program, seed):
    return {"score": sum(part * 10 ** i for i, part in enumerate(program.run(stdin="abcde").json("out.json")))}
"""
    assert make(source).run(request(artifact(program), limits=LIMITS)).metrics == {"score": 53.0}
