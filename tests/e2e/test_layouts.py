"""Folders in OpenEvolve's and autoresearch's layouts run unchanged and improve, with no model at all."""

import shutil
from pathlib import Path

import pytest
from conftest import Shell

LAYOUTS = Path(__file__).resolve().parents[1] / "layouts"


@pytest.mark.parametrize(
    ("layout", "trials"),
    [("function_minimization", 200), ("circle_packing", 60), ("signal_processing", 60), ("autoresearch", 60)],
)
def test_a_foreign_folder_runs_unchanged_and_improves(layout: str, trials: int, shell: Shell) -> None:
    folder = shell.machine.home / layout
    shutil.copytree(LAYOUTS / layout, folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    code, _, err = shell("run", layout, "--trials", str(trials), "-q")
    assert code == 0, err
    found = shell.data("replay", "-p", layout)["summary"]
    assert found["gain"] > (found["noise_floor"] or 0.0), found
    assert found["verdicts"]["promoted"] >= 1
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
