"""The whole loop on a problem of two numbers: ask for a candidate, score it, tell, and look at what was promoted.

Run it anywhere: python examples/00_minimal.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import consilience

PROBLEM = """
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
"""
EVALUATOR = """
def evaluate(candidate, seed):
    x, y = candidate.parameters["x"], candidate.parameters["y"]
    return {"depth": (x - 1) ** 2 + 2 * (y + 0.5) ** 2}
"""


def main() -> None:
    """Score forty candidates here, then let the study run forty more in its own sandbox."""
    folder = Path(tempfile.mkdtemp())
    (folder / "problem.toml").write_text(PROBLEM)
    (folder / "evaluator.py").write_text(EVALUATOR)

    study = consilience.study(folder, trials=40)
    for _ in range(40):
        trial = study.ask()
        x, y = trial.parameters["x"], trial.parameters["y"]
        study.tell(trial, (x - 1) ** 2 + 2 * (y + 0.5) ** 2)
    study.close()
    print("asked and told:", study.summary().best)

    found = consilience.study(folder, trials=80).run()
    print("and run:", found.best, "after", found.trials, "trials, from", found.baseline)
    print("the incumbent:", study.best.parameters)
    print("journal:", folder / ".consilience/journal.db")


if __name__ == "__main__":
    main()
