"""Outcomes as views see them: one that lacks the objective's metric is a failed one, whoever signed it.

Rules:
    1. The event stays as it was signed; only what views are shown differs.
    2. Every view is shown the same, so that no two of them disagree about what failed.

Data flow: trial.finished -> `as_measured` -> `journal.folding` -> views.
"""

from __future__ import annotations

from msgspec.structs import replace

from consilience.core.bodies import TrialFinished
from consilience.core.events import Event
from consilience.core.outcome import Failure


def as_measured(event: Event, metric: str) -> Event:
    """Return the event for a view: an outcome that claims success without the metric is shown as a failure."""
    body = event.body
    if not metric or not isinstance(body, TrialFinished) or body.failure is not None or metric in body.metrics:
        return event
    failure = Failure(reason="missing_metric", message=f"the outcome has no metric {metric}")
    return replace(event, body=replace(body, failure=failure))
