"""Tutorials and examples run on a fresh machine, in time, come to what they promise, and leave nothing behind."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import Machine

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 30  # what a reader will wait for
PROMISED = {
    "01_first_problem.py": ("every hash, signature and link holds", "is in the working tree: root.py"),
    "02_openevolve_folder.py": ("domain 'shared-process'", "# EVOLVE-BLOCK-END"),
    "03_ask_and_tell.py": ("noise floor", "'grind': 'medium'", "domain: 'told'"),
    "04_score_a_function.py": ("of the answers in 60 trials", "non_finite", "right = 0 in"),
    "05_time_a_function.py": ("noise floor", "wall_speedup", "trip_seconds"),
    "06_whole_program.py": ("maximize accuracy", "has no score: exit code 1"),
    "07_take_a_result_back.py": (
        "events would be withdrawn",
        "without it: True. The same board as before: True.",
        "signature and link holds",
    ),
    "08_prove_a_result.py": ("holds: cosigned at", "not checked: when", "eve$ consilience verify-proof changed.json"),
    "00_minimal.py": ("the incumbent:",),
}
SCRIPTS = [*sorted((ROOT / "docs" / "tutorials").glob("*.py")), *sorted((ROOT / "examples").glob("*.py"))]


def test_every_script_has_its_promise() -> None:
    assert {script.name for script in SCRIPTS} == set(PROMISED)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_run(script: Path, machine: Machine) -> None:
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, str(script)],
        env=machine.environment,
        cwd=machine.home,
        capture_output=True,
        text=True,
        check=False,
        timeout=4 * SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for text in PROMISED[script.name]:
        assert text in done.stdout
    assert time.monotonic() - began < SECONDS
    assert {path.name for path in machine.home.iterdir()} <= {"data", "state", "config", "cache"}


def test_the_minimal_example_is_short() -> None:
    assert len((ROOT / "examples" / "00_minimal.py").read_text().splitlines()) <= 100
