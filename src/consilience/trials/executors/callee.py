"""What a split trial needs of its candidate, however that is run: called, watched and ended.

Rules:
    1. What a candidate does is a Reply or a Failure, never an exception.

Data flow: `function` (the trial) -> Callee -> a called module (`candidate_process`), a whole program (`program`).
"""

from __future__ import annotations

from typing import Any, Protocol

from consilience.core.outcome import Failure
from consilience.trials.executors.candidate_process import Reply
from consilience.trials.executors.pipes import Pump
from consilience.trials.sandbox.confinement import Exit


class Callee(Protocol):
    """**Protocol:** the candidate of one trial."""

    @property
    def started(self) -> bool:
        """Tell whether it needs no start before a call."""

    def start(self, pump: Pump) -> Failure | None:
        """Start it, or say why there is nothing to start."""

    def call(self, message: Any, pump: Pump, deadline: float) -> Reply | Failure:
        """Pass one call in and its answer out; a Failure ends the trial."""

    def cpu_seconds(self) -> float:
        """Return the CPU time that it has used in this trial so far."""

    def disturbed(self) -> bool:
        """Tell whether it acts out of turn."""

    def disturbance(self, pump: Pump) -> Failure:
        """Say what it did out of turn."""

    def end(self, pump: Pump) -> Exit | None:
        """End it, and return what it used in all; None when it never ran. May be called again."""

    def spoke_unasked(self) -> bool:
        """Tell, after the end, whether it said more than it was asked."""

    def log(self) -> str:
        """Return the tail of what it printed."""
