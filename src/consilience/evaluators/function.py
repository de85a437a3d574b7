"""Scores a candidate by what its function answers, call by call.

    from consilience.evaluators.function import close, score_calls, secret_seed

    def evaluate(candidate, seed):
        draw = random.Random(secret_seed(seed))
        inputs = [([draw.random() for _ in range(50)],) for _ in range(20)]
        return {"right": score_calls(candidate, "sort", inputs, sorted, close).share}

Rules:
    1. Each call gets its own copy of an input; what is right is computed afterwards, from another copy.
    2. Types are exact: a subclass, a truth value for a number or a float for a count is a wrong answer.
    3. NaN is never right, and neither is another shape: comparisons are written so that the odd value fails them.

Data flow: inputs -> copy -> candidate -> answer; inputs -> copy -> reference -> expected; both -> `compare` -> Score.
"""

from __future__ import annotations

import copy
import hashlib
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

TOLERANCE = 1e-9
"""Default relative tolerance: what sums of a few million float64 in another order differ by, and far below any use."""

_SALT = os.urandom(32)  # made anew in each evaluator process, and in no file that anybody could read


@dataclass(frozen=True)
class Score:
    """What came of a number of calls.

    Attributes:
        right: how many answers were right.
        calls: how many there were.
        seconds: wall time of all calls, taken by the recorder.
        first_wrong: the number of the first call with a wrong answer, from 0; None when all were right.
    """

    right: int
    calls: int
    seconds: float
    first_wrong: int | None

    @property
    def share(self) -> float:
        """The share of right answers."""
        return self.right / self.calls


def score_calls(
    candidate: Any,
    name: str,
    inputs: Iterable[tuple[Any, ...]],
    reference: Callable[..., Any],
    compare: Callable[[Any, Any], bool],
) -> Score:
    """Call the candidate once for each input and count the right answers.

    Args:
        candidate: what `evaluate` was given.
        name: the function to call.
        inputs: the arguments of each call, as a tuple. They may be made one by one by a generator.
        reference: your own function, which gives the right answer for the same arguments.
        compare: given answer and right answer, tells whether they are the same; `close`, or one of your own.

    Raises:
        candidate.Error: a call failed. Not caught, the trial fails: a crash is no score.
        ValueError: there was no input.
    """
    verdicts: list[bool] = []
    seconds = 0.0
    for arguments in inputs:
        answer = candidate.call(name, *copy.deepcopy(arguments))
        seconds += candidate.seconds
        verdicts.append(bool(compare(answer, reference(*copy.deepcopy(arguments)))))
    if not verdicts:
        raise ValueError("score_calls was given no input, so there is nothing to score")
    first_wrong = verdicts.index(False) if False in verdicts else None
    return Score(right=sum(verdicts), calls=len(verdicts), seconds=seconds, first_wrong=first_wrong)


def secret_seed(seed: int, salt: bytes = _SALT) -> int:
    """Return a seed (128 bits) for drawing inputs that a candidate's author cannot foresee.

    It follows from the trial's seed and a salt. The default salt is made anew when the evaluator's process starts:
    nobody can look the inputs up beforehand. Candidates are still compared on the same inputs while that process is
    kept warm; after a restart (a failed trial, a resumed run) the same seed gives others, so choose enough inputs
    that the score does not depend on which they are. With a salt of your own, such as ``b"2026"``, scores can be
    repeated exactly, and whoever reads your evaluator can foresee the inputs.
    """
    return int.from_bytes(hashlib.sha256(salt + b"%d" % seed).digest()[:16], "big")


def close(answer: Any, expected: Any, rtol: float = TOLERANCE, atol: float = 0.0) -> bool:
    """Tell whether an answer is what was expected, numbers within ``atol + rtol * |expected|``.

    Whole numbers, truth values and texts have to be equal, and of the very type. Where a float is expected, a whole
    number will do. Lists have to be as long, dicts to have the same keys, arrays the same shape and dtype. A tuple
    arrives as a list, so it may be expected as either. NaN and infinity are never right.
    """
    if _is_array(expected):
        return _same_arrays(answer, expected, rtol, atol)
    if type(expected) in (list, tuple):
        return (
            type(answer) is list
            and len(answer) == len(expected)
            and all(close(one, other, rtol, atol) for one, other in zip(answer, expected, strict=True))
        )
    if type(expected) is dict:
        return (
            type(answer) is dict
            and answer.keys() == expected.keys()
            and all(close(answer[key], expected[key], rtol, atol) for key in expected)
        )
    plain = expected.item() if hasattr(expected, "item") else expected  # a number of NumPy's
    if type(plain) is float:
        return type(answer) in (int, float) and _near(answer, plain, rtol, atol)
    return type(answer) is type(plain) and bool(answer == plain)


def _near(answer: float, expected: float, rtol: float, atol: float) -> bool:
    try:
        return abs(answer - expected) <= atol + rtol * abs(expected) < float("inf")
    except OverflowError:  # an integer beyond the largest float
        return False


def _is_array(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray)


def _same_arrays(answer: Any, expected: Any, rtol: float, atol: float) -> bool:
    import numpy as np  # noqa: PLC0415 - it is loaded, for there is an array

    if type(answer) is not np.ndarray or (answer.shape, answer.dtype) != (expected.shape, expected.dtype):
        return False
    if expected.dtype.kind not in "fc":
        return bool((answer == expected).all())
    wide = np.complex128 if expected.dtype.kind == "c" else np.float64  # half floats overflow in the comparison
    right = expected.astype(wide)
    with np.errstate(all="ignore"):
        allowed = atol + rtol * np.abs(right)
        return bool(((np.abs(answer.astype(wide) - right) <= allowed) & np.isfinite(allowed)).all())
