"""Score a function by its answers, so that only right answers count: inputs nobody can foresee, exact types, no NaN.

Run it anywhere: python docs/tutorials/04_score_a_function.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import consilience

PROBLEM = """
goal = "Square roots of many numbers at once, right to nine digits."

[objective]
metric = "right"
direction = "maximize"

[artifact]
files = ["roots.py"]

[budget]
trials = 60
"""

# What may change. It takes a NumPy array and returns one: arrays travel as they are, lists stay lists.
ARTIFACT = """
import numpy as np

# EVOLVE-BLOCK-START
ROUNDS = 3
START = 1.0


def roots(numbers):
    guess = np.full_like(numbers, START)
    for _ in range(ROUNDS):
        guess = 0.5 * (guess + numbers / guess)
    return guess
# EVOLVE-BLOCK-END
"""

# `score_calls` gives each call its own copy of an input, and asks the reference afterwards, with another copy.
# `secret_seed` adds a salt to the trial's seed that is made when this process starts: a candidate cannot have looked
# the inputs up. `close` wants the same type, shape and dtype, and NaN is never close to anything.
EVALUATOR = """
from functools import partial

import numpy as np

from consilience.evaluators.function import close, score_calls, secret_seed


def evaluate(candidate, seed):
    draw = np.random.default_rng(secret_seed(seed))
    inputs = [(10.0 ** draw.uniform(-spread, spread, 20),) for spread in np.linspace(0.1, 3.0, 30)]
    score = score_calls(candidate, "roots", inputs, np.sqrt, partial(close, rtol=1e-9))
    return {"right": score.share, "milliseconds": 1000 * score.seconds}
"""

# Three ways to get a score without the work. None of them gets one.
CHEATS = {
    "NaN, which an `error > limit` check lets pass": "def roots(numbers):\n    return numbers * float('nan')\n",
    "an answer that says it equals everything": (
        "class Equal(float):\n    def __eq__(self, other): return True\n\ndef roots(numbers):\n    return Equal(1.0)\n"
    ),
    "changing the input, so that the reference agrees": (
        "def roots(numbers):\n    numbers[:] = 1.0\n    return numbers\n"
    ),
}


def write(folder: Path, artifact: str) -> Path:
    """Write a problem's folder."""
    folder.mkdir()
    for name, text in (("problem.toml", PROBLEM), ("roots.py", artifact), ("evaluator.py", EVALUATOR)):
        (folder / name).write_text(text.lstrip())
    return folder


def main() -> None:
    """Improve the honest function, then see what the dishonest ones are worth."""
    with tempfile.TemporaryDirectory() as parent:
        study = consilience.study(write(Path(parent) / "honest", ARTIFACT))
        found = study.run()
        print(f"{found.metric}: {found.baseline:.2f} -> {found.best:.2f} of the answers in {found.trials} trials")
        print(study.best.text("roots.py").strip())
        study.close()

        for number, (what, program) in enumerate(CHEATS.items()):
            folder = write(Path(parent) / f"cheat-{number}", program)
            line = [sys.executable, "-m", "consilience", "doctor", str(folder)]
            done = subprocess.run(line, capture_output=True, text=True, check=False)  # noqa: S603  our own command
            verdict = next(row for row in done.stdout.splitlines() if "baseline" in row)
            print(f"\n{what}:\n{verdict.strip()}")


if __name__ == "__main__":
    main()
