"""The recheck of a winner: its score, measured again in a process of its own, must be the same but for noise.

A candidate that was forked from a warm process shares libraries in memory with it. What it gained by that, and by
nothing else, is not repeated by a fresh process; so no forked candidate is promoted before a fresh run agrees.

Rules:
    1. The same seed, so that an evaluator without other chance must give the same score.
    2. Where the evaluator is noisy, two runs may differ by what the noise floor allows.
    3. The seed on which it won most is measured again: a cheat that keeps still on some seeds has won on others.
    4. Pure: scores and noise in, "" or the fault out.

Data flow: earlier score, fresh score, NoiseFloor -> `recheck_fault` -> `state` -> `contest`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from consilience.search.noise import NoiseFloor
from consilience.search.student import critical_value

LEVEL = 0.0005  # of each side: one honest winner in a thousand is turned away
RELATIVE = 1e-9  # rounding of sums whose order a library may choose by the alignment of memory


def recheck_seed(gains: Mapping[int, float]) -> int:
    """Return the seed to measure again, of the gains over the incumbent by seed; the first of equals."""
    return max(gains, key=lambda seed: gains[seed])


def recheck_fault(earlier: float, fresh: float, noise: NoiseFloor | None, chosen_among: int = 1) -> str:
    """Say why a fresh run does not agree with an earlier one under the same seed, or "".

    Args:
        earlier: the score of the forked run.
        fresh: the score of the fresh run.
        noise: the noise floor; None where none was measured.
        chosen_among: how many runs the earlier one was the best of: the best of many is lucky (Bonferroni).
    """
    if math.isclose(earlier, fresh, rel_tol=RELATIVE, abs_tol=RELATIVE):
        return ""
    allowed = 0.0
    if noise is not None and not noise.deterministic and noise.degrees > 0:
        allowed = critical_value(LEVEL / chosen_among, noise.degrees) * noise.deviation * math.sqrt(2.0)
    if abs(earlier - fresh) <= allowed:
        return ""
    return f"a fresh process scored {fresh:g} where the forked one scored {earlier:g}"
