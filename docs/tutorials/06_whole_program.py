"""A whole program as the candidate: it trains, writes predictions, and never sees the labels that it is scored by.

Run it anywhere: python docs/tutorials/06_whole_program.py

The program here is Python, so that its code can be rewritten. Any command will do: `["node", "solve.js"]`, or
`["sh", "-c", "cc -O2 -o solve solve.c && ./solve"]`. Programs in other languages change by their parameters.
"""

from __future__ import annotations

import json
import random
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

# `visible` is what the program may read. `data` and the evaluator's own files are the evaluator's alone.
# `outputs` are the files that the program hands over: plain files, at most `output_kb` together.
PROBLEM = """
goal = "Tell two clouds of points apart."
data = ["labels.json"]

[objective]
metric = "accuracy"
direction = "maximize"

[artifact]
files = ["train.py"]

[parameters.neighbours]
type = "integer"
low = 1
high = 25
default = 1

[evaluator]
kind = "program"
entry = "evaluator.py"
command = ["{python}", "train.py"]
visible = ["train.json", "points.json"]
outputs = ["predictions.json"]

[budget]
trials = 25

[limits]
wall_seconds = 5
cpu_seconds = 5
memory_mb = 512

[policy]
deterministic = true
"""

# The program: it finds its parameters in parameters.json, and the problem's seed in CONSILIENCE_SEED.
TRAIN = '''
"""Predict the class of each point by the classes of its neighbours."""

import json

neighbours = json.load(open("parameters.json"))["neighbours"]
train = json.load(open("train.json"))
points = json.load(open("points.json"))


def predict(x, y):
    near = sorted(train, key=lambda row: (row[0] - x) ** 2 + (row[1] - y) ** 2)[:neighbours]
    return int(sum(row[2] for row in near) * 2 > len(near))


json.dump([predict(*point) for point in points], open("predictions.json", "w"))
'''

# The evaluator runs the program in its sandbox and reads what it wrote. Clock, CPU and memory are taken outside it.
# What is wrong with the predictions is the candidate's failure: the helper says what.
EVALUATOR = """
import json

from consilience.evaluators.program import accuracy

LABELS = json.load(open("labels.json"))


def evaluate(program, seed):
    run = program.run()
    return {"accuracy": accuracy(LABELS, run.json("predictions.json")), "seconds": run.seconds}
"""

# A program that goes for the labels instead. In its sandbox there are none.
CHEAT = """
import json

json.dump(json.load(open("labels.json")), open("predictions.json", "w"))
"""


def consilience(*arguments: str) -> int:
    """Run one command as a user would, show it, and return its exit code."""
    print(f"\n$ consilience {shlex.join(arguments)}", flush=True)
    return subprocess.run([sys.executable, "-m", "consilience", *arguments], check=False).returncode  # noqa: S603  our own


def clouds(count: int) -> list[tuple[float, float, int]]:
    """Return points of two overlapping clouds, each with its class."""
    draw = random.Random(7)
    kinds = [draw.randrange(2) for _ in range(count)]
    return [(draw.gauss(1.5 * kind, 1), draw.gauss(kind, 1), kind) for kind in kinds]


def write(folder: Path, train: str) -> None:
    """Write the problem: 150 points to learn from, 150 to be judged by."""
    folder.mkdir()
    rows = clouds(300)
    texts = {
        "problem.toml": PROBLEM.lstrip(),
        "train.py": train.lstrip(),
        "evaluator.py": EVALUATOR.lstrip(),
        "train.json": json.dumps(rows[:150]),
        "points.json": json.dumps([row[:2] for row in rows[150:]]),
        "labels.json": json.dumps([row[2] for row in rows[150:]]),
    }
    for name, text in texts.items():
        (folder / name).write_text(text)


def main() -> None:
    """Improve the honest program, then see what becomes of the other."""
    with tempfile.TemporaryDirectory() as parent:
        honest, cheat = Path(parent) / "clouds", Path(parent) / "cheat"
        write(honest, TRAIN)
        consilience("run", str(honest))
        consilience("board", "-p", str(honest), "--top", "3")

        write(cheat, CHEAT)
        code = consilience("run", str(cheat))
        print(f"\nThe program that went for the labels has no score: exit code {code}.")


if __name__ == "__main__":
    main()
