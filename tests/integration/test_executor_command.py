"""Command problems: the artifact runs whole and prints its metric."""

from __future__ import annotations

import functools
import hashlib
import sys
from pathlib import Path

import pytest

from consilience.core.errors import EnvironmentLacksError
from consilience.core.outcome import Outcome
from consilience.core.problem import EvaluatorSpec, FileDigest
from consilience.testing.trivial import artifact, command_problem, loaded, request
from consilience.trials.executors.command import CommandExecutor
from consilience.trials.sandbox.probe import strongest_sandbox

sandbox = functools.cache(strongest_sandbox)

PATTERN = r"^val_bpb:\s*(\S+)"
SUMMARY = """
import os, sys, prepare
print("step 1", file=sys.stderr)
print("val_bpb: 3.0")
print("---")
print("val_bpb:          0.997900")
print("peak_vram_mb:     45060.2")
print("seed:", os.environ["CONSILIENCE_SEED"])
print("given:", sys.argv[1])
"""


def run(program: str, tmp_path: Path, spec: EvaluatorSpec | None = None, **rest: object) -> Outcome:
    spec = spec or EvaluatorSpec(kind="command", command=("{python}", "program.py", "{seed}"), metric_pattern=PATTERN)
    problem = loaded(spec, {"prepare.py": "TIME_BUDGET = 300\n"}, metric="val_bpb", **rest)  # type: ignore[arg-type]
    executor = CommandExecutor(problem, sandbox(sys.executable), tmp_path / "work")
    outcome = executor.run(request(artifact(program), seed=7))
    assert list((tmp_path / "work").iterdir()) == []
    return outcome


def test_the_summary_block_of_a_training_script(tmp_path: Path) -> None:
    outcome = run(SUMMARY, tmp_path)
    assert outcome.metrics == {"val_bpb": 0.9979, "peak_vram_mb": 45060.2, "seed": 7.0, "given": 7.0}
    assert outcome.isolation.domain == "command"
    assert "step 1" in outcome.log


@pytest.mark.parametrize(
    ("program", "expected", "words"),
    [
        ("print('val_bpb: 1.0')\nraise SystemExit(3)", "crash", "exit code 3"),
        ("print('val_bpb: 1.0')\nraise ValueError('boom')", "crash", "ValueError: boom"),
        ("import os\nos.abort()", "crash", "killed by SIG"),
        ("print('done')", "missing_metric", "val_bpb"),
        ("print('val_bpb: nan')", "non_finite", "nan"),
        ("print('val_bpb: FAILED')", "invalid_output", "FAILED"),
        ("input()\nprint('val_bpb: 1.0')", "crash", "EOFError"),
        ("x = bytearray(1 << 30)", "memory", "MemoryError"),
        ("import time\ntime.sleep(60)", "timeout", "2 s"),
        ("while True: print('x' * 100000)", "invalid_output", "printed"),
    ],
)
def test_failures(tmp_path: Path, program: str, expected: str, words: str) -> None:
    outcome = run(program, tmp_path)
    assert outcome.failure is not None, outcome
    assert outcome.failure.reason == expected, outcome
    assert words in outcome.failure.message
    assert outcome.metrics == {}


def test_data_is_read_where_it_lies(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "a.bin").write_bytes(b"1234")
    data = (FileDigest(path="shards/a.bin", sha256=hashlib.sha256(b"1234").hexdigest()),)
    program = "print('val_bpb:', len(open('shards/a.bin', 'rb').read()))\nopen('out.txt', 'w').write('x')\n"
    assert run(program, tmp_path, root=tmp_path, data=data).metrics["val_bpb"] == 4.0
    assert (tmp_path / "shards" / "a.bin").read_bytes() == b"1234"


def test_data_cannot_be_changed(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"1234")
    data = (FileDigest(path="a.bin", sha256=hashlib.sha256(b"1234").hexdigest()),)
    outcome = run("open('a.bin', 'wb').write(b'')\nprint('val_bpb: 0')\n", tmp_path, root=tmp_path, data=data)
    assert outcome.failure is not None
    assert outcome.failure.reason == "violation", outcome
    assert (tmp_path / "a.bin").read_bytes() == b"1234"


def test_a_command_of_the_machine(tmp_path: Path) -> None:
    spec = EvaluatorSpec(kind="command", command=("sh", "-c", "echo val_bpb: {seed}"), metric_pattern=PATTERN)
    assert run("", tmp_path, spec).metrics["val_bpb"] == 7.0


def test_a_command_that_is_not_there_says_so_at_once(tmp_path: Path) -> None:
    spec = EvaluatorSpec(kind="command", command=("no-such-program",), metric_pattern=PATTERN)
    with pytest.raises(EnvironmentLacksError, match="no-such-program") as caught:
        run("", tmp_path, spec)
    assert "{python}" in caught.value.hint


def test_an_unwritable_work_folder_is_the_machines_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    executor = CommandExecutor(command_problem(), sandbox(sys.executable), tmp_path / "file" / "work")
    with pytest.raises(EnvironmentLacksError, match="cannot make a folder"):
        executor.run(request(artifact("")))
