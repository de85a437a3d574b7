"""Trivial problems of each evaluator kind, around a program that defines ``run(seed)``: for executor tests.

Rules:
    1. Everything is in memory; only data files, where a test wants them, lie in a folder.

Data flow: evaluator or command text -> LoadedProblem; program text -> Artifact -> TrialRequest.
"""

from __future__ import annotations

from pathlib import Path

from consilience.core.artifact import Artifact, ArtifactFile
from consilience.core.ports import LoadedProblem, TrialRequest
from consilience.core.problem import EvaluatorSpec, FileDigest, Limits, Objective, Problem, Surface
from consilience.core.study import Budget, StudySettings

PROGRAM = "program.py"
LIMITS = Limits(wall_seconds=2.0, cpu_seconds=20.0, memory_mb=512, output_kb=256)

SPLIT = """
def evaluate(candidate, seed):
    return {"score": candidate.call("run", seed)}
"""
OPENEVOLVE = """
import importlib.util

def evaluate(path):
    spec = importlib.util.spec_from_file_location("program", path)
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    return {"combined_score": program.run(1)}
"""
PRINTS = """
import os, random
seed = int(os.environ["CONSILIENCE_SEED"])
random.seed(seed)
{program}
print("score:", run(seed))
"""


SCORES = """
import json

def evaluate(program, seed):
    return {"score": json.loads(program.run().text("score.json"))}
"""
WRITES = """
import json, os, random
seed = int(os.environ["CONSILIENCE_SEED"])
random.seed(seed)
{program}
with open("score.json", "w") as file:
    json.dump(run(seed), file, default=str)
"""


def loaded(
    spec: EvaluatorSpec,
    support: dict[str, str],
    *,
    metric: str = "score",
    root: Path = Path("/"),
    data: tuple[FileDigest, ...] = (),
) -> LoadedProblem:
    """Return a loaded problem with this evaluator and these fixed files."""
    problem = Problem(
        name="trivial",
        goal="a number",
        objective=Objective(metric=metric, direction="maximize"),
        surface=Surface(),
        evaluator=spec,
        data=data,
        limits=LIMITS,
    )
    files = {path: text.encode() for path, text in support.items()}
    settings = StudySettings(budget=Budget())
    return LoadedProblem(problem=problem, root=root, baseline=artifact(""), study=settings, support=files)


def split_problem(evaluator: str = SPLIT) -> LoadedProblem:
    """Return a problem of the own format, whose evaluator runs apart."""
    return loaded(EvaluatorSpec(kind="function", entry="evaluator.py"), {"evaluator.py": evaluator})


def openevolve_problem(evaluator: str = OPENEVOLVE, thresholds: tuple[float, ...] = ()) -> LoadedProblem:
    """Return a problem whose evaluator is given the program's path."""
    spec = EvaluatorSpec(kind="openevolve", entry="evaluator.py", cascade_thresholds=thresholds)
    return loaded(spec, {"evaluator.py": evaluator}, metric="combined_score")


def command_problem(support: dict[str, str] | None = None) -> LoadedProblem:
    """Return a problem whose program prints ``score: number``."""
    spec = EvaluatorSpec(kind="command", command=("{python}", PROGRAM), metric_pattern=r"^score:\s*(.+)$")
    return loaded(spec, support or {})


def program_problem(evaluator: str = SCORES) -> LoadedProblem:
    """Return a problem whose program writes its score as JSON, for an evaluator apart from it."""
    spec = EvaluatorSpec(kind="program", entry="evaluator.py", command=("{python}", PROGRAM), outputs=("score.json",))
    return loaded(spec, {"evaluator.py": evaluator})


def artifact(program: str) -> Artifact:
    """Return a candidate of one file."""
    return Artifact(files=(ArtifactFile(PROGRAM, program),))


def printing_artifact(program: str) -> Artifact:
    """Return a candidate that runs ``run(seed)`` itself and prints the score."""
    return artifact(PRINTS.format(program=program))


def writing_artifact(program: str) -> Artifact:
    """Return a candidate that runs ``run(seed)`` itself and writes the score."""
    return artifact(WRITES.format(program=program))


def request(candidate: Artifact, *, seed: int = 1, limits: Limits = LIMITS) -> TrialRequest:
    """Return a request for one trial."""
    return TrialRequest(artifact=candidate, seed=seed, limits=limits)
