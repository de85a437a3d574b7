"""What holds for every test: no process outlives it."""

import gc
from collections.abc import Iterator
from multiprocessing import resource_tracker

import pytest


@pytest.fixture(autouse=True)
def _no_tracker() -> Iterator[None]:
    """End the process with which multiprocessing tracks what it shares: it would stay for as long as we run."""
    yield
    tracker = resource_tracker._resource_tracker
    if tracker._pid is not None:
        gc.collect()  # semaphores are given back as their pools go
        tracker._stop()
