"""The pool for trusted callables keeps the contract of executors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from consilience.core.artifact import Artifact
from consilience.core.ports import Executor
from consilience.testing.conformance import ExecutorConformance

pytest.importorskip("pebble", reason="needs the extra: pip install 'consilience[pool]'")


def run_text(parameters: dict[str, Any], seed: int) -> float:
    names: dict[str, Any] = {}
    exec(parameters["program"], names)
    return names["run"](seed)  # type: ignore[no-any-return]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
class TestPool(ExecutorConformance):
    @pytest.fixture
    def executor(self, work_dir: Path) -> Iterator[Executor]:
        from consilience.trials.executors.pool import PoolExecutor

        executor = PoolExecutor(run_text, "score", work_dir)
        yield executor
        executor.close()

    def artifact(self, program: str) -> Artifact:
        return Artifact(parameters={"program": program})
