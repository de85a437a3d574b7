"""A forked candidate is tried with the canaries before the first trial; where one is reached, nothing is forked."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from consilience.core.errors import EnvironmentLacksError
from consilience.testing.trivial import artifact, request, split_problem
from consilience.trials.executors import zygote
from consilience.trials.executors.fork_canaries import fork_canary_names, run_fork_canaries
from consilience.trials.executors.function import FunctionExecutor
from consilience.trials.sandbox.forking import ForkSettings
from consilience.trials.sandbox.probe import strongest_sandbox

sandbox = functools.cache(strongest_sandbox)
pytestmark = pytest.mark.skipif(
    sandbox(sys.executable).level == "none", reason="without a sandbox nothing is forked; see consilience doctor"
)
HONEST = artifact("def run(seed):\n    return 2.0\n")


@pytest.fixture
def executor(tmp_path: Path) -> Iterator[FunctionExecutor]:
    made = FunctionExecutor(split_problem(), sandbox(sys.executable), tmp_path / "work", "auto")
    yield made
    made.close()


@pytest.fixture
def no_inner_walls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forks without what a child puts on itself: the outer sandbox alone."""
    monkeypatch.setattr(zygote, "fork_settings", lambda *_: ForkSettings((), (), ()))


def test_every_canary_holds_in_a_forked_candidate(executor: FunctionExecutor) -> None:
    warm = executor._warm.zygote()
    assert warm is not None
    found = run_fork_canaries(warm, executor._interpreter)
    assert [canary.name for canary in found] == list(fork_canary_names())
    assert [canary for canary in found if not canary.held] == []
    assert {"fork_denied", "exec_denied", "limit_outside", "signal_outside", "read_outside"} <= set(fork_canary_names())


@pytest.mark.usefixtures("no_inner_walls")
def test_without_the_inner_walls_nothing_is_forked(executor: FunctionExecutor, tmp_path: Path) -> None:
    outcome = executor.run(request(HONEST))
    assert outcome.metrics == {"score": 2.0}
    assert outcome.isolation.execution == executor.isolation.execution == "fresh"
    assert "a canary was reached by a forked candidate" in executor._warm.reason
    demanding = FunctionExecutor(split_problem(), sandbox(sys.executable), tmp_path / "other", "fork")
    with pytest.raises(EnvironmentLacksError, match="cannot be forked from a warm process here: a canary was reached"):
        demanding.run(request(HONEST))
    demanding.close()
