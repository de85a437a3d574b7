"""Decisions as they are shown: what was decided, what was predicted and observed, and what became of it.

Rules:
    1. Everything carries the ids of the events behind it.
    2. Figures are as recorded, in the metric's unit; nothing here is judged.

Data flow: `journal.views.decisions` -> these -> `journal.views.soul` -> faces.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from consilience.core.hypothesis import Prediction
from consilience.core.study import Policy

DecisionName = Literal[
    "promoted", "escalated", "implausible", "applied", "policy changed", "excised a result", "withdrew an excision"
]
AftermathName = Literal["recheck", "rerun", "holdout", "applied", "replaced", "implausible", "excised", "withdrawn"]
SIGNIFICANT = ("promoted", "escalated", "implausible")


class Aftermath(Struct, frozen=True, kw_only=True):
    """What became of a decision. A recheck's and a re-run's figures are `before` and `after`, under one seed."""

    what: AftermathName
    event: str
    figures: dict[str, float] = {}
    text: str = ""


class Decision(Struct, frozen=True, kw_only=True):
    """One decision with its appraisal.

    Attributes:
        about: the `candidate.proposed` event, or the event that an excision names; "" without one.
        figures: of the verdict.
        observed: mean score of the candidate when it was judged.
        surprise: (observed - predicted) / predicted deviation.
        excised: it was withdrawn, or rests on what was.
        events: every event behind what is shown here.
    """

    name: DecisionName
    event: str
    hive: str
    at: int
    about: str = ""
    reasons: tuple[str, ...] = ()
    figures: dict[str, float] = {}
    predicted: Prediction | None = None
    observed: float | None = None
    surprise: float | None = None
    excised: bool = False
    aftermath: tuple[Aftermath, ...] = ()
    events: tuple[str, ...] = ()


def surprise(predicted: Prediction | None, observed: float | None) -> float | None:
    """Return by how many predicted deviations the observation missed the prediction; None where nothing tells."""
    if predicted is None or observed is None or predicted.deviation <= 0.0:
        return None
    return (observed - predicted.score) / predicted.deviation


def given(**figures: float | None) -> dict[str, float]:
    """Return the figures that there are."""
    return {name: value for name, value in figures.items() if value is not None}


def differences(before: Policy, after: Policy) -> tuple[str, ...]:
    """Return each field of the policy that changed, as ``field: old -> new``."""
    pairs = ((name, getattr(before, name), getattr(after, name)) for name in Policy.__struct_fields__)
    return tuple(f"{name}: {old} -> {new}" for name, old, new in pairs if old != new)
