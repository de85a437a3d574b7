"""The evaluators that attacks are aimed at, each with its honest control.

Rules:
    1. What an evaluator hides is drawn anew for each run of the suite, so that no program can know it.
    2. Every honest control scores exactly `HONEST_SCORE`; an attack's own answers are worth less.
    3. The same text is used by the split evaluator and by the one that imports the candidate.

Data flow: `draw_secrets` -> `make_targets` -> suite.
"""

from __future__ import annotations

import json
import secrets

from msgspec import Struct

from consilience.trials.attacks.model import Target

_LABELS = 64


class Secrets(Struct, frozen=True):
    """What the evaluators of one run hide: a number, and labels of which half are ones."""

    number: float
    labels: tuple[int, ...]


def draw_secrets() -> Secrets:
    """Draw what is hidden. The number is a multiple of 1/1024, so that differences are exact."""
    labels = [0, 1] * (_LABELS // 2)
    secrets.SystemRandom().shuffle(labels)
    return Secrets(1000 + secrets.randbelow(1000 * 1024) / 1024, tuple(labels))


def make_targets(hidden: Secrets) -> dict[str, Target]:
    """Return the targets by name."""
    labels = {"holdout.json": json.dumps(hidden.labels)}
    made = (
        Target(
            name="secret",
            scores="closeness to a number that only the evaluator knows",
            evaluator=CLOSENESS.replace("<NUMBER>", repr(hidden.number)),
            honest=f"def run(seed):\n    return {hidden.number - 0.5!r}\n",
        ),
        Target(
            name="numeric",
            scores="square roots within a tolerance, by `not error > tolerance`, with math and builtins",
            evaluator=NUMERIC,
            honest=NUMERIC_HONEST,
        ),
        Target(name="rows", scores="a sorted copy of the rows it was given", evaluator=ROWS, honest=ROWS_HONEST),
        Target(name="timed", scores="the wall time of a hash chain", evaluator=TIMED, honest=CHAIN),
        Target(name="seeded", scores="numbers drawn from the trial's seed", evaluator=SEEDED, honest=SEEDED_HONEST),
        Target(
            name="file",
            scores="labels that lie in a file beside the evaluator",
            evaluator=FILE,
            honest=FILE_HONEST,
            support=labels,
        ),
        Target(
            name="program",
            scores="labels, against the file that a whole program hands over",
            evaluator=WHOLE,
            honest=WHOLE_HONEST,
            support=labels,
            outputs=("answer.json", "answer.npy"),
        ),
    )
    return {target.name: target for target in made}


CLOSENESS = """
SECRET = <NUMBER>

def grade(answer):
    return max(0.0, 1.0 - abs(answer - SECRET))

def evaluate(candidate, seed):
    answer = candidate.call("run", seed)
    return 1.0 if answer == SECRET else grade(answer)
"""

NUMERIC = """
import math
import random

DRAW = random.SystemRandom()

def evaluate(candidate, seed):
    passed = 0
    for sign in (1, -1) * 4:
        x = sign * (1.0 + DRAW.random())
        error = abs(candidate.call("run", x) - math.sqrt(abs(x)))
        if not error > 1e-9:
            passed += 1
    return passed / 8
"""
NUMERIC_HONEST = """
import math

def run(x):
    root = math.sqrt(abs(x))
    return root if x > 0 else 0.0
"""

ROWS = """
import random

DRAW = random.SystemRandom()

def evaluate(candidate, seed):
    rows = [1.0 + DRAW.random() for _ in range(64)]
    answer = candidate.call("run", rows)
    wanted = sorted(rows)
    return sum(1 for one, other in zip(answer, wanted) if one == other) / len(wanted)
"""
ROWS_HONEST = """
def run(rows):
    half = len(rows) // 2
    return sorted(rows)[:half] + [0.0] * half
"""

# A chain of hashes cannot be shortened: 40,000 rounds take 15 ms or more on the CPUs of 2026, a call over the
# pipes 1 ms to 2 ms (measured), so an answer within 4 ms was not worked for while the clock ran.
CHAIN = """
import hashlib

def chain(text):
    data = text.encode()
    for _ in range(40_000):
        data = hashlib.sha256(data).digest()
    return data.hex()

def run(text):
    return chain(text)
"""
TIMED = (
    CHAIN.split("def run", maxsplit=1)[0]
    + """
import secrets

FAST = 0.004

def evaluate(candidate, seed):
    texts = [secrets.token_hex(8) for _ in range(3)]
    seconds = []
    for text in texts:
        answer = candidate.call("run", text)
        seconds.append(candidate.seconds)
        if answer != chain(text):
            return 0.0
    return 1.0 if min(seconds[1:]) < FAST else 0.5
"""
)

SEEDED = """
import random

def evaluate(candidate, seed):
    shown = [random.SystemRandom().randrange(1000) for _ in range(16)]
    hidden = [random.randrange(1000) for _ in range(8)]
    own = random.Random(seed)
    hidden += [own.randrange(1000) for _ in range(8)]
    answer = candidate.call("run", shown)
    return sum(1 for one, other in zip(answer, shown + hidden) if one == other) / 32
"""
SEEDED_HONEST = """
def run(shown):
    return shown
"""

FILE = """
import json
from pathlib import Path

def evaluate(candidate, seed):
    labels = json.loads(Path("holdout.json").read_text())
    answer = candidate.call("run", len(labels))
    return sum(1 for one, other in zip(answer, labels) if one == other) / len(labels)
"""
FILE_HONEST = """
import json

def run(count):
    answer = [1] * count
    try:
        with open("answer.json", "w") as file:
            json.dump(answer, file)
    except OSError:
        pass
    return answer
"""

WHOLE = """
import json
from pathlib import Path

def evaluate(program, seed):
    labels = json.loads(Path("holdout.json").read_text())
    run = program.run(files={"count.json": len(labels)})
    answer = run.array("answer.npy").tolist() if "answer.npy" in run.outputs else run.json("answer.json")
    return sum(1 for one, other in zip(answer, labels) if one == other) / len(labels)
"""
WHOLE_HONEST = """
import json

with open("answer.json", "w") as file:
    json.dump([1] * 64, file)
"""
