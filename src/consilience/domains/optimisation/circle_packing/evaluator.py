"""Scores a packing: the sum of radii, and how many rules it breaks.

Rules:
    1. Floats are exact fractions, and they are compared as such: there is no tolerance to exploit.
    2. What is not 26 finite circles scores nothing and counts as broken.
"""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import combinations
from typing import Any

CIRCLES = 26
Circle = tuple[Fraction, Fraction, Fraction]


def evaluate(candidate: Any, seed: int) -> dict[str, float]:  # noqa: ARG001 - the packing does not depend on it
    """Return ``sum_radii`` in side lengths of the square and ``violations`` as a count."""
    rows = _lists(candidate.call("pack"))
    if not isinstance(rows, list) or len(rows) != CIRCLES or not all(_is_circle(row) for row in rows):
        return {"sum_radii": 0.0, "violations": float(CIRCLES)}
    circles: list[Circle] = [(Fraction(x), Fraction(y), Fraction(r)) for x, y, r in rows]
    broken = sum(not _fits(circle) for circle in circles)
    broken += sum(_overlap(one, other) for one, other in combinations(circles, 2))
    return {"sum_radii": math.fsum(row[2] for row in rows), "violations": float(broken)}


def _lists(value: Any) -> Any:
    """Return arrays, and a list's arrays, as lists: a candidate may answer with either."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return [_lists(row) for row in value] if isinstance(value, list) else value


def _is_circle(row: Any) -> bool:
    return isinstance(row, list) and len(row) == len(("x", "y", "radius")) and all(_is_finite(value) for value in row)


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1 and math.isfinite(value)


def _fits(circle: Circle) -> bool:
    x, y, radius = circle
    return radius >= 0 and radius <= min(x, y, 1 - x, 1 - y)


def _overlap(one: Circle, other: Circle) -> bool:
    reach = one[2] + other[2]
    return (one[0] - other[0]) ** 2 + (one[1] - other[1]) ** 2 < reach * reach
