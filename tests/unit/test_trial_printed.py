"""Metrics that a program prints."""

from __future__ import annotations

import pytest

from consilience.core.outcome import Failure
from consilience.trials.executors.printed import printed_metrics

PATTERN = r"^val_bpb:\s*(\S+)"
SUMMARY = "step 1 loss: 3.2\nval_bpb: 1.5\n---\nval_bpb: 0.9979\npeak_vram_mb: 45060.2\nnum_params_M: 50.3\nnote: hi\n"


def test_the_last_match_and_the_summary_block() -> None:
    metrics = printed_metrics(SUMMARY, "val_bpb", PATTERN)
    assert metrics == {"val_bpb": 0.9979, "peak_vram_mb": 45060.2, "num_params_M": 50.3}


def test_a_pattern_without_a_group_is_the_number_itself() -> None:
    assert printed_metrics("loss 0.5\nloss 0.25", "loss", r"\d\.\d+") == {"loss": 0.25}


def test_side_metrics_that_are_not_finite_are_left_out() -> None:
    assert printed_metrics("val_bpb: 1.0\nmfu: nan\n", "val_bpb", PATTERN) == {"val_bpb": 1.0}


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("", "missing_metric"),
        ("  val_bpb: 1.0", "missing_metric"),
        ("val_bpb: nan", "non_finite"),
        ("val_bpb: 1.0\nval_bpb: inf", "non_finite"),
        ("val_bpb: FAILED", "invalid_output"),
    ],
)
def test_failures(output: str, reason: str) -> None:
    failure = printed_metrics(output, "val_bpb", PATTERN)
    assert isinstance(failure, Failure)
    assert failure.reason == reason


def test_many_lines_give_a_bounded_number_of_metrics() -> None:
    output = "".join(f"m{number}: {number}\n" for number in range(1000)) + "val_bpb: 1\n"
    metrics = printed_metrics(output, "val_bpb", PATTERN)
    assert isinstance(metrics, dict)
    assert len(metrics) <= 65
    assert metrics["val_bpb"] == 1.0


def test_text_that_makes_patterns_backtrack_does_not_hold_us_up() -> None:
    hostile = "a: " + "1" * 1_000_000 + "x\nval: 1.5\n"
    assert printed_metrics(hostile, "val", r"^val:\s*(\S+)") == {"val": 1.5}
    found = printed_metrics("a" * 5000 + "\n", "val", r"(a+)+b$")
    assert isinstance(found, Failure)
    assert "took too long" in found.message
