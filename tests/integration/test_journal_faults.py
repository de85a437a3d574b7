"""Faults under SQLite, at hundreds of seeded points: kills, torn writes, lost power, a full or failing disk.

A shim in C is loaded before libc and strikes at the n-th call that changes the journal's files. After each fault no
acknowledged event is lost, the journal verifies, opens and goes on, and marks do not lead it.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from consilience.core.errors import EXIT_FAILED

HERE = Path(__file__).parent
GOLDEN = HERE.parent / "golden" / "v1" / "journal.db"
GOLDEN_EVENTS = 97
SIGKILLED = -9
CALLS = 600  # of a run without faults, which makes some more
STEP = 7  # 86 points for each way to die, and so 258 in all
SEED = 20_260_000


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler here: the faults are injected by a shim in C")
    built = tmp_path_factory.mktemp("shim") / "fault_shim.so"
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", built, HERE / "fault_shim.c", "-ldl"], check=True)
    return built


@pytest.fixture
def disk() -> Iterator[Path]:
    """Give a folder in memory where there is one: real syncs are not what is tested, and take most of the time."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder)


def strike(shim: Path, disk: Path, kind: str, points: range, *older: Path) -> list[dict[str, Any]]:
    numbers = [str(number) for number in (points.start, points.stop, points.step, SEED)]
    line = [sys.executable, HERE / "fault_runner.py", disk, shim, kind, *numbers, *older]
    environment = dict(os.environ, LD_PRELOAD=str(shim))
    done = subprocess.run(line, capture_output=True, text=True, check=False, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == len(points)
    return found


def assert_nothing_lost(found: dict[str, Any], events_before: int = 0) -> None:
    assert "broken" not in found, found
    assert found["faults"] == ["", ""], found
    assert found["kept"] >= found["acknowledged"] + events_before, found
    assert found["gone_on"] == 5, found
    assert found["marks"] <= found["kept"] + 5 - events_before, found


@pytest.mark.parametrize("kind", ["kill", "torn", "loss"])
def test_whatever_ends_a_commit_no_acknowledged_event_is_lost(kind: str, shim: Path, disk: Path) -> None:
    results = strike(shim, disk, kind, range(1, CALLS, STEP))
    for found in results:
        assert found["status"] == SIGKILLED, "the fault was not reached: SQLite's calls go past the shim"
        assert_nothing_lost(found)
    assert 0 < sum(found["acknowledged"] == 0 for found in results) < len(results) / 2


@pytest.mark.parametrize(
    ("kind", "words"),
    [("ENOSPC", ("is full", "disk failed")), ("EIO", ("disk failed",)), ("EROFS", ("disk failed", "cannot open or"))],
)
def test_what_the_disk_refuses_is_told_and_loses_nothing(
    kind: str, words: tuple[str, ...], shim: Path, disk: Path
) -> None:
    results = strike(shim, disk, kind, range(1, CALLS, 4 * STEP))
    for found in results:
        assert_nothing_lost(found)
        if found["error"] is not None:
            assert found["status"] == EXIT_FAILED
            name, message, hint = found["error"]
            assert name == "journal"
            assert any(each in message for each in words), message
            assert "journal.db" in message
            assert "run again" in hint or "writable" in hint
    told = sum(found["error"] is not None for found in results)
    assert told == len(results) if kind != "EIO" else told > len(results) / 2  # one error while the log is moved heals


def test_an_upgrade_that_is_killed_left_the_old_format_or_the_new_one(shim: Path, disk: Path) -> None:
    results = strike(shim, disk, "torn", range(1, 60), GOLDEN)
    for found in results:
        assert found["status"] == SIGKILLED
        assert_nothing_lost(found, GOLDEN_EVENTS)
    formats = [found["formats"][0] for found in results]
    assert formats == sorted(formats)
    assert set(formats) == {1, 2}
    assert {found["formats"][1] for found in results} == {2}
