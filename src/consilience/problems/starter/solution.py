"""What may change: everything between the two markers."""

from __future__ import annotations

# EVOLVE-BLOCK-START
A = 0.3
B = 3.0
C = 1.0
D = 0.01


def approximate(x: float) -> float:
    """Return about sin(x) for x between 0 and pi."""
    hill = x * (B - x)
    return A * hill / (C + D * hill)


# EVOLVE-BLOCK-END


def answer(points: list[float]) -> list[float]:
    """Approximate at many points at once; the evaluator calls this."""
    return [approximate(x) for x in points]
