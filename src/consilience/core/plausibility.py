"""Plausibility: can a score be true at all?

A problem may state a bound: a known optimum, a roofline, the ceiling that label noise sets. A score beyond it
says that something other than the candidate was measured, so it is quarantined, never ranked.

Rules:
    1. The bound is policy, not part of the problem: correcting it changes no score and no id.
    2. Equal to the bound, but for rounding, is plausible.

Data flow: outcome's score + Policy.bound -> `search` (verdict), leaderboard (section of its own), faces.
"""

from __future__ import annotations

from consilience.core.problem import Objective

# Relative to the bound: a sum of a million terms of one size is good to 1e-10 in the worst case (Higham 2002,
# "Accuracy and Stability of Numerical Algorithms", section 4.2: n u with u = 1.1e-16), and 1e-9 leaves a digit
# for bounds that were typed in. A bound of 0 has no rounding and so no tolerance.
TOLERANCE = 1e-9


def is_beyond(objective: Objective, score: float, bound: float | None) -> bool:
    """Tell whether a score is better than the best that can be true."""
    return bound is not None and objective.gain(score, bound) > TOLERANCE * abs(bound)


def beyond_bound(objective: Objective, score: float, bound: float | None) -> str:
    """Return in words that a score is beyond the bound; "" where it is plausible."""
    if bound is None or not is_beyond(objective, score, bound):
        return ""
    side = "above" if objective.direction == "maximize" else "below"
    return f"{objective.metric} {score:.10g} is {side} the bound {bound:.10g}, so it cannot be true"
