"""A first problem, from an empty folder to a verified improvement.

Run it anywhere: python docs/tutorials/01_first_problem.py

It does with files and the command what you would do by hand. Each step prints the command that it runs.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

# A problem is a folder. problem.toml says what is measured, which way is better, and what may change.
# Here that is one file; the evaluator is `evaluator.py` unless said otherwise.
PROBLEM = """
goal = "Guess the square root of two in a few steps."

[objective]
metric = "error"
direction = "minimize"

[artifact]
files = ["root.py"]

[budget]
trials = 40

[limits]
wall_seconds = 5
cpu_seconds = 5
memory_mb = 512
"""

# What may change: everything between the two markers. What is outside stays as it is.
ARTIFACT = '''
"""Approach the square root of two."""

# EVOLVE-BLOCK-START
START = 2.0
WEIGHT = 0.05


def step(guess):
    return guess - WEIGHT * (guess * guess - 2.0)
# EVOLVE-BLOCK-END


def run(steps):
    guess = START
    for _ in range(steps):
        guess = step(guess)
    return guess
'''

# What scores it. It runs in a process of its own and reaches the candidate by `candidate.call` alone,
# so a candidate can return a number, but it cannot write its own score.
EVALUATOR = """
def evaluate(candidate, seed):
    return {"error": abs(candidate.call("run", 3) ** 2 - 2.0)}
"""


def consilience(*arguments: str) -> None:
    """Run one command as a user would, and show it."""
    print(f"\n$ consilience {shlex.join(arguments)}", flush=True)
    subprocess.run([sys.executable, "-m", "consilience", *arguments], check=True)  # noqa: S603  our own command


def main() -> None:
    """Make the folder, improve it, look at the result, check it, and take it home."""
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "square-root"
        folder.mkdir()
        for name, text in (("problem.toml", PROBLEM), ("root.py", ARTIFACT), ("evaluator.py", EVALUATOR)):
            (folder / name).write_text(text.lstrip())
        place = ("-p", str(folder))

        consilience("doctor", str(folder))  # does the baseline run here, and how is it held?
        consilience("run", str(folder))  # until the budget of 40 trials is spent
        consilience("run", str(folder), "--trials", "60")  # totals, not "more": 20 further trials
        consilience("board", *place, "--top", "5")
        consilience("verify", *place)  # every hash, signature and link
        consilience("replay", *place, "--to", "40")  # the state as it was after 41 events
        consilience("apply", *place)  # the winner, into root.py

        print("\nroot.py now holds:\n")
        print((folder / "root.py").read_text())


if __name__ == "__main__":
    main()
