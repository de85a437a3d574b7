"""What holds for every test: no process outlives it."""

from collections.abc import Iterator
from multiprocessing import resource_tracker

import pytest


@pytest.fixture(autouse=True)
def _no_tracker() -> Iterator[None]:
    """End the process with which multiprocessing tracks what it shares: it would stay for as long as we run."""
    yield
    resource_tracker._resource_tracker._stop()
