"""A user's machine in a temporary folder: own XDG folders, own key, and small problems to run."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from consilience.interfaces.cli.main import main

PROBLEM = """
name = "valley"
goal = "Find the lowest point of a valley."

[objective]
metric = "depth"
direction = "minimize"

[parameters.x]
type = "float"
low = -5.0
high = 5.0
default = 3.0

[parameters.y]
type = "float"
low = -5.0
high = 5.0
default = -4.0

[evaluator]
entry = "evaluator.py"

[budget]
trials = 30

[limits]
wall_seconds = 5
cpu_seconds = 5
memory_mb = 512
"""
EVALUATOR = """
def evaluate(candidate, seed):
    x, y = candidate.parameters["x"], candidate.parameters["y"]
    return {"depth": (x - 1.0) ** 2 + 2.0 * (y + 0.5) ** 2}
"""
PROGRAM = """
# EVOLVE-BLOCK-START
STEP = 0.5
START = 4.0


def descend(rounds):
    x = START
    for _ in range(rounds):
        x = x - STEP * 0.2 * x
    return x
# EVOLVE-BLOCK-END
"""
PROGRAM_EVALUATOR = """
def evaluate(candidate, seed):
    return {"depth": abs(candidate.call("descend", 5))}
"""


class Machine:
    """Runs the command as a user would, in one isolated home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("CONSILIENCE_")},
            "HOME": str(home),
            "XDG_DATA_HOME": str(home / "data"),
            "XDG_STATE_HOME": str(home / "state"),
            "XDG_CONFIG_HOME": str(home / "config"),
            "XDG_CACHE_HOME": str(home / "cache"),
        }

    def problem(self, name: str = "valley", *, with_program: bool = False, **replaced: str) -> Path:
        """Write a small problem; `replaced` maps a file's stem to another text."""
        folder = self.home / name
        folder.mkdir()
        text = PROBLEM
        if with_program:
            start = text.index("[parameters.x]")
            text = text[:start] + '[artifact]\nfiles = ["program.py"]\n\n' + text[text.index("[evaluator]") :]
            (folder / "program.py").write_text(replaced.get("program", PROGRAM))
        (folder / "problem.toml").write_text(replaced.get("problem", text))
        default = PROGRAM_EVALUATOR if with_program else EVALUATOR
        (folder / "evaluator.py").write_text(replaced.get("evaluator", default))
        return folder

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the command in a process group of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "consilience", *arguments],
            env=self.environment,
            cwd=self.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command in a process of its own."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)


class Shell:
    """Runs the command inside this process, which is quicker."""

    def __init__(self, machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
        self.machine = machine
        self._capsys = capsys

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Return exit code, stdout and stderr."""
        self._capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = self._capsys.readouterr()
        return code, captured.out, captured.err

    def data(self, *arguments: str) -> Any:
        """Return the data of a successful command's JSON envelope."""
        code, out, err = self(*arguments, "--json")
        assert code == 0, err + out
        envelope = json.loads(out.splitlines()[-1])
        assert envelope["v"] == 1
        return envelope["data"]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    home = tmp_path / "home"
    home.mkdir()
    return Machine(home)


@pytest.fixture
def shell(machine: Machine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    for name, value in machine.environment.items():
        monkeypatch.setenv(name, value)
    for name in list(os.environ):
        if name.startswith("CONSILIENCE_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(machine.home)
    return Shell(machine, capsys)
