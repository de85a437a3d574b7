"""A clock that moves only when told, for tests."""

from __future__ import annotations


class ManualClock:
    """Implements `core.ports.Clock`; each reading may move it by a fixed step."""

    def __init__(self, start_ms: int = 0, step_ms: int = 0) -> None:
        self._now = start_ms
        self._step = step_ms

    def now_ms(self) -> int:
        """Return the time and move on by the step."""
        self._now += self._step
        return self._now

    def elapsed_ms(self) -> int:
        """Return the same time as `now_ms`."""
        return self.now_ms()

    def advance(self, milliseconds: int) -> None:
        """Move the clock forward."""
        self._now += milliseconds
