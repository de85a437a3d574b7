"""Student's t distribution, as far as promotion needs it: its upper tail and its quantile.

Rules:
    1. Pure standard library: the loop must not need SciPy.
    2. Accurate where promotion works: tails down to 1e-9, where normal approximations mislead.

Data flow: a level and degrees of freedom -> a critical value -> `statistics`.
"""

from __future__ import annotations

import math
from functools import lru_cache

_TERMS = 400  # enough for 200,000 degrees
_PRECISION = 1e-15


def upper_tail(t: float, degrees: int) -> float:
    """Return the chance that a Student variable exceeds `t`.

    Source: DLMF 8.17 (the incomplete beta function), with x = degrees / (degrees + t^2).
    """
    square = t * t
    if square == 0.0:
        return 0.5
    x, rest = degrees / (degrees + square), 1.0 / (1.0 + degrees / square)
    half = 0.5 * _incomplete_beta(degrees / 2.0, 0.5, x, rest)
    return half if t >= 0 else 1.0 - half


@lru_cache(maxsize=65536)
def critical_value(level: float, degrees: int) -> float:
    """Return the t that a Student variable exceeds with chance `level` (0 < level < 1/2)."""
    low, high = 0.0, 2.0
    while upper_tail(high, degrees) > level:
        low, high = high, high * 2.0
    while high - low > 1e-9 * high:
        middle = (low + high) / 2.0
        if upper_tail(middle, degrees) > level:
            low = middle
        else:
            high = middle
    return high


def _incomplete_beta(a: float, b: float, x: float, rest: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b); `rest` is 1 - x, free of cancellation."""
    if x <= 0.0 or rest <= 0.0:
        return 0.0 if x <= 0.0 else 1.0
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - _incomplete_beta(b, a, rest, x)
    log_front = a * math.log(x) + b * math.log(rest) - math.log(a)
    log_front += math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    return math.exp(log_front) / _continued_fraction(a, b, x)


def _continued_fraction(a: float, b: float, x: float) -> float:
    """Evaluate the fraction of DLMF 8.17.22 forwards, until a term changes nothing.

    Source: the modified Lentz method (Thompson and Barnett 1986, J. Comput. Phys. 64:490). Below the
    switch-over of `_incomplete_beta` it needs about sqrt(max(a, b)) terms, and few in the far tail.
    """
    fraction = ratio = 1.0
    inverse = 0.0
    for term in range(1, _TERMS + 1):
        step = _coefficient(term, a, b) * x
        inverse = 1.0 / (1.0 + step * inverse)
        ratio = 1.0 + step / ratio
        change = ratio * inverse
        fraction *= change
        if abs(change - 1.0) < _PRECISION:
            break
    return fraction


def _coefficient(term: int, a: float, b: float) -> float:
    """Return the coefficient of x in one term (DLMF 8.17.23)."""
    m = term // 2
    if term % 2 == 0:
        return m * (b - m) / ((a + 2 * m - 1) * (a + 2 * m))
    return -(a + m) * (a + b + m) / ((a + 2 * m) * (a + 2 * m + 1))
