"""The recheck of a winner: its score, measured again in a process of its own, must be the same but for noise.

A candidate that was forked from a warm process shares libraries in memory with it. What it gained by that, and by
nothing else, is not repeated by a fresh process; so no forked candidate is promoted before a fresh run agrees.

Rules:
    1. The same seed, so that an evaluator without other chance must give the same score.
    2. Where the evaluator is noisy, two runs may differ by what `noise.allowed_difference` allows.
    3. Pure: scores and noise in, "" or the fault out.

Data flow: earlier score, fresh score, NoiseFloor -> `recheck_fault` -> `state` -> `contest`.
"""

from __future__ import annotations

import math

from consilience.search.noise import NoiseFloor, allowed_difference

FALSE_ALARMS = 0.001  # of honest winners that are turned away: two-sided
RELATIVE = 1e-9  # rounding of sums whose order a library may choose by the alignment of memory


def recheck_fault(earlier: float, fresh: float, noise: NoiseFloor | None) -> str:
    """Say why a fresh run does not agree with an earlier one under the same seed, or "".

    Args:
        earlier: the score of the forked run.
        fresh: the score of the fresh run.
        noise: the noise floor; None where none was measured.
    """
    if math.isclose(earlier, fresh, rel_tol=RELATIVE, abs_tol=RELATIVE):
        return ""
    if noise is not None and abs(earlier - fresh) <= allowed_difference(noise, FALSE_ALARMS):
        return ""
    return f"a fresh process scored {fresh:g} where the forked one scored {earlier:g}"
