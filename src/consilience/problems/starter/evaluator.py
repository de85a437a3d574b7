"""What scores a candidate. It runs apart from the candidate, which it reaches by candidate.call alone.

`candidate.call(name, *arguments)` runs a function of the artifact in its sandbox and returns its result as plain
data: numbers, texts, lists, dicts. If the candidate raises, so does the call, and the trial has failed: let it.
`candidate.parameters` holds the values of the problem's parameters. `seed` is the seed of this trial.
"""

from __future__ import annotations

import math
from typing import Any

POINTS = [math.pi * index / 100 for index in range(101)]


def evaluate(candidate: Any, seed: int) -> dict[str, float]:  # noqa: ARG001 - this problem has no noise
    """Return the metrics by name: the mean error counts, the largest is bounded by a constraint."""
    answers = candidate.call("answer", POINTS)
    errors = [abs(float(answer) - math.sin(x)) for x, answer in zip(POINTS, answers, strict=True)]
    return {"error": math.fsum(errors) / len(errors), "largest_error": max(errors)}
