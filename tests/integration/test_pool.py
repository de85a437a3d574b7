"""The pool for trusted callables: what ends a worker, what survives it, and what it reports."""

from __future__ import annotations

import builtins
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from consilience.core.artifact import Artifact
from consilience.core.errors import EnvironmentLacksError
from consilience.core.outcome import Outcome
from consilience.core.ports import TrialRequest
from consilience.core.problem import Limits
from consilience.trials.executors.pool import PoolExecutor

pytest.importorskip("pebble", reason="needs the extra: pip install 'consilience[pool]'")
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")

LIMITS = Limits(wall_seconds=5.0, cpu_seconds=1.0, memory_mb=128, output_kb=64)


def behave(parameters: dict[str, Any], seed: int) -> Any:
    actions: dict[str, Callable[[], Any]] = {
        "number": lambda: 2.5,
        "named": lambda: {"score": 1, "size": 3.0},
        "other": lambda: {"size": 3.0},
        "text": lambda: "a word",
        "true": lambda: True,
        "seed": lambda: seed,
        "pid": os.getpid,
        "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
        "leaves": lambda: os._exit(0),
        "hog": lambda: len(bytearray(400 << 20)),
        "spin": spin,
        "says": lambda: print("hello from within") or 1.0,
        "daemon": daemon,
    }
    return actions[parameters["does"]]()


def spin() -> None:
    while True:
        pass


def daemon() -> float:
    """Leave something running in a session of its own, as an orphan, and answer."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(600)
        os._exit(0)
    os.wait()
    return float(os.getpid())


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[PoolExecutor]:
    executor = PoolExecutor(behave, "score", tmp_path / "work")
    yield executor
    executor.close()


def outcome(pool: PoolExecutor, does: str, seed: int = 1, limits: Limits = LIMITS) -> Outcome:
    return pool.run(TrialRequest(artifact=Artifact(parameters={"does": does}), seed=seed, limits=limits))


@pytest.mark.parametrize(
    ("does", "metrics"),
    [("number", {"score": 2.5}), ("named", {"score": 1.0, "size": 3.0}), ("seed", {"score": 7.0})],
)
def test_numbers_come_back_by_name(pool: PoolExecutor, does: str, metrics: dict[str, float]) -> None:
    found = outcome(pool, does, seed=7)
    assert found.metrics == metrics
    assert found.isolation.level == "none"
    assert found.isolation.domain == "shared-process"


@pytest.mark.parametrize(
    ("does", "reason"),
    [
        ("other", "missing_metric"),
        ("text", "invalid_output"),
        ("true", "invalid_output"),
        ("killed", "crash"),
        ("leaves", "crash"),
        ("hog", "memory"),
        ("spin", "cpu_limit"),
        ("unknown", "crash"),
    ],
)
def test_a_failure_has_its_reason_and_the_pool_goes_on(pool: PoolExecutor, does: str, reason: str) -> None:
    found = outcome(pool, does)
    assert found.failure is not None
    assert found.failure.reason == reason, found
    assert outcome(pool, "number").ok


def test_a_worker_is_kept_while_it_lives(pool: PoolExecutor) -> None:
    first, again = outcome(pool, "pid"), outcome(pool, "pid")
    assert first.metrics == again.metrics
    outcome(pool, "killed")
    assert outcome(pool, "pid").metrics != first.metrics


def test_what_a_task_leaves_running_is_ended(pool: PoolExecutor) -> None:
    found = outcome(pool, "daemon")
    worker = int(found.metrics["score"])
    below = Path(f"/proc/{worker}/task/{worker}/children").read_text().split()
    assert [pid for pid in below if "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]] == []


def test_what_it_prints_is_the_log(pool: PoolExecutor, capfd: pytest.CaptureFixture[str]) -> None:
    assert "hello from within" in outcome(pool, "says").log
    assert "KeyError" in outcome(pool, "unknown").log
    assert capfd.readouterr().out == ""


def test_the_worker_ends_with_a_caller_that_was_killed(tmp_path: Path) -> None:
    script = f"""
        import os, time
        from pathlib import Path
        from consilience.core.artifact import Artifact
        from consilience.core.ports import TrialRequest
        from consilience.core.problem import Limits
        from consilience.trials.executors.pool import PoolExecutor

        def wait(parameters, seed):
            print(os.getpid(), file=open({str(tmp_path / "pid")!r}, "w"), flush=True)
            time.sleep(600)

        pool = PoolExecutor(wait, "score", Path({str(tmp_path)!r}))
        pool.run(TrialRequest(artifact=Artifact(), seed=1, limits=Limits()))
    """
    caller = subprocess.Popen([sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)])
    file = tmp_path / "pid"
    await_true(lambda: file.exists() and file.read_text().strip() != "")
    caller.kill()
    caller.wait()
    worker = Path(f"/proc/{file.read_text().strip()}/stat")
    await_true(lambda: not worker.exists() or worker.read_text().split()[2] == "Z")


def await_true(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_without_pebble_the_mend_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = builtins.__import__

    def absent(name: str, *rest: Any, **more: Any) -> Any:
        if name == "pebble":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(EnvironmentLacksError) as refused:
        PoolExecutor(behave, "score", tmp_path)
    assert "consilience[pool]" in refused.value.hint
