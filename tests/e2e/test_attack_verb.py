"""`consilience attack`: a table, one JSON envelope, and exit codes."""

from __future__ import annotations

from typing import Any

import pytest

from consilience.interfaces.cli import attack_commands
from consilience.node import attacking
from consilience.trials.attacks.model import Finding, Row, Verdict
from consilience.trials.sandbox.probe import LevelReport, Probe

WON = Finding("score", "it won \x1b[1m")
THROUGH = Verdict(score=1.0, failure="", level="strong", execution="fresh", findings=(WON,))
HELD = Verdict(score=None, failure="crash", level="strong", execution="fresh")


def test_attacks_by_number(shell: Any) -> None:
    code, out, err = shell("attack", "--only", "1, 5", "--execution", "fresh")
    assert code == 0, err
    assert "frame walk" in out
    assert "non_finite" in out
    assert "0 of 2 attacks got through the split evaluator" in out
    assert "2 of 2 through an evaluator that imports the candidate" in out


def test_json(shell: Any) -> None:
    data = shell.data("attack", "--only", "29,37")
    assert (data["attacks"], data["through"], data["through_in_process"]) == (2, 0, 0)
    assert data["executions"] == ["fresh", "fork"]
    assert [verdict["execution"] for verdict in data["rows"][0]["split"]] == ["fresh", "fork"]
    assert data["level"] == "strong"


def test_one_that_gets_through_is_exit_code_3(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = (Row(number=1, name="bold", split=(THROUGH,)), Row(number=2, name="weak", split=(HELD,)))
    report = attacking.AttackReport(level="strong", executions=("fresh",), lacks="no Landlock", rows=rows)
    monkeypatch.setattr(attack_commands, "try_attacks", lambda *_: report)
    code, out, err = shell("attack")
    assert code == 3
    assert "it won" in out
    assert "1 of 2 attacks got through" in out
    assert "\x1b" not in out
    assert "no Landlock" in err


def test_a_machine_without_the_level_is_exit_code_4(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = LevelReport(level="strong", reason="bubblewrap is not installed", mend="Install bubblewrap.")
    probe = Probe(level="none", interpreter="python", reports=(failed,))
    monkeypatch.setattr(attacking, "cached_probe", lambda *_, **__: probe)
    code, _out, err = shell("attack")
    assert code == 4
    assert "Install bubblewrap." in err
    assert "--unsafe-no-sandbox" not in err


@pytest.mark.parametrize("words", [["--only", "five"], ["--only", "39"], ["--minimum-isolation", "none"]])
def test_wrong_use_is_exit_code_2(shell: Any, words: list[str]) -> None:
    assert shell("attack", *words)[0] == 2
