"""From an OpenEvolve-style result to metrics: the score key, the mean, and what marks a failure."""

from __future__ import annotations

from typing import Any

import pytest

from consilience.core.outcome import Failure
from consilience.trials.executors.candidate_process import RaisedError
from consilience.trials.executors.scoring import Evaluation, feedback, score

COMBINED = "combined_score"


def evaluate(numbers: dict[str, float], metric: str = COMBINED, excluded: tuple[str, ...] = (), **rest: Any) -> Any:
    return score(Evaluation(numbers=numbers, **rest), metric, excluded)


def test_the_objective_is_taken_as_it_is() -> None:
    assert evaluate({"combined_score": 0.7, "speed": 3.0}) == {"combined_score": 0.7, "speed": 3.0}
    assert evaluate({"val_loss": 0.2}, metric="val_loss") == {"val_loss": 0.2}


def test_without_a_combined_score_it_is_the_mean_of_the_numbers() -> None:
    marks = {"valid": True, "note": "text", "nothing": None}
    assert evaluate({"a": 1.0, "b": 3.0}, marks=marks) == {"a": 1.0, "b": 3.0, COMBINED: 2.0}


def test_feature_dimensions_do_not_take_part_in_the_mean() -> None:
    assert evaluate({"a": 1.0, "complexity": 99.0}, excluded=("complexity",))[COMBINED] == 1.0
    assert evaluate({"complexity": 99.0}, excluded=("complexity",))[COMBINED] == 99.0


def test_another_objective_is_never_made_up() -> None:
    failure = evaluate({"a": 1.0}, metric="accuracy")
    assert isinstance(failure, Failure)
    assert failure.reason == "missing_metric"
    assert "'accuracy'" in failure.message


@pytest.mark.parametrize(
    ("numbers", "marks", "reason"),
    [
        ({"error": 0.0}, {}, "crash"),  # OpenEvolve's own marker
        ({"error": 0.0}, {"timeout": True}, "timeout"),
        ({"stage1_passed": 0.0, "error": 0.0}, {}, "crash"),
        ({COMBINED: 0.0, "error": 1.0}, {}, "crash"),
        ({COMBINED: 0.0}, {"error": "Missing run_search"}, "crash"),
        ({COMBINED: 0.9}, {"error": True}, "crash"),
        ({COMBINED: 0.9}, {"timeout": True}, "timeout"),
        ({}, {}, "missing_metric"),
        ({}, {"valid": True}, "missing_metric"),
    ],
)
def test_marks_of_failure(numbers: dict[str, float], marks: dict[str, Any], reason: str) -> None:
    failure = evaluate(numbers, marks=marks)
    assert isinstance(failure, Failure)
    assert failure.reason == reason


@pytest.mark.parametrize(
    ("numbers", "marks"),
    [
        ({COMBINED: 0.9, "error": 0.03}, {}),  # an approximation error, beside a score
        ({COMBINED: 0.0, "error": 0.0}, {}),  # nothing went wrong, and the score is 0
        ({COMBINED: 0.4, "timeout": 2.0}, {}),
        ({"accuracy": 0.9, "error": 0.1}, {}),
        ({COMBINED: 0.9}, {"error": None, "timeout": False}),
        ({COMBINED: 0.9}, {"error": "No error"}),
    ],
)
def test_numbers_named_error_may_be_metrics(numbers: dict[str, float], marks: dict[str, Any]) -> None:
    assert COMBINED in evaluate(numbers, marks=marks)


def test_an_error_that_is_the_objective_is_a_metric() -> None:
    assert evaluate({"error": 0.0}, metric="error") == {"error": 0.0}


def test_what_is_not_finite_never_raises_a_mean() -> None:
    failure = evaluate({"good": 1.0}, non_finite={"bad": "nan"})
    assert isinstance(failure, Failure)
    assert failure.reason == "non_finite"
    assert evaluate({"good": 1.0}, non_finite={"bad": "nan"}, excluded=("bad",))[COMBINED] == 1.0
    assert evaluate({COMBINED: 1.0}, non_finite={"side": "inf"}) == {COMBINED: 1.0}


def test_an_exception_at_import_is_the_evaluators() -> None:
    error = RaisedError(type="ImportError", message="no module")
    for stage, reason in (("evaluator", "evaluator_error"), ("evaluate", "crash")):
        failure = score(Evaluation(error=error, stage=stage), COMBINED, ())
        assert isinstance(failure, Failure)
        assert failure.reason == reason


def test_feedback_is_text_and_capped() -> None:
    text = feedback(Evaluation(artifacts={"note": "too slow", "long": "x" * 10**6}, marks={"valid": False}))
    assert text.startswith("note: too slow\n")
    assert len(text) == 16 * 1024
