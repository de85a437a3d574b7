"""Scores predictions on the dev split, whose labels never leave this process.

Rules:
    1. The candidate gets training images with labels and dev images without; it returns probabilities, no score.
    2. Each trial draws its own training set and dev set by its seed, so that spread over seeds is real noise.
    3. What is not one distribution for each query has no score (a non-finite metric is a failed trial).

Data flow: data/*.csv (label, 64 grey values) -> candidate -> probabilities -> log-loss in nats, accuracy.
"""

from __future__ import annotations

import csv
import math
import random
from pathlib import Path
from typing import Any

TRAINING = 600  # images that a candidate learns from in one trial
QUERIES = 300
CLASSES = 10
LEAST = 1e-6  # of a probability: bounds the loss of one image at 13.8 nats

Row = tuple[int, list[int]]


def _read(name: str) -> list[Row]:
    with (Path(__file__).parent / "data" / name).open(encoding="utf-8", newline="") as stream:
        return [(int(row[0]), [int(cell) for cell in row[1:]]) for row in csv.reader(stream)]


TRAIN = _read("train.csv")
DEV = _read("dev.csv")


def evaluate(candidate: Any, seed: int) -> dict[str, float]:
    """Return ``log_loss`` in nats and ``accuracy`` as a share, on dev images drawn by the seed."""
    rng = random.Random(seed)
    training, asked = rng.sample(TRAIN, TRAINING), rng.sample(DEV, QUERIES)
    images, labels = [row[1] for row in training], [row[0] for row in training]
    answers = _lists(candidate.call("train_and_predict", images, labels, [row[1] for row in asked], seed))
    if not isinstance(answers, list) or len(answers) != QUERIES or not all(_is_distribution(row) for row in answers):
        return {"log_loss": math.nan, "accuracy": math.nan}
    truth = [row[0] for row in asked]
    losses = [-math.log(max(row[label] / math.fsum(row), LEAST)) for row, label in zip(answers, truth, strict=True)]
    hits = sum(row.index(max(row)) == label for row, label in zip(answers, truth, strict=True))
    return {"log_loss": math.fsum(losses) / QUERIES, "accuracy": hits / QUERIES}


def _lists(value: Any) -> Any:
    """Return arrays, and a list's arrays, as lists: a candidate may answer with either."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return [_lists(row) for row in value] if isinstance(value, list) else value


def _is_distribution(row: Any) -> bool:
    if not isinstance(row, list) or len(row) != CLASSES:
        return False
    return all(_is_chance(value) for value in row) and math.fsum(row) > 0


def _is_chance(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
