"""The overhead benchmark's smoke form, as CI runs it, and that its account misses nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from consilience.trials.sandbox.probe import strongest_sandbox

ROOT = Path(__file__).parents[2]
MEASURER = ROOT / "benchmarks" / "overhead_measure.py"
BURN = "import time\nwhile time.process_time() < 0.3: pass\n"
DETACHED = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {BURN!r}], start_new_session=True)"


def run_measured(tmp_path: Path, code: str) -> dict[str, float]:
    report = tmp_path / "report.json"
    subprocess.run([sys.executable, MEASURER, report, sys.executable, "-c", code], check=True, timeout=30)
    found: dict[str, float] = json.loads(report.read_text())
    return found


def test_cpu_of_a_child_is_counted(tmp_path: Path) -> None:
    found = run_measured(tmp_path, f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BURN!r}])")
    assert found["cpu"] > 0.3
    assert found["left_behind"] == 0


def test_cpu_of_a_child_that_outlives_its_parent_is_counted(tmp_path: Path) -> None:
    found = run_measured(tmp_path, DETACHED)
    assert found["cpu"] > 0.3
    assert found["left_behind"] == 1


def test_a_failing_command_is_told(tmp_path: Path) -> None:
    assert run_measured(tmp_path, "raise SystemExit(3)")["code"] == 3


@pytest.mark.slow
def test_overhead_smoke() -> None:
    if strongest_sandbox(sys.executable).level != "strong":
        pytest.skip("the benchmark measures level strong, which this machine has not")
    line = [sys.executable, ROOT / "benchmarks" / "overhead.py", "--smoke", "--json"]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=120, env=os.environ)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert [row["trials"] for row in report["rows"]] == [20, 20, 20]
    assert report["rows"][0]["in_trials_ms"][0] > 1  # a candidate's interpreter is never free
    assert report["burned_ms"] >= 25  # of 50; nothing, if sandboxed CPU escaped
    assert "not run" in done.stderr


@pytest.mark.slow
def test_channel_smoke() -> None:
    line = [sys.executable, ROOT / "benchmarks" / "channel.py", "--smoke", "--json"]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert [row["call"] for row in report["rows"]] == ["array", "list", "nothing"]
    assert report["gain"] > 3  # 35 to 49 were measured; a busy machine blurs three rounds


@pytest.mark.slow
def test_journal_views_smoke() -> None:
    line = [sys.executable, ROOT / "benchmarks" / "journal_views.py", "--events", "6000", "--json"]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    (report,) = told["rows"]
    assert [each["what"] for each in told["bars"] if not each["met"]] == []
    assert report["none"]["found"][0] == 6000
    assert report["reader"]["seconds"] < report["none"]["seconds"]
    assert report["session"]["folds"]["all"]["cpu_p50_ms"] < 1
