"""One thread that looks after every confined tree of this process, 20 times a second.

Rules:
    1. One thread, whatever the number of trees; asleep while there is nothing to look after.
    2. It looks and tells; who is told acts elsewhere, so that one tree's end does not hold up the others.

Data flow: `watch(look)` -> `look()` every WATCH_SECONDS until it returns False.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

WATCH_SECONDS = 0.05


class Watchdog:
    """The thread and what it looks after."""

    def __init__(self) -> None:
        self._looks: list[Callable[[], bool]] = []
        self._lock = threading.Lock()
        self._busy = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, look: Callable[[], bool]) -> None:
        """Call `look` regularly until it returns False. It must raise nothing."""
        with self._lock:
            self._looks.append(look)
            self._busy.set()
            if self._thread is None or not self._thread.is_alive():  # also after a fork of this process
                self._thread = threading.Thread(target=self._run, daemon=True, name="watchdog")
                self._thread.start()

    def _run(self) -> None:
        while True:
            self._busy.wait()
            time.sleep(WATCH_SECONDS)
            done = [look for look in tuple(self._looks) if not look()]
            with self._lock:
                self._looks = [look for look in self._looks if look not in done]
                if not self._looks:
                    self._busy.clear()


WATCHDOG = Watchdog()
