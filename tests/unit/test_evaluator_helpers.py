"""Helpers for evaluators: what counts as the same answer, how calls are scored, and how they are timed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import consilience
from consilience.evaluators.function import close, score_calls, secret_seed
from consilience.evaluators.timing import LEAST_TRIPS, TooFastError, time_calls

NAN, INF = float("nan"), float("inf")


class Forged(float):
    def __eq__(self, other: object) -> bool:
        return True

    def __sub__(self, other: float) -> float:
        return 0.0

    __hash__ = float.__hash__


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (1, 1),
        (1.0 + 1e-12, 1.0),
        (2, 2.0),
        ("text", "text"),
        (None, None),
        (True, True),
        ([1, [2.0, "x"]], (1, (2.0, "x"))),
        ({"a": [1.0]}, {"a": [1.0]}),
        (0.5, np.float32(0.5)),
        (3, np.int64(3)),
        (np.array([1.0, 2.0]), np.array([1.0, 2.0 + 1e-12])),
        (np.array([[1, 2]]), np.array([[1, 2]])),
        (np.array([1 + 1j]), np.array([1 + 1j])),
        (np.zeros((0, 3)), np.zeros((0, 3))),
        (np.float16([60000.0]), np.float16([60000.0])),
    ],
)
def test_same_answers(answer: Any, expected: Any) -> None:
    assert close(answer, expected)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (1.0, 1),
        (True, 1),
        (1, True),
        (1.001, 1.0),
        (NAN, NAN),
        (NAN, 1.0),
        (INF, INF),
        (1.0, INF),
        (INF, 1.0),
        (10**400, 1.0),
        (Forged(7.0), 1.0),
        ("1", 1),
        (None, 0.0),
        ([1, 2], [1]),
        ([1], [1, 2]),
        (1.0, [1.0]),
        ({"a": 1}, {"a": 1, "b": 2}),
        ({"a": 1, "b": 2}, {"a": 1}),
        ([1.0, 2.0], np.array([1.0, 2.0])),
        (np.array([1.0, 2.0]), [1.0, 2.0]),
        (np.array([1.0]), 1.0),
        (np.array([[1.0, 2.0]]), np.array([1.0, 2.0])),
        (np.float32([1.0]), np.float64([1.0])),
        (np.array([1.0, NAN]), np.array([1.0, NAN])),
        (np.array([1.0, INF]), np.array([1.0, INF])),
        (np.array([1, 2]), np.array([1, 3])),
        (np.array([1 + 1j]), np.array([1 + 2j])),
        (np.float16([60000.0]), np.float16([-60000.0])),
    ],
)
def test_other_answers(answer: Any, expected: Any) -> None:
    assert not close(answer, expected, rtol=1e-6)


def test_tolerances_are_absolute_and_relative() -> None:
    assert close(1.05, 1.0, rtol=0.1)
    assert close(0.05, 0.0, atol=0.1)
    assert not close(0.05, 0.0, rtol=0.1)
    assert not close(np.array([0.0, 1.2]), np.array([0.0, 1.0]), rtol=0.1)


class Stub:
    """Stands in for a candidate and its reference: answers by functions, and takes the time that it is told."""

    class WrongAnswer(Exception):  # noqa: N818 - the name that evaluators know
        pass

    def __init__(self, answer: Callable[..., Any], cost: float = 0.25, *, wall: float = 0.0, other: Any = None) -> None:
        self.seconds = self.cpu_seconds = 0.0
        self.answer, self.cost, self.wall, self.other = answer, cost, wall or cost, other
        self.calls: list[Any] = []

    def call(self, name: str, *args: Any) -> Any:
        assert name == "run"
        self.calls.append(args)
        self.seconds = self.wall
        self.cpu_seconds += self.cost
        return self.answer(*args)

    def reference(self, path: str) -> Stub:
        assert path == "reference.py"
        return self.other  # type: ignore[no-any-return]

    def trip(self, *args: Any) -> float:
        self.cpu_seconds += 2**-10
        return 2**-10


def test_calls_are_counted_and_inputs_are_copies() -> None:
    def spoil(row: list[int]) -> int:
        total = sum(row)
        row[:] = [0]
        return total if total < 4 else -1

    score = score_calls(Stub(spoil), "run", (([n, n],) for n in range(4)), sum, close)
    assert (score.right, score.calls, score.first_wrong, score.share) == (2, 4, 2, 0.5)
    assert score.seconds == 1.0


def test_no_input_is_no_score() -> None:
    with pytest.raises(ValueError, match="no input"):
        score_calls(Stub(abs), "run", [], abs, close)


def test_secret_seeds_follow_seed_and_salt() -> None:
    assert secret_seed(1) == secret_seed(1) != secret_seed(2)
    assert secret_seed(1, b"salt") != secret_seed(1)
    assert 0 <= secret_seed(-5) < 2**128
    assert secret_seed(1, b"other") != secret_seed(1, b"salt") == secret_seed(1, b"salt")


def inputs(count: int) -> list[tuple[int]]:
    return [(n,) for n in range(count)]


def test_a_faster_candidate_is_told_by_the_median_of_pairs() -> None:
    timing = time_calls(Stub(abs, 0.125, other=Stub(abs, 0.25)), "run", inputs(13), close)
    assert (timing.speedup, timing.low, timing.high, timing.wall_speedup, timing.pairs) == (2.0, 2.0, 2.0, 2.0, 10)
    assert (timing.reference_seconds, timing.trip_seconds, timing.total_seconds) == (0.25, 2**-10, 13 * 0.125)
    assert set(timing.metrics()) == {
        "speedup",
        "speedup_low",
        "speedup_high",
        "wall_speedup",
        "seconds",
        "reference_seconds",
        "trip_seconds",
        "total_seconds",
        "reference_total_seconds",
    }


def test_cpu_time_counts_and_wall_time_is_told() -> None:
    timing = time_calls(Stub(abs, 0.5, wall=0.125, other=Stub(abs, 0.25)), "run", inputs(13), close)
    assert (timing.speedup, timing.wall_speedup) == (0.5, 2.0)


def test_both_get_the_same_inputs_in_turns_each_once() -> None:
    order: list[str] = []
    other = Stub(lambda n: order.append("reference") or n)  # type: ignore[func-returns-value]
    mine = Stub(lambda n: order.append("candidate") or n, other=other)  # type: ignore[func-returns-value]
    time_calls(mine, "run", iter(inputs(9)), close)
    assert mine.calls == other.calls == inputs(9)
    assert order[:4] == ["candidate", "reference", "reference", "candidate"]


def test_a_wrong_answer_fails_even_in_the_warm_up() -> None:
    for wrong in (0, 8):
        mine = Stub(lambda n, wrong=wrong: -1 if n == wrong else n, other=Stub(abs))
        with pytest.raises(Stub.WrongAnswer, match=f"input {wrong}"):
            time_calls(mine, "run", inputs(9), close)


def test_what_cannot_be_measured_is_refused() -> None:
    quick = 2**-10 * LEAST_TRIPS / 4
    with pytest.raises(TooFastError, match="at least 4 times the work"):
        time_calls(Stub(abs, other=Stub(abs, quick)), "run", inputs(9), close)
    with pytest.raises(ValueError, match="no clock"):
        time_calls(Stub(abs, other=Stub(abs, 0.0)), "run", inputs(9), close)
    with pytest.raises(ValueError, match="was there before"):
        time_calls(Stub(abs, other=Stub(abs)), "run", [*inputs(8), (0,)], close)
    with pytest.raises(ValueError, match="at least 5 are needed"):
        time_calls(Stub(abs, other=Stub(abs)), "run", inputs(7), close)
    with pytest.raises(ValueError, match="at least 1"):
        time_calls(Stub(abs, other=Stub(abs)), "run", inputs(9), close, warm_up=0)


def test_the_helpers_need_nothing_but_the_standard_library() -> None:
    folder = Path(consilience.__file__).parent.parent
    code = f"import sys; sys.path.append({str(folder)!r}); import consilience.evaluators.function, \
consilience.evaluators.timing; print([m for m in ('numpy', 'msgspec', 'importlib.metadata') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
