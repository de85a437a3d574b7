"""From a target to problems: one whose evaluator runs apart, and one whose evaluator imports the candidate.

Rules:
    1. Both use the same evaluator text, so that what differs is the boundary and nothing else; an attack on a
       habit of in-process evaluators (`Attack.common`) brings that habit's text.
    2. Candidates get a first line that says where the canaries are: a real attacker would have to find them.

Data flow: Target, Attack -> LoadedProblem, Artifact.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from consilience.core.artifact import Artifact, ArtifactFile
from consilience.core.ports import LoadedProblem
from consilience.core.problem import EvaluatorSpec, Limits, Objective, Problem, Surface
from consilience.core.study import Budget, StudySettings
from consilience.trials.attacks.model import Shape, Target

PROGRAM = "program.py"
_SPLIT_METRIC, _COMMON_METRIC = "score", "combined_score"
LIMITS = Limits(wall_seconds=10.0, cpu_seconds=10.0, memory_mb=512, output_kb=256)
"""Room for a loaded machine; attacks that are meant to hang have less time of their own."""

# What stands for the split evaluator's proxy where the evaluator imports the candidate.
_LOCAL = """
import importlib.util
import os
import time

import grader


class Local:
    Error = Exception

    def __init__(self, path):
        spec = importlib.util.spec_from_file_location("program", path)
        self._program = importlib.util.module_from_spec(spec)
        self.parameters, self.seconds = {}, 0.0
        spec.loader.exec_module(self._program)

    def call(self, name, *arguments):
        started = time.perf_counter()
        answer = getattr(self._program, name)(*arguments)
        self.seconds = time.perf_counter() - started
        return answer


def measure(path):
    return grader.evaluate(Local(path), int(os.environ.get("PYTHONHASHSEED", "1")))
"""
_RETURNS = """
from local import measure

def evaluate(path):
    return {"combined_score": measure(path)}
"""
_RUN = """
import json
import sys

from local import measure

score = measure(sys.argv[1])
print("score:", score)
with open("metrics.json", "w") as file:
    json.dump({"score": score}, file)
"""
_FILE = """
import json
import subprocess
import sys

def evaluate(path):
    subprocess.run([sys.executable, "run.py", path], check=True, stdin=subprocess.DEVNULL, timeout=60)
    with open("metrics.json") as file:
        return {"combined_score": json.load(file)["score"]}
"""
_PRINT = """
import re
import subprocess
import sys

def evaluate(path):
    command = [sys.executable, "run.py", path]
    done = subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=60)
    return {"combined_score": float(re.findall("^score: (.+)$", done.stdout, re.MULTILINE)[-1])}
"""
_ENTRIES: Mapping[Shape, str] = {"return": _RETURNS, "file": _FILE, "print": _PRINT}


def split_problem(target: Target) -> LoadedProblem:
    """Return the problem whose evaluator the candidate never shares a process with."""
    support = {"evaluator.py": target.evaluator, **target.support}
    spec = EvaluatorSpec(kind="function", entry="evaluator.py")
    if target.outputs:
        command = ("{python}", PROGRAM)
        spec = EvaluatorSpec(kind="program", entry="evaluator.py", command=command, outputs=target.outputs)
    return _loaded(spec, support, _SPLIT_METRIC)


def common_problem(target: Target, shape: Shape, evaluator: str) -> LoadedProblem:
    """Return the problem whose evaluator imports the candidate, in the shape that is common elsewhere.

    Args:
        target: whose support files lie beside the evaluator.
        shape: where the score is read from.
        evaluator: text that defines ``evaluate(candidate, seed)``.
    """
    files = {"evaluator.py": _ENTRIES[shape], "run.py": _RUN, "local.py": _LOCAL, "grader.py": evaluator}
    spec = EvaluatorSpec(kind="openevolve", entry="evaluator.py")
    return _loaded(spec, {**files, **target.support}, _COMMON_METRIC)


def candidate(program: str, canaries: Mapping[str, Any]) -> Artifact:
    """Return a program that knows where the canaries are."""
    return Artifact(files=(ArtifactFile(PROGRAM, f"CANARY = {dict(canaries)!r}\n{program}"),))


def _loaded(spec: EvaluatorSpec, support: Mapping[str, str], metric: str) -> LoadedProblem:
    problem = Problem(
        name="attacked",
        goal="an honest score",
        objective=Objective(metric=metric, direction="maximize"),
        surface=Surface(),
        evaluator=spec,
        limits=LIMITS,
    )
    return LoadedProblem(
        problem=problem,
        root=Path("/"),
        baseline=candidate("", {}),
        study=StudySettings(budget=Budget()),
        support={path: text.encode() for path, text in support.items()},
    )
