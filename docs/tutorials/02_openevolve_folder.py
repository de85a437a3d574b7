"""An OpenEvolve folder, unchanged: initial_program.py, evaluator.py and config.yaml, without any model.

Run it anywhere: python docs/tutorials/02_openevolve_folder.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import consilience

# The program that may change, between OpenEvolve's markers.
PROGRAM = '''
"""Walk downhill on a bumpy line."""
import math

# EVOLVE-BLOCK-START
STEP = 0.4
ROUNDS = 4


def search(start):
    x = start
    for _ in range(ROUNDS):
        x = x - STEP * (x - 2.0) * 0.2
    return x
# EVOLVE-BLOCK-END


def height(x):
    return (x - 2.0) ** 2 + 0.3 * math.sin(5.0 * x)
'''

# OpenEvolve's contract: evaluate(program_path) imports the program and returns metrics. With two stages the
# second runs only when the first passes its threshold.
EVALUATOR = """
import importlib.util


def load(path):
    spec = importlib.util.spec_from_file_location("program", path)
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    return program


def evaluate_stage1(path):
    return {"combined_score": 1.0 if isinstance(load(path).search(-3.0), float) else 0.0}


def evaluate_stage2(path):
    program = load(path)
    height = program.height(program.search(-3.0))
    return {"height": height, "combined_score": 1.0 / (1.0 + max(height + 0.3, 0.0))}


def evaluate(path):
    return evaluate_stage2(path)
"""

# What decides scores and budget is taken over. What is about models is named in `warnings` and left.
CONFIG = """
max_iterations: 60
random_seed: 7
evaluator:
  timeout: 10
  cascade_thresholds: [0.5]
llm:
  primary_model: none-is-asked
"""


def main() -> None:
    """Write the folder, run it, and say what its scores are worth."""
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent)
        for name, text in (("initial_program.py", PROGRAM), ("evaluator.py", EVALUATOR), ("config.yaml", CONFIG)):
            (folder / name).write_text(text.lstrip())

        study = consilience.study(folder)
        found = study.run()
        print(f"{found.metric}: {found.baseline:.4f} -> {found.best:.4f} in {found.trials} trials")
        print(f"what became of them: {found.outcomes}, verdicts: {found.verdicts}")

        # The evaluator imports the candidate into its own process. That is OpenEvolve's contract, and a candidate
        # could forge its score there. So each outcome says `shared-process`: the sandbox protects the machine, and
        # the number is weaker evidence than that of a split evaluator (docs/isolation.md).
        best = next(row for row in study.trials if row["trial"] == found.best_trial)
        print(f"held at level {best['isolation']!r}, domain {best['domain']!r}")
        print(f"change: {best['change']}")
        print("\nthe best program:\n")
        print(study.best.text("initial_program.py"))


if __name__ == "__main__":
    main()
