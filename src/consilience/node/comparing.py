"""A candidate's scores beside the baseline's, as the study has measured it: a figure, not a verdict.

Rules:
    1. Only scores of one comparability key are compared: same problem, same class of platform.
    2. Over the seeds that both have; over all where they have none in common.

Data flow: scores by seed, StudyReader -> Comparison.
"""

from __future__ import annotations

import math
from typing import Literal

from msgspec import Struct

from consilience.core.bodies import ASIDE
from consilience.core.ports import LoadedProblem
from consilience.core.problem import comparability_key
from consilience.node.reading import StudyReader
from consilience.node.repeats import floors_of
from consilience.search.noise import NoiseFloor

Clearance = Literal["clears the noise floor", "within the noise floor", "no gain"]


class Comparison(Struct, frozen=True, kw_only=True):
    """The candidate's mean beside the baseline's, over the seeds that both have, or over all without a common one."""

    baseline: float
    gain: float
    floor: float
    pairs: int
    clearance: Clearance


def compare(loaded: LoadedProblem, platform: str, scores: dict[int, float], reader: StudyReader) -> Comparison | None:
    """Compare with the baseline; None where there are no scores, or the study has no baseline on such a platform.

    Args:
        loaded: the problem, with the study's settings.
        platform: the class of platform that the scores were measured on.
        scores: the candidate's, by seed.
        reader: the study.
    """
    key = comparability_key(loaded.problem, platform)
    floor = floors_of(reader, key).get(loaded.problem.objective.metric)
    baseline = _baseline_scores(reader, key)
    if floor is None or not baseline or not scores:
        return None
    common = [seed for seed in scores if seed in baseline]
    mine = [scores[seed] for seed in common] or list(scores.values())
    theirs = [baseline[seed] for seed in common] or list(baseline.values())
    gain = loaded.problem.objective.gain(_mean(mine), _mean(theirs))
    least = max(_noise(floor, len(mine), len(theirs)), loaded.study.policy.minimum_gain)
    clearance: Clearance = "no gain" if gain <= 0 else "within the noise floor"
    return Comparison(
        baseline=_mean(theirs),
        gain=gain,
        floor=least,
        pairs=len(common),
        clearance="clears the noise floor" if gain > least else clearance,
    )


def _noise(floor: NoiseFloor, runs: int, others: int) -> float:
    """Return how far two means of so many runs differ by noise: one deviation, as the floor in contests."""
    return 0.0 if floor.deterministic else floor.deviation * math.sqrt(1 / runs + 1 / others)


def _baseline_scores(reader: StudyReader, key: str) -> dict[int, float]:
    metric = reader.problem.objective.metric
    event = reader.search.baseline.event if reader.search.baseline else ""
    rows = [row for row in reader.trials.of_candidate(event) if row.status == "ok"]
    return {row.seed: row.metrics[metric] for row in rows if row.comparability_key == key and row.purpose not in ASIDE}


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)
