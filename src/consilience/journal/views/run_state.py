"""The run-state view: is somebody working on the study, in which phase, and what is in flight.

Data flow: study.*, run.*, trial.*, phase.* -> here -> resume, `cancel`, the live face.
"""

from __future__ import annotations

from collections import Counter

from consilience.core.bodies import (
    EpochClosed,
    PhaseSwitched,
    RunEnded,
    RunStarted,
    StudyConfigured,
    TrialCancelled,
    TrialFinished,
    TrialStarted,
)
from consilience.core.events import Event
from consilience.core.ports import Phase


class RunStateView:
    """Fold of runs and trials in flight.

    An excised trial was started and ended like any other; among `outcomes` it counts as ``excised``.
    """

    folds = (
        *(StudyConfigured, RunStarted, RunEnded, PhaseSwitched, EpochClosed),
        *(TrialStarted, TrialFinished, TrialCancelled),
    )

    def __init__(self) -> None:
        self.study_event = ""
        self.configured: StudyConfigured | None = None
        self.open_run = ""
        self.runs = 0
        self.end: RunEnded | None = None
        self.phase: Phase = "explore"
        self.in_flight: dict[str, TrialStarted] = {}
        self._since: dict[str, int] = {}
        self.started = 0
        self.epoch = 0
        self.outcomes: Counter[str] = Counter()

    def apply(self, event: Event) -> None:
        """Take one more event."""
        body = event.body
        if isinstance(body, StudyConfigured):
            self.study_event, self.configured = event.id, body
        elif isinstance(body, RunStarted):
            self.open_run, self.end = event.id, None
            self.runs += 1
        elif isinstance(body, RunEnded):
            self.open_run, self.end = "", body
        elif isinstance(body, PhaseSwitched):
            self.phase = body.phase
        elif isinstance(body, EpochClosed):
            self.epoch = max(self.epoch, body.epoch)
        else:
            self._apply_trial(event)

    def apply_withdrawn(self, event: Event, excision: str) -> None:  # noqa: ARG002  a view's signature
        """Take one more event that was excised."""
        if isinstance(event.body, TrialFinished):
            self.in_flight.pop(event.body.started, None)
            self.outcomes["excised"] += 1
        else:
            self._apply_trial(event)

    def _apply_trial(self, event: Event) -> None:
        body = event.body
        if isinstance(body, TrialStarted):
            self.in_flight[event.id] = body
            self._since[event.id] = event.fields.at
            self.started += 1
        elif isinstance(body, TrialFinished):
            self.in_flight.pop(body.started, None)
            self.outcomes["ok" if body.failure is None else body.failure.reason] += 1
        elif isinstance(body, TrialCancelled):
            self.in_flight.pop(body.started, None)
            self.outcomes[body.reason] += 1

    def in_flight_since(self) -> list[tuple[str, int]]:
        """Return the trials in flight with the author's clock at their start, oldest first."""
        return [(started, self._since[started]) for started in self.in_flight]
