"""Helpers of whole-program evaluators: what they score, and what they refuse as the candidate's fault."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from consilience.evaluators.program import (
    LEAST_PROBABILITY,
    OutputError,
    accuracy,
    check_predictions,
    log_loss,
    mean_squared_error,
)


def test_accuracy_is_the_share_of_equal_rows() -> None:
    assert accuracy(["a", "b", "a", "b"], ["a", "a", "a", "a"]) == 0.5
    assert accuracy([1, 0, 1], np.array([1.0, 0.0, 1.0])) == 1.0
    assert accuracy([1, 2], ["1", "2"]) == 0.0


def test_log_loss_is_in_nats_and_bounded() -> None:
    even = [[0.5, 0.5], [0.5, 0.5]]
    assert log_loss(["x", "y"], even, ["x", "y"]) == pytest.approx(math.log(2))
    assert log_loss([1, 0], [[0, 1], [1, 0]], [0, 1]) == pytest.approx(0.0)
    assert log_loss([0], [[0, 1]], [0, 1]) == -math.log(LEAST_PROBABILITY)


def test_mean_squared_error() -> None:
    assert mean_squared_error([1.0, 2.0], [2, 4.0]) == 2.5


@pytest.mark.parametrize(
    ("predictions", "words"),
    [
        ([1], "1 predictions, expected 2"),
        ([1, 2, 3], "3 predictions"),
        ({"0": 1, "1": 2}, "a dict"),
        ("ab", "a str"),
        (None, "a NoneType"),
        ([1, math.nan], "prediction 1 holds 'nan'"),
        ([math.inf, 1], "prediction 0"),
        ([1, None], "'None'"),
        ([1, [2, [3]]], "'[3]'"),
        ([{}, 1], "'{}'"),
    ],
)
def test_predictions_that_cannot_be_scored(predictions: Any, words: str) -> None:
    with pytest.raises(OutputError) as caught:
        check_predictions(predictions, 2)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([[1.0], [0.5, 0.5]], "row 0 is no list of 2"),
        ([0.5, 0.5], "row 0 is no list"),
        ([[0.5, 0.5], [1.5, -0.5]], "between 0 and 1"),
        ([[0.5, 0.5], [True, False]], "between 0 and 1"),
        ([[0.5, 0.5], ["1", "0"]], "between 0 and 1"),
        ([[0.5, 0.5], [0.6, 0.6]], "add up to 1.2"),
    ],
)
def test_probabilities_that_are_none(rows: Any, words: str) -> None:
    with pytest.raises(OutputError, match=words):
        log_loss([0, 1], rows, [0, 1])


def test_regression_wants_numbers() -> None:
    with pytest.raises(OutputError, match="prediction 1 is a str"):
        mean_squared_error([1.0, 2.0], [1.0, "2"])


@pytest.mark.parametrize("huge", [1e300, 10**400, -(10**400)])
def test_an_error_beyond_numbers_is_the_candidates(huge: float) -> None:
    with pytest.raises(OutputError, match="too far off"):
        mean_squared_error([1.0], [huge])


def test_the_harness_is_told_whose_fault_it_is() -> None:
    assert OutputError.of_candidate is True
