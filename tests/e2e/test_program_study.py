"""A whole study of a program in another language: it changes by its parameters, through the command."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from conftest import Machine, Shell

TOML = """
data = ["targets.json"]
[objective]
metric = "error"
direction = "minimize"
[artifact]
files = ["fit.js"]
[parameters.slope]
type = "float"
low = 0.0
high = 4.0
default = 0.5
[evaluator]
kind = "program"
entry = "evaluator.py"
command = ["node", "fit.js"]
visible = ["points.json"]
outputs = ["predictions.json"]
[budget]
trials = 14
[limits]
wall_seconds = 10
cpu_seconds = 10
memory_mb = 512
[policy]
deterministic = true
"""
NODE = """
const fs = require("fs");
const read = (name) => JSON.parse(fs.readFileSync(name, "utf8"));
const { slope } = read("parameters.json");
fs.writeFileSync("predictions.json", JSON.stringify(read("points.json").map((x) => slope * x)));
"""
EVALUATOR = """
import json
from consilience.evaluators.program import mean_squared_error

TARGETS = json.load(open("targets.json"))

def evaluate(program, seed):
    return {"error": mean_squared_error(TARGETS, program.run().json("predictions.json"))}
"""


@pytest.fixture
def folder(machine: Machine) -> Path:
    made = machine.problem("fit", problem=TOML, evaluator=EVALUATOR)
    (made / "fit.js").write_text(NODE)
    (made / "points.json").write_text(json.dumps([0.0, 1.0, 2.0]))
    (made / "targets.json").write_text(json.dumps([0.0, 2.0, 4.0]))
    return made


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node")
def test_a_node_program_is_improved_by_its_parameters(folder: Path, shell: Shell) -> None:
    code, _, err = shell("run", str(folder), "--quiet")
    assert code == 0, err
    (rows,) = shell.data("board", "-p", str(folder))["rankings"].values()
    assert rows[0]["mean"] < 3.75  # of the slope as given
    assert {row["verdict"] for row in rows} >= {"baseline", "promoted"}
    code, out, err = shell("diff", str(rows[0]["trial"]), "-p", str(folder), "--baseline")
    assert code == 0, err
    assert "slope" in out
    assert "fit.js" not in out


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node")
def test_doctor_runs_its_baseline(folder: Path, shell: Shell) -> None:
    code, out, err = shell("doctor", str(folder))
    assert code == 0, out + err
    assert "(program)" in out
    assert "error = 3.75" in out
