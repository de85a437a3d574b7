"""Make a function faster, without believing a clock that it could touch, an answer it kept, or a wrong answer.

Run it anywhere: python docs/tutorials/05_time_a_function.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import consilience

# `deterministic` is left out: times differ from run to run, so candidates are compared over several seeds.
PROBLEM = """
goal = "Square roots, faster than the reference and still right."

[objective]
metric = "speedup"
direction = "maximize"

[artifact]
files = ["roots.py"]

[evaluator]
support = ["reference.py"]

[seeds]
baseline = 3

[budget]
trials = 45
"""

# Far more rounds than are needed. With too few, answers are wrong, and a wrong answer is no score. What is outside of
# the markers stays as it is.
ARTIFACT = """
# EVOLVE-BLOCK-START
ROUNDS = 2000
# EVOLVE-BLOCK-END


def root(number):
    guess = number
    for _ in range(ROUNDS):
        guess = 0.5 * (guess + number / guess)
    return guess


def roots(numbers):
    return [root(number) for number in numbers]
"""

# The reference is yours. It runs in a sandbox beside the candidate's, started the same way, in turns with it; whoever
# has not the turn is held still. Both get the same inputs, each input once, and every answer is compared.
REFERENCE = """
def root(number):
    guess = number
    for _ in range(2000):
        guess = 0.5 * (guess + number / guess)
    return guess


def roots(numbers):
    return [root(number) for number in numbers]
"""

# A call must be long against the way there and back, some 0.1 ms: so it takes a hundred numbers at once. Too short
# a call is an error that says how many times the work to put into it.
EVALUATOR = """
import random

from consilience.evaluators.function import close, secret_seed
from consilience.evaluators.timing import time_calls


def evaluate(candidate, seed):
    draw = random.Random(secret_seed(seed))
    inputs = (([draw.uniform(0.5, 100.0) for _ in range(100)],) for _ in range(9))
    return time_calls(candidate, "roots", inputs, close).metrics()
"""


def main() -> None:
    """Write the folder, run it, and look at what was measured."""
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent)
        files = {"roots.py": ARTIFACT, "reference.py": REFERENCE, "evaluator.py": EVALUATOR, "problem.toml": PROBLEM}
        for name, text in files.items():
            (folder / name).write_text(text.lstrip())

        study = consilience.study(folder)
        found = study.run()
        print(f"speedup {found.baseline:.2f} -> {found.best:.2f}, noise floor {found.noise_floor:.3f}")
        print(f"what became of {found.trials} trials: {found.outcomes}")
        best = next(row for row in study.trials if row["trial"] == found.best_trial)
        print(f"change: {best['change']}")
        for name in ("speedup_low", "speedup_high", "wall_speedup", "seconds", "reference_seconds", "trip_seconds"):
            print(f"  {name:18}{best['metric.' + name]:10.6f}")
        study.close()


if __name__ == "__main__":
    main()
