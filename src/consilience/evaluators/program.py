"""Scores for whole-program problems: predictions that a program handed over, against labels that it never saw.

Rules:
    1. Predictions are checked before they are used: their number, their types, that they are finite.
    2. A fault in them fails the trial as `invalid_output`: it is the candidate's, not the evaluator's.

Data flow: ``run.json(...)`` or ``run.array(...)`` -> `check_predictions` -> `accuracy`, `log_loss`,
`mean_squared_error` -> metrics.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Hashable, Sequence
from typing import Any, ClassVar

LEAST_PROBABILITY = sys.float_info.epsilon  # so that one sure error is not infinitely bad; as scikit-learn clips
SUM_TOLERANCE = 1e-3  # a row of probabilities in four decimals is as good as any


class OutputError(ValueError):
    """What the candidate handed over cannot be scored."""

    of_candidate: ClassVar[bool] = True  # tells the harness whose fault it is


def check_predictions(predictions: Any, count: int) -> list[Any]:
    """Return predictions as a list, after checking that they can be scored.

    Args:
        predictions: a list or a NumPy array: a number, text or truth value for each row, or a row of numbers each.
        count: how many rows were to be predicted.

    Raises:
        OutputError: not a list, another number of rows, or a value that is no finite number, text or truth value.
    """
    rows = predictions.tolist() if hasattr(predictions, "tolist") else predictions
    if not isinstance(rows, list | tuple):
        raise OutputError(f"predictions are a {type(rows).__name__}, expected a list of {count}")
    if len(rows) != count:
        raise OutputError(f"there are {len(rows)} predictions, expected {count}")
    for number, row in enumerate(rows):
        for value in row if isinstance(row, list | tuple) else (row,):
            if not _plain(value):
                raise OutputError(f"prediction {number} holds {str(value)[:40]!r}, expected finite numbers or text")
    return list(rows)


def accuracy(labels: Sequence[Hashable], predictions: Any) -> float:
    """Return the share of rows whose prediction equals the label.

    Raises:
        OutputError: the predictions cannot be scored.
    """
    rows = check_predictions(predictions, len(labels))
    right = sum(1 for label, row in zip(labels, rows, strict=True) if label == row)
    return right / len(labels)


def log_loss(labels: Sequence[Hashable], probabilities: Any, classes: Sequence[Hashable]) -> float:
    """Return the mean of -ln(probability of the true class), in nats; lower is better.

    Args:
        labels: the true class of each row.
        probabilities: for each row a list with the probability of each class.
        classes: the classes in the order of those lists.

    Raises:
        OutputError: a row has another length, a value outside [0, 1], or a sum that is not 1.
    """
    rows = check_predictions(probabilities, len(labels))
    place = {name: index for index, name in enumerate(classes)}
    losses = []
    for number, (label, row) in enumerate(zip(labels, rows, strict=True)):
        _check_row(number, row, len(classes))
        losses.append(-math.log(max(row[place[label]], LEAST_PROBABILITY)))
    return math.fsum(losses) / len(losses)


def mean_squared_error(targets: Sequence[float], predictions: Any) -> float:
    """Return the mean squared difference, in the target's unit squared; lower is better.

    Raises:
        OutputError: the predictions are not one number for each row, or so far off that the error is infinite.
    """
    rows = check_predictions(predictions, len(targets))
    for number, row in enumerate(rows):
        if type(row) not in (int, float):
            raise OutputError(f"prediction {number} is a {type(row).__name__}, expected a number")
    try:
        return math.fsum((row - target) ** 2 for row, target in zip(rows, targets, strict=True)) / len(rows)
    except OverflowError:
        raise OutputError("the predictions are too far off for an error that is a finite number") from None


def _check_row(number: int, row: Any, length: int) -> None:
    if not isinstance(row, list | tuple) or len(row) != length:
        raise OutputError(f"row {number} is no list of {length} probabilities")
    if any(type(value) not in (int, float) or not 0 <= value <= 1 for value in row):
        raise OutputError(f"row {number} holds something else than probabilities between 0 and 1")
    if abs(math.fsum(row) - 1) > SUM_TOLERANCE:
        raise OutputError(f"the probabilities of row {number} add up to {math.fsum(row):.6g}, expected 1")


def _plain(value: Any) -> bool:
    if type(value) is float:
        return math.isfinite(value)
    return type(value) in (bool, int, str)
