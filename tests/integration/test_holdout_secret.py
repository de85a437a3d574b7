"""The holdout in real trials: only the evaluator of a holdout trial has it; candidates search for it in vain."""

from __future__ import annotations

import functools
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from consilience.core.outcome import Outcome
from consilience.core.ports import Executor, LoadedProblem, TrialRequest
from consilience.problems.load import load_problem
from consilience.trials.executors.factory import make_executor
from consilience.trials.sandbox.probe import strongest_sandbox

sandbox = functools.cache(strongest_sandbox)

TOML = """
[objective]
metric = "found"
direction = "minimize"
[artifact]
files = ["seek.py"]
[evaluator]
KIND
[holdout]
files = ["held/secret.csv"]
[limits]
wall_seconds = 120
cpu_seconds = 120
memory_mb = 512
"""
FUNCTION = 'kind = "function"'
PROGRAM = 'kind = "program"\ncommand = ["{python}", "seek.py"]\noutputs = ["found.json"]'

# Reads every file that it may, but for what lies in the folders of the interpreter and of the system: those are the
# same before and after, and nothing of a trial is written there. /proc is searched by hand.
SEEK = """
import json, os, sys

PASSED = ("/usr", "/lib", "/lib64", "/lib32", "/bin", "/sbin", "/proc", "/sys", sys.prefix, sys.base_prefix)
PLACE = "THE-PLACE"
INSIDE = ("environ", "cmdline", "mountinfo", "maps", "status")


def files():
    for folder, names, found in os.walk("/"):
        names[:] = [name for name in names if os.path.join(folder, name) not in PASSED]
        yield from (os.path.join(folder, name) for name in found)
    for process in os.listdir("/proc"):
        yield from (f"/proc/{process}/{name}" for name in INSIDE)
        yield from (f"/proc/{process}/cwd/{name}" for name in ("secret.csv", "held/secret.csv"))
        yield f"/proc/{process}/root" + PLACE
    yield from (PLACE, "held/secret.csv", "../held/secret.csv")


def seek(marker):
    hits, read = [], 0
    for path in files():
        try:
            with open(path, "rb") as file:
                if not os.path.isfile(path) and "/proc/" not in path:
                    continue
                data = file.read(1 << 20)
        except OSError:
            continue
        read += 1
        if bytes.fromhex(marker) in data:
            hits.append(path)
    return {"hits": hits, "read": read}
"""
# The candidate is given the marker backwards and in hex, so that no copy of the question is found as an answer.
EVALUATOR = """
import os

def _marker(): return open("held/secret.csv").read()
def ask(candidate, marker):
    found = ASK
    assert found["read"] > 3, found
    print(found)
    return {"found": float(len(found["hits"])), "read": float(found["read"])}

def evaluate(candidate, seed):
    assert not os.path.exists("held"), os.listdir(".")
    for folder, _, names in os.walk("."):
        assert not any("secret" in name for name in names), (folder, names)
    try:
        _marker()
    except FileNotFoundError:
        return ask(candidate, MARKER)
    return {"found": 1.0}

def holdout(candidate, seed):
    assert _marker().encode().hex() == MARKER
    return ask(candidate, MARKER)
"""
ASKS = {
    FUNCTION: 'candidate.call("seek", marker)',
    PROGRAM: 'candidate.run(marker).json("found.json")',
}


@pytest.fixture(params=[FUNCTION, PROGRAM], ids=["function", "program"])
def loaded(request: pytest.FixtureRequest, tmp_path: Path) -> LoadedProblem:
    kind, root, marker = request.param, tmp_path / "problem", f"marker-{secrets.token_hex(16)}"
    seek = SEEK.replace("THE-PLACE", str(root / "held" / "secret.csv"))
    if kind == PROGRAM:
        seek += "\njson.dump(seek(sys.argv[1]), open('found.json', 'w'))\n"
    files = {
        "problem.toml": TOML.replace("KIND", kind),
        "seek.py": seek,
        "evaluator.py": EVALUATOR.replace("ASK", ASKS[kind]).replace("MARKER", repr(marker.encode().hex())),
        "held/secret.csv": marker,
    }
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return load_problem(root)


@pytest.fixture
def executor(loaded: LoadedProblem, tmp_path: Path) -> Iterator[Executor]:
    held = sandbox(sys.executable)
    if held.level not in {"strong", "restricted"}:
        pytest.skip("without a sandbox nothing is hidden")
    made = make_executor(loaded, held, tmp_path / "work")
    yield made
    made.close()
    assert not list((tmp_path / "work").glob("*"))


def run(executor: Executor, loaded: LoadedProblem, *, holdout: bool) -> Outcome:
    limits = loaded.problem.limits
    return executor.run(TrialRequest(artifact=loaded.baseline, seed=1, limits=limits, fresh=True, holdout=holdout))


def test_a_candidate_that_searches_everything_finds_nothing(executor: Executor, loaded: LoadedProblem) -> None:
    everyday = run(executor, loaded, holdout=False)
    asked = run(executor, loaded, holdout=True)
    for outcome in (everyday, asked):
        assert outcome.failure is None, outcome
        assert outcome.metrics["found"] == 0.0, outcome.log
        assert outcome.metrics["read"] > 3


def test_the_search_would_find_what_lies_in_the_open(loaded: LoadedProblem) -> None:
    """Without a sandbox the same candidate finds the same file: its search is no stub."""
    marker = loaded.holdout["held/secret.csv"].hex()
    text = loaded.baseline.text("seek.py").split("\njson.dump")[0]
    names: dict[str, object] = {}
    limited = text.replace('os.walk("/")', f"os.walk({str(loaded.root)!r})").replace('os.listdir("/proc")', "[]")
    exec(compile(limited, "seek.py", "exec"), names)
    found = names["seek"](marker)  # type: ignore[operator]
    assert str(loaded.root / "held" / "secret.csv") in found["hits"]


def test_the_evaluator_of_a_holdout_trial_is_its_own_and_goes_with_it(
    executor: Executor, loaded: LoadedProblem, tmp_path: Path
) -> None:
    run(executor, loaded, holdout=True)
    left = [path for path in (tmp_path / "work").rglob("*") if path.is_file() and "secret" in path.name]
    assert left == []
