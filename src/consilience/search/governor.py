"""The entropy governor: when to explore and when to exploit. A rule, not a mood.

Rules:
    1. Exploitation is locked until the moving average of novelty per exploration step falls below
       its exit threshold, and never before the minimum dwell.
    2. Stagnation (no promotion for a while) unlocks exploration again.
    3. Each switch is an event with the figures that caused it.

Data flow: candidate.proposed (novelty), verdict.reached -> Governor -> phase.switched.
"""

from __future__ import annotations

from msgspec import Struct

from consilience.core.bodies import PhaseSwitched
from consilience.core.ports import Phase


class GovernorRule(Struct, frozen=True, kw_only=True):
    """Thresholds of the governor.

    Attributes:
        smoothing: weight of the newest step in the moving average of novelty.
        exit_novelty: exploration ends when the average is below this (distance, 0 to 1).
        minimum_dwell: candidates before any switch.
        maximum_dwell: candidates after which exploration yields even though novelty stays high: a space
            that never runs dry would lock exploitation for ever.
        patience: candidates without promotion after which exploitation ends.
    """

    smoothing: float = 0.15
    exit_novelty: float = 0.12
    minimum_dwell: int = 12
    maximum_dwell: int = 40
    patience: int = 30


class Governor:
    """Fold of novelty and promotions into the phase."""

    def __init__(self, rule: GovernorRule | None = None) -> None:
        self.rule = rule or GovernorRule()
        self.phase: Phase = "explore"
        self.steps = 0
        self.novelty_average = 1.0
        self.without_promotion = 0

    def propose(self, novelty: float) -> None:
        """Take in the novelty of one more candidate."""
        self.steps += 1
        if self.phase == "explore":
            self.novelty_average += self.rule.smoothing * (novelty - self.novelty_average)

    def settle(self, *, promoted: bool) -> None:
        """Take in one more verdict."""
        self.without_promotion = 0 if promoted else self.without_promotion + 1

    def switch(self, body: PhaseSwitched) -> None:
        """Take in a switch."""
        self.phase = body.phase
        self.steps = 0
        self.novelty_average = 1.0
        self.without_promotion = 0

    def due(self) -> PhaseSwitched | None:
        """Return the switch that the rule demands now, None when there is none."""
        if self.steps < self.rule.minimum_dwell:
            return None
        return self._leave_exploration() if self.phase == "explore" else self._leave_exploitation()

    def _leave_exploration(self) -> PhaseSwitched | None:
        spent = self.novelty_average < self.rule.exit_novelty
        if not spent and self.steps < self.rule.maximum_dwell:
            return None
        why = "fell below its exit threshold" if spent else "stayed high, but the longest dwell is over"
        return self._switch("exploit", f"novelty per exploration step {why}")

    def _leave_exploitation(self) -> PhaseSwitched | None:
        if self.without_promotion < self.rule.patience:
            return None
        return self._switch("explore", f"no promotion in {self.without_promotion} candidates")

    def _switch(self, phase: Phase, reason: str) -> PhaseSwitched:
        figures = {
            "novelty_average": self.novelty_average,
            "exit_novelty": self.rule.exit_novelty,
            "steps": float(self.steps),
            "without_promotion": float(self.without_promotion),
        }
        return PhaseSwitched(phase=phase, figures=figures, reason=reason)
