"""`doctor PROBLEM` lists what was denied; whoever follows its lines ends with a baseline that runs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Shell

from consilience.trials.observing.listener import can_ask

LINE = re.compile(r"add to (\S+): \[sandbox\] (\w+) = (.+)")
NEEDS = """
import os
from pathlib import Path


def run():
    names = Path("{corpus}/names.txt").read_text()
    weight = float((Path.home() / ".cache/hub/models/one/weights").read_text())
    os.makedirs("{corpus}/out/run", exist_ok=True)
    Path("{corpus}/out/run/log").write_text(names)
    return weight + float(os.environ["EXTRA"])
"""
HEAD = """
[objective]
metric = "loss"
direction = "minimize"

[artifact]
files = ["train.py"]

[limits]
wall_seconds = 20
"""


@pytest.fixture
def corpus(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    if not can_ask():
        pytest.skip("this kernel lets nobody watch")
    monkeypatch.setenv("EXTRA", "0.25")
    weights = shell.machine.home / ".cache" / "hub" / "models" / "one" / "weights"
    weights.parent.mkdir(parents=True)
    weights.write_text("2")
    with tempfile.TemporaryDirectory(prefix="corpus-", dir="/var/tmp") as folder:
        (Path(folder) / "names.txt").write_text("a b")
        yield Path(folder)


def examined(shell: Shell, folder: Path) -> dict[str, list[dict[str, Any]]]:
    _code, out, err = shell("doctor", str(folder), "--json")
    found: dict[str, list[dict[str, Any]]] = {}
    for finding in json.loads(out.splitlines()[-1]).get("data") or pytest.fail(out + err):
        found.setdefault(finding["name"], []).append(finding)
    return found


def follow(shell: Shell, folder: Path, file: str) -> tuple[list[str], dict[str, Any]]:
    """Run the doctor and write its table, until nothing is denied; return all lines and the last baseline."""
    base = (folder / file).read_text() if (folder / file).exists() else ""
    lines: list[str] = []
    for _ in range(6):
        found = examined(shell, folder)
        for finding in found.get("denied", []):
            line = LINE.fullmatch(finding["mend"])
            assert line is not None, finding
            assert line[1] == file
            lines.append(f"{line[2]} = {line[3]}")
        if "sandbox" not in found:
            return lines, found["baseline"][0]
        (folder / file).write_text(base + found["sandbox"][0]["mend"].split("\n", 1)[1] + "\n")
    pytest.fail(f"still denied: {found}")


def expected(corpus: Path) -> list[str]:
    return [
        f'readable = ["{corpus}"]',
        'readable = ["~/.cache/hub"]',
        f'scratch = ["{corpus}/out"]',
        'environment = { EXTRA = "0.25" }',
    ]


def problem(shell: Shell, corpus: Path, kind: str) -> Path:
    folder = shell.machine.home / "work"
    folder.mkdir()
    program = NEEDS.format(corpus=corpus)
    if kind == "command":
        table = """
[evaluator]
kind = "command"
command = ["{python}", "train.py"]
metric_pattern = '^loss: (.*)$'
"""
        (folder / "train.py").write_text(f"{program}\nprint('loss:', run())\n")
    else:
        table = '[evaluator]\nkind = "function"\n'
        (folder / "train.py").write_text(program)
        (folder / "evaluator.py").write_text("def evaluate(candidate, seed):\n    return candidate.call('run')\n")
    (folder / "problem.toml").write_text(f"{HEAD}{table}\n")
    return folder


@pytest.mark.parametrize("kind", ["command", "function"])
def test_following_the_lines_makes_the_baseline_run(shell: Shell, corpus: Path, kind: str) -> None:
    (corpus / "out").mkdir()  # a scratch place in a read-only folder has to be there
    folder = problem(shell, corpus, kind)
    lines, baseline = follow(shell, folder, "problem.toml")
    assert lines == expected(corpus)
    assert baseline["health"] == "ok"
    assert baseline["found"].startswith("loss = 2.25 in ")
    assert list((corpus / "out").iterdir()) == []
    code, _out, err = shell("run", str(folder), "--trials", "6")
    assert code == 0, err


def test_a_foreign_folder_has_a_file_of_its_own(shell: Shell, corpus: Path) -> None:
    (corpus / "out").mkdir()
    folder = shell.machine.home / "evolve"
    folder.mkdir()
    (folder / "initial_program.py").write_text(NEEDS.format(corpus=corpus))
    (folder / "evaluator.py").write_text("""
