"""A pytest plug-in: no process of multiprocessing outlives the test that started it.

Rules:
    1. Loaded by name (``-p consilience.testing.tidy``), so that every folder of tests has it.

Data flow: end of a test -> the tracker's end.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from multiprocessing import resource_tracker

import pytest


@pytest.fixture(autouse=True)
def no_tracker() -> Iterator[None]:
    """End the process with which multiprocessing tracks what it shares: it would stay for as long as we run."""
    yield
    tracker: object = resource_tracker._resource_tracker  # noqa: SLF001  there is no public way
    if getattr(tracker, "_pid", None) is not None:
        gc.collect()  # semaphores are given back as their pools go
        tracker._stop()  # type: ignore[attr-defined]  # noqa: SLF001
