"""Repeats: does a candidate score again, under the same seed, what it scored before?

Rules:
    1. A metric that never moved over the baseline's seeds must come out equal. (Equal values: the journal's
       canonical numbers know one zero, so -0.0 and 0.0 are the same.)
    2. A metric that moves may differ by what two runs of one artifact differ by: see `noise.allowed_difference`.
       A re-run uses the recorded seed, which only makes the two runs more alike: the test errs towards silence.
    3. The objective is always judged; another metric without a floor is shown and not judged.

Data flow: metrics of two runs + floors of the baseline -> `compare` -> re-run's report, `show`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from consilience.search.noise import NoiseFloor, allowed_difference

FALSE_ALARMS = 0.01  # of honest re-runs that a noisy metric calls different: two-sided

Agreement = Literal["equal", "within noise", "differs", "not judged"]


class Compared(Struct, frozen=True, kw_only=True):
    """One metric of two runs. None where a run has it not; `allowed` is None where nothing tells."""

    metric: str
    before: float | None
    after: float | None
    difference: float | None
    allowed: float | None
    agreement: Agreement


def compare(
    before: Mapping[str, float], after: Mapping[str, float], floors: Mapping[str, NoiseFloor], objective: str
) -> list[Compared]:
    """Compare every metric of two successful runs, the objective first.

    Args:
        before: the recorded metrics.
        after: those of the re-run.
        floors: noise floor of each metric, where the baseline has one.
        objective: the metric that is judged in any case: without a floor it must be equal.
    """
    names = sorted({*before, *after}, key=lambda name: (name != objective, name))
    return [_compare_one(name, before.get(name), after.get(name), _allowed(name, floors, objective)) for name in names]


def _allowed(name: str, floors: Mapping[str, NoiseFloor], objective: str) -> float | None:
    if name in floors:
        return allowed_difference(floors[name], FALSE_ALARMS)
    return 0.0 if name == objective else None


def _compare_one(name: str, before: float | None, after: float | None, allowed: float | None) -> Compared:
    difference = None if before is None or after is None else after - before
    return Compared(
        metric=name,
        before=before,
        after=after,
        difference=difference,
        allowed=allowed,
        agreement=_agreement(difference, allowed),
    )


def _agreement(difference: float | None, allowed: float | None) -> Agreement:
    if difference == 0.0:
        return "equal"
    if allowed is None:
        return "not judged"
    return "within noise" if difference is not None and abs(difference) <= allowed else "differs"