import importlib.util

def evaluate(path):
    spec = importlib.util.spec_from_file_location("program", path)
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    return {"combined_score": program.run()}
""")
    lines, baseline = follow(shell, folder, "consilience.toml")
    assert lines == expected(corpus)
    assert baseline["found"].startswith("combined_score = 2.25 in ")


@pytest.mark.parametrize("kind", ["command", "function"])
def test_an_environment_with_a_package_installed_from_its_source(shell: Shell, corpus: Path, kind: str) -> None:
    folder = problem(shell, corpus, kind)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / ".venv")], check=True)
    (packages,) = (folder / ".venv").glob("lib/python*/site-packages")
    (packages / "editable.pth").write_text(f"{corpus}/repository/src\n")
    (corpus / "repository" / "src").mkdir(parents=True)
    (corpus / "repository" / "src" / "their_model.py").write_text("LOSS = 0.5\n")
    text = "import their_model\n\n\ndef run():\n    return their_model.LOSS\n"
    (folder / "train.py").write_text(text + ("\nprint('loss:', run())\n" if kind == "command" else ""))
    (folder / "pyproject.toml").write_text("")
    toml = (folder / "problem.toml").read_text().replace("[evaluator]", '[evaluator]\ninterpreter = "uv run"')
    (folder / "problem.toml").write_text(toml)
    lines, baseline = follow(shell, folder, "problem.toml")
    assert lines == [f'readable = ["{corpus}/repository/src"]']
    assert baseline["found"].startswith("loss = 0.5 in ")


def test_the_line_of_each_denied_thing_is_shown_to_people(shell: Shell, corpus: Path) -> None:
    folder = problem(shell, corpus, "command")
    code, out, _err = shell("doctor", str(folder))
    assert code == 4
    assert f'mend: add to problem.toml: [sandbox] readable = ["{corpus}"]' in out
    assert "in problem.toml, to allow all of it:\n" in re.sub(r" +\n", "\n", out)


def test_a_problem_that_needs_nothing_is_denied_nothing(shell: Shell) -> None:
    for folder in (shell.machine.problem(), shell.machine.problem("program", with_program=True)):
        found = examined(shell, folder)
        assert found["baseline"][0]["health"] == "ok"
        assert not {"denied", "sandbox"} & set(found)


@pytest.mark.parametrize("name", ["circle-packing", "digits"])
def test_the_problems_that_ship_need_nothing(shell: Shell, name: str) -> None:
    assert shell("init", "shipped", "--from", name)[0] == 0
    found = examined(shell, shell.machine.home / "shipped")
    assert found["baseline"][0]["health"] == "ok"
    assert not {"denied", "sandbox"} & set(found)


@pytest.mark.parametrize(
    ("place", "words"), [("~/work", "journal"), ("{home}/data/consilience", "ours"), ("~", "home folder")]
)
def test_a_grant_of_ours_is_refused(shell: Shell, corpus: Path, place: str, words: str) -> None:
    folder = problem(shell, corpus, "command")
    place = place.format(home=shell.machine.home)
    (shell.machine.home / "data" / "consilience").mkdir(parents=True)
    text = (folder / "problem.toml").read_text()
    (folder / "problem.toml").write_text(f'{text}\n[sandbox]\nreadable = ["{place}"]\n')
    code, _out, err = shell("run", str(folder), "--trials", "3")
    assert code == 2
    assert words in err
    assert "sandbox.readable" in err


def test_a_granted_place_that_is_absent_warns_and_stops_a_run(shell: Shell, corpus: Path) -> None:
    folder = problem(shell, corpus, "command")
    text = (folder / "problem.toml").read_text()
    (folder / "problem.toml").write_text(f'{text}\n[sandbox]\nreadable = ["/no/such/place"]\n')
    code, _out, err = shell("run", str(folder), "--trials", "3")
    assert code == 4
    assert "warning: sandbox.readable: /no/such/place does not exist here" in err
    assert "error: sandbox.readable names /no/such/place" in err
