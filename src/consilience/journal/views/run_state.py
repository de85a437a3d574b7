"""The run-state view: is somebody working on the study, in which phase, and what is in flight.

Data flow: study.*, run.*, trial.*, phase.* -> here -> resume, `cancel`, the live face.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, ClassVar

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

    cells: ClassVar[Mapping[str, Any]] = {
        "study_event": str,
        "configured": StudyConfigured | None,
        "open_run": str,
        "runs": int,
        "end": RunEnded | None,
        "phase": Phase,
        "in_flight": dict[str, TrialStarted],
        "_since": dict[str, int],
        "started": int,
        "epoch": int,
        "_outcomes": dict[str, int],
    }
    tables: ClassVar[Mapping[str, Any]] = {}
    lists: ClassVar[Mapping[str, Any]] = {}

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
        self._outcomes: dict[str, int] = {}

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
            self._end(event.body.started, "excised")
        else:
            self._apply_trial(event)

    def _apply_trial(self, event: Event) -> None:
        body = event.body
        if isinstance(body, TrialStarted):
            self.in_flight[event.id] = body
            self._since[event.id] = event.fields.at
            self.started += 1
        elif isinstance(body, TrialFinished):
            self._end(body.started, "ok" if body.failure is None else body.failure.reason)
        elif isinstance(body, TrialCancelled):
            self._end(body.started, body.reason)

    def _end(self, started: str, outcome: str) -> None:
        self.in_flight.pop(started, None)
        self._since.pop(started, None)
        self._outcomes[outcome] = self._outcomes.get(outcome, 0) + 1

    @property
    def outcomes(self) -> Counter[str]:
        """How often each outcome was reached: ok, a failure's reason, or why a trial was cancelled."""
        return Counter(self._outcomes)

    def in_flight_since(self) -> list[tuple[str, int]]:
        """Return the trials in flight with the author's clock at their start, oldest first."""
        return [(started, self._since[started]) for started in self.in_flight]
