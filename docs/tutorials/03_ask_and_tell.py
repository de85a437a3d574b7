"""Ask and tell: consilience proposes, you measure, it decides what is a gain and what is noise.

Use it where trials cannot run in the sandbox: a robot, a cluster, a person with a stop-watch.

Run it anywhere: python docs/tutorials/03_ask_and_tell.py
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import consilience
from consilience.core.outcome import Failure

# Two typed parameters and no artifact. `evaluator.py` must be there, because a problem is defined by what scores
# it; here it only says in words what is measured outside.
PROBLEM = """
goal = "Brew better coffee."

[objective]
metric = "taste"
direction = "maximize"
unit = "points"

[parameters.temperature]
type = "float"
low = 80.0
high = 100.0
default = 84.0

[parameters.grind]
type = "categorical"
choices = ["coarse", "medium", "fine"]
default = "coarse"
"""
EVALUATOR = '''
def evaluate(candidate, seed):
    """Taste is told by a person; nothing is scored here."""
    raise NotImplementedError
'''
NOISE = 0.3  # points: one cup is not like the next
CUPS = 150
SPILT = 20


def taste(temperature: float, grind: str, seed: int) -> float:
    """Stand in for the person: best near 93 degrees and medium, and never twice the same."""
    bonus = {"coarse": 0.0, "medium": 2.0, "fine": 1.0}[grind]
    return 5.0 + bonus - 0.05 * (temperature - 93.0) ** 2 + random.Random(seed).gauss(0.0, NOISE)


def main() -> None:
    """Ask for trials, tell their outcomes, and look at what was believed."""
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent)
        (folder / "problem.toml").write_text(PROBLEM)
        (folder / "evaluator.py").write_text(EVALUATOR)

        study = consilience.study(folder, trials=CUPS)
        for number in range(CUPS):
            trial = study.ask()  # the same trial until it is told
            if number == SPILT:  # a spilt cup is no score
                study.tell(trial, Failure(reason="crash", message="the cup fell over"))
                continue
            cup = trial.parameters
            # The seed belongs to the trial: candidates are compared on the same seeds, so let your chance follow it.
            study.tell(trial, {"taste": taste(cup["temperature"], cup["grind"], trial.seed)})
        study.close()  # lets other processes write

        found = study.summary()
        print(f"baseline {found.baseline:.2f} points, noise floor {found.noise_floor:.2f}")
        print(f"best {found.best:.2f} points over {found.best_runs} cups: {study.best.parameters}")
        print(f"verdicts: {found.verdicts}")

        # Results told from outside say so, and are ranked under a key of their own.
        print(f"domain: {study.trials[0]['domain']!r}")


if __name__ == "__main__":
    main()
