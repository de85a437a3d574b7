"""The recheck of a winner: its score, measured again in a process of its own, must be the same but for noise.

A candidate that was forked from a warm process shares libraries in memory with it. What it gained by that, and by
nothing else, is not repeated by a fresh process; so no forked candidate is promoted before fresh runs agree.

Rules:
    1. The same seeds, so that an evaluator without other chance must give the same scores.
    2. The seeds on which it won most are measured again: a cheat that keeps still on some seeds has won on others.
    3. Where scores differ between seeds, several are measured: no run may differ by more than noise explains,
       nor all of them together by more than they differ among themselves. One run would hide a gain of many deviations.
    4. Pure: scores and noise in, "" or the fault out.

Data flow: earlier scores, fresh scores, NoiseFloor -> `recheck_fault` -> `state` -> `contest`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from consilience.search.noise import NoiseFloor, allowed_difference, moments
from consilience.search.student import critical_value

FALSE_ALARMS = 0.001  # of honest winners that are turned away: two-sided
RELATIVE = 1e-9  # rounding of sums whose order a library may choose by the alignment of memory
RUNS = 6  # as many pairs as a noisy contest needs at least (`statistics.FIRST_SUCCESS`)


def recheck_seeds(gains: Mapping[int, float], *, noisy: bool) -> tuple[int, ...]:
    """Return the seeds to measure again, of the gains over the incumbent by seed: the largest first.

    Args:
        gains: by seed.
        noisy: whether scores differ between seeds; one run tells all where they do not.
    """
    return tuple(sorted(gains, key=lambda seed: -gains[seed])[: RUNS if noisy else 1])


def recheck_fault(earlier: Mapping[int, float], fresh: Mapping[int, float], noise: NoiseFloor | None) -> str:
    """Say why fresh runs do not agree with earlier ones under the same seeds, or "".

    Args:
        earlier: the scores of the runs that were forked, by seed.
        fresh: those of the fresh runs, under some of these seeds.
        noise: the noise floor; None where none was measured.
    """
    pairs = [(earlier[seed], fresh[seed]) for seed in fresh]
    differing = [pair for pair in pairs if not math.isclose(*pair, rel_tol=RELATIVE, abs_tol=RELATIVE)]
    allowed = _allowed_of_one(len(earlier), noise)
    for before, after in differing:
        if abs(before - after) > allowed:
            return f"a fresh process scored {after:g} where the forked one scored {before:g}"
    differences = tuple(before - after for before, after in pairs)
    if differing and len(pairs) >= RUNS and abs(moments(differences)[0]) > _allowed_of_mean(differences):
        mean = moments(differences)[0]
        return f"over {len(pairs)} seeds fresh processes scored {-mean:+g} beside the forked ones"
    return ""


def _allowed_of_one(chosen_among: int, noise: NoiseFloor | None) -> float:
    """Return how far one fresh run may differ: the best of many runs is a lucky one (Bonferroni)."""
    return 0.0 if noise is None else allowed_difference(noise, FALSE_ALARMS / chosen_among)


def _allowed_of_mean(differences: tuple[float, ...]) -> float:
    """Return how far the mean of paired differences may be from zero (Student's paired test)."""
    count = len(differences)
    deviation = math.sqrt(moments(differences)[1] / (count - 1))
    return critical_value(FALSE_ALARMS / 2, count - 1) * deviation / math.sqrt(count)
