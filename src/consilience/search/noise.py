"""The noise floor: how far one artifact's score moves when only the seed changes.

Rules:
    1. The baseline over several seeds gives the first estimate; later replicates are pooled into it.
    2. Only spread within one artifact counts; differences between artifacts are what is searched for.

Data flow: baseline outcomes, later replicates -> NoiseFloor -> `statistics.Evidence`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

from consilience.search.student import critical_value

LARGEST = 1e150  # magnitudes are held below this, so that a square stays finite


class NoiseFloor(Struct, frozen=True, kw_only=True):
    """The spread of one run.

    Attributes:
        mean: the baseline's mean score, in the metric's unit.
        deviation: pooled standard deviation of one run over seeds, in the metric's unit.
        degrees: degrees of freedom of the deviation; 0 when no artifact has two scores.
        deterministic: every artifact that has two scores or more always got the same one.
    """

    mean: float
    deviation: float
    degrees: int
    deterministic: bool


def noise_floor(scores: tuple[float, ...]) -> NoiseFloor:
    """Measure the noise floor from the baseline's scores, one for each seed.

    One score, or none, cannot show spread: it counts as not deterministic with 0 degrees.
    """
    mean, squares = moments(scores)
    degrees = max(len(scores) - 1, 0)
    deviation = math.sqrt(squares / degrees) if degrees else 0.0
    same = degrees > 0 and min(scores) == max(scores)
    return NoiseFloor(mean=mean, deviation=deviation, degrees=degrees, deterministic=same)


def pool(floor: NoiseFloor, groups: Sequence[tuple[float, ...]]) -> NoiseFloor:
    """Add later replicates: each group holds the scores of one artifact over seeds.

    The pooled variance is the sum of squares over the sum of degrees, both within groups. The mean
    stays the baseline's.
    """
    squares = floor.deviation**2 * floor.degrees
    degrees = floor.degrees
    same = floor.deterministic
    for group in groups:
        if len(group) > 1:
            squares += moments(group)[1]
            degrees += len(group) - 1
            same = same and min(group) == max(group)
    deviation = math.sqrt(squares / degrees) if degrees else 0.0
    return NoiseFloor(mean=floor.mean, deviation=deviation, degrees=degrees, deterministic=same)


def allowed_difference(floor: NoiseFloor, false_alarms: float) -> float:
    """Return the largest difference of two runs of one artifact that is put down to noise, in the metric's unit.

    Each run has the floor's deviation s, their difference s * sqrt(2); s is itself estimated, so that the
    difference over it follows Student's t: t at `false_alarms` / 2 with the floor's degrees, times s * sqrt(2).

    Args:
        floor: the noise floor.
        false_alarms: share of honest pairs that may differ by more: two-sided.
    """
    if floor.deterministic or floor.degrees == 0:
        return 0.0
    return critical_value(false_alarms / 2, floor.degrees) * floor.deviation * math.sqrt(2.0)


def moments(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and the sum of squared deviations from it; (0, 0) without values."""
    if not values:
        return 0.0, 0.0
    held = [hold(value) for value in values]
    mean = math.fsum(held) / len(held)
    if min(held) == max(held):
        return held[0], 0.0
    return mean, math.fsum((value - mean) ** 2 for value in held)


def hold(value: float) -> float:
    """Return the value, held within the magnitudes whose squares are finite."""
    return min(max(value, -LARGEST), LARGEST)
