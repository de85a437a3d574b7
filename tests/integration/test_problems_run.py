"""Every problem folder that ships, or stands for what users bring, is scored by the real executors."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import pytest

from consilience.core.outcome import Outcome
from consilience.core.ports import LoadedProblem, TrialRequest
from consilience.domains.catalogue import builtin_folder
from consilience.problems.load import load_problem
from consilience.problems.template import write_template
from consilience.trials.executors.factory import make_executor
from consilience.trials.sandbox.probe import strongest_sandbox

LAYOUTS = Path(__file__).parents[1] / "layouts"
sandbox = functools.cache(strongest_sandbox)


def score(loaded: LoadedProblem, work: Path, seeds: tuple[int, ...] = (1,)) -> list[Outcome]:
    executor = make_executor(loaded, sandbox(sys.executable), work)
    try:
        limits = loaded.problem.limits
        return [executor.run(TrialRequest(artifact=loaded.baseline, seed=seed, limits=limits)) for seed in seeds]
    finally:
        executor.close()


@pytest.mark.parametrize(
    ("folder", "low", "high"),
    [
        (builtin_folder("circle-packing"), 0.36, 1.5),
        (builtin_folder("digits"), 1.5, 2.3),
        (LAYOUTS / "function_minimization", 0.1, 0.95),
        (LAYOUTS / "circle_packing", 0.42, 0.43),
        (LAYOUTS / "signal_processing", 0.28, 0.30),
        (LAYOUTS / "autoresearch", 2.0, 2.2),
    ],
    ids=lambda value: value.name if isinstance(value, Path) else "",
)
def test_the_artifact_as_given_has_a_score_with_headroom(tmp_path: Path, folder: Path, low: float, high: float) -> None:
    loaded = load_problem(folder)
    (outcome,) = score(loaded, tmp_path)
    assert outcome.ok, (outcome.failure, outcome.log)
    assert low < outcome.metrics[loaded.problem.objective.metric] < high
    assert all(constraint.holds(outcome.metrics) for constraint in loaded.problem.constraints)


def test_the_starter_runs_as_it_is_and_without_noise(tmp_path: Path) -> None:
    write_template(tmp_path / "new")
    loaded = load_problem(tmp_path / "new")
    first, second = score(loaded, tmp_path / "work", (1, 2))
    assert first.ok, (first.failure, first.log)
    assert first.metrics == second.metrics
    assert all(constraint.holds(first.metrics) for constraint in loaded.problem.constraints)
