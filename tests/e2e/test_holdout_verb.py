"""`trial holdout` as a user meets it: the answer, the count, the refusal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Machine, Shell

from consilience.interfaces.cli.main import main

TOML = """
[objective]
metric = "error"
direction = "minimize"
[parameters.weight]
type = "float"
low = 0.0
high = 4.0
default = 1.0
[evaluator]
entry = "evaluator.py"
[holdout]
files = ["held.txt"]
queries = 2
[budget]
trials = 6
"""
EVALUATOR = """
def evaluate(candidate, seed):
    return abs(candidate.parameters["weight"] - 3.0)

def holdout(candidate, seed):
    return {"error": abs(candidate.parameters["weight"] - float(open("held.txt").read())), "rows": 1}
"""


def study(machine: Machine, shell: Shell, evaluator: str = EVALUATOR) -> Path:
    """Run a small problem with a holdout to its end, and return its folder."""
    made = machine.problem("held", problem=TOML, evaluator=evaluator)
    (made / "held.txt").write_text("3.5")
    code, _, err = shell("run", str(made), "--quiet")
    assert code == 0, err
    return made


@pytest.fixture
def folder(machine: Machine, shell: Shell) -> Path:
    return study(machine, shell)


def ask(*arguments: str) -> int:
    return main(["trial", "holdout", *arguments])


def test_the_answer_and_what_is_left(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert ask("0", "-p", str(folder)) == 0
    shown = capsys.readouterr().out
    for words in ("error on the holdout", "2.5", "in the search", "1 asked, 1 left", "rows", "strong/split"):
        assert words in shown
    assert ask("0", "-p", str(folder), "--json") == 0
    data = json.loads(capsys.readouterr().out)["data"]
    assert (data["score"], data["development"], data["used"], data["left"]) == (2.5, 2.0, 2, 0)
    assert ask("0", "-p", str(folder), "--json") == 1
    assert json.loads(capsys.readouterr().out)["error"]["kind"] == "holdout_refused"


def test_show_lists_the_answer_apart(folder: Path, shell: Shell) -> None:
    ask("0", "-p", str(folder))
    code, out, _ = shell("show", "0", "-p", str(folder))
    assert code == 0
    assert "holdout" in out
    board = shell.data("board", "-p", str(folder))
    assert len(board["rankings"]) == 1
    means = [row["mean"] for rows in board["rankings"].values() for row in rows]
    assert 2.5 not in means


def test_a_failure_on_the_holdout_is_exit_code_1(
    machine: Machine, shell: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = study(machine, shell, EVALUATOR.replace('"error": abs', '"other": abs'))
    capsys.readouterr()
    assert ask("0", "-p", str(folder)) == 1
    shown = capsys.readouterr().out
    assert "missing_metric" in shown
    assert "1 asked, 1 left" in shown
