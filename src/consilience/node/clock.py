"""The system's clocks, behind `core.ports.Clock`."""

from __future__ import annotations

import time

_NANOSECONDS_PER_MILLISECOND = 1_000_000


class SystemClock:
    """Real time. Implements `core.ports.Clock`."""

    def now_ms(self) -> int:
        """Return whole milliseconds since the Unix epoch."""
        return time.time_ns() // _NANOSECONDS_PER_MILLISECOND

    def elapsed_ms(self) -> int:
        """Return whole milliseconds of the monotonic clock."""
        return time.monotonic_ns() // _NANOSECONDS_PER_MILLISECOND
