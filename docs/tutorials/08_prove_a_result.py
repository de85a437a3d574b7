"""Prove a result to somebody who has two small files: checkpoint, witness, prove, verify offline.

Run it anywhere: python docs/tutorials/08_prove_a_result.py

Three people, each with a home of their own. Ada runs a study, Bob witnesses her log, Eve has nothing but what Ada
sends her. docs/proofs.md says what this shows, and what not.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PROBLEM = """
goal = "Mix a colour as close as possible to the wanted one."

[objective]
metric = "distance"
direction = "minimize"

[parameters.red]
type = "float"
low = 0.0
high = 1.0
default = 0.5

[parameters.blue]
type = "float"
low = 0.0
high = 1.0
default = 0.5

[evaluator]
entry = "evaluator.py"

[budget]
trials = 20

[limits]
wall_seconds = 5
cpu_seconds = 5
memory_mb = 512
"""

EVALUATOR = """
def evaluate(candidate, seed):
    red, blue = candidate.parameters["red"], candidate.parameters["blue"]
    return {"distance": abs(red - 0.2) + abs(blue - 0.9)}
"""


class Person:
    """Somebody with a key, a state folder and a working folder of their own."""

    def __init__(self, parent: Path, name: str) -> None:
        self.name = name
        self.folder = parent / name
        self.folder.mkdir()
        kinds = ("CONFIG", "DATA", "STATE")
        homes = {f"XDG_{kind}_HOME": str(self.folder / kind.lower()) for kind in kinds}
        self._environment = {**os.environ, **homes}

    def does(self, *arguments: str, code: int = 0) -> None:
        """Run one command, and show it."""
        print(f"\n{self.name}$ consilience {shlex.join(arguments)}", flush=True)
        done = subprocess.run(self._words(arguments), check=False, cwd=self.folder, env=self._environment)  # noqa: S603  our own command
        if done.returncode != code:
            raise SystemExit(f"exit code {done.returncode}, expected {code}")

    def asks(self, *arguments: str) -> str:
        """Return what a command prints with --json."""
        print(f"\n{self.name}$ consilience {shlex.join(arguments)} --json", flush=True)
        words = [*self._words(arguments), "--json"]
        done = subprocess.run(words, check=True, cwd=self.folder, env=self._environment, stdout=subprocess.PIPE)  # noqa: S603  our own command
        return done.stdout.decode()

    def sends(self, other: Person, *names: str) -> None:
        """Hand files over."""
        for name in names:
            (other.folder / name).write_bytes((self.folder / name).read_bytes())

    def _words(self, arguments: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", "consilience", *arguments]


def data(text: str) -> Any:
    """Return the data of an envelope."""
    return json.loads(text)["data"]


def main() -> None:
    """Run, have it witnessed, prove, check, and see a changed proof refused."""
    with tempfile.TemporaryDirectory() as parent:
        ada, bob, eve = (Person(Path(parent), name) for name in ("ada", "bob", "eve"))
        colour = ada.folder / "colour"
        colour.mkdir()
        (colour / "problem.toml").write_text(PROBLEM.lstrip())
        (colour / "evaluator.py").write_text(EVALUATOR.lstrip())
        ada.does("run", "colour", "-q")

        # Ada signs the head of her log, and asks Bob to cosign it. Her key she tells him once, some other way.
        head = data(ada.asks("checkpoint", "-p", "colour", "--since", "0", "--out", "request"))
        ada.sends(bob, "request")
        reply = bob.asks("witness", "request", "--key", head["key"])
        (ada.folder / "reply").write_text(reply)
        ada.does("checkpoint", "-p", "colour", "--add", "reply", "--out", "note")

        # The score that she is proud of rests on many events. The last is the verdict; any of them can be proved.
        events = data(ada.asks("why", "best", "-p", "colour"))["events"]
        ada.does("prove", events[-1], "-p", "colour", "--out", "proof.json")

        # Eve has neither the journal nor a network. Bob told her the name of his key.
        ada.sends(eve, "proof.json", "note")
        witness = data(reply)["key"]
        eve.does("verify-proof", "proof.json", "--checkpoint", "note", "--witness", witness)

        # One changed word, and it does not hold.
        proof = (eve.folder / "proof.json").read_text()
        (eve.folder / "changed.json").write_text(proof.replace("promoted", "discarded"))
        eve.does("verify-proof", "changed.json", code=3)

        # The log grows. Bob cosigns the new head only because it continues what he cosigned before.
        ada.does("run", "colour", "--trials", "25", "-q")
        ada.does("checkpoint", "-p", "colour", "--since", str(head["size"]), "--out", "request")
        ada.sends(bob, "request")
        bob.does("witness", "request")


if __name__ == "__main__":
    main()
