"""The harness's channel: strict JSON without the json package, and what counts as plain data."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest

from consilience.trials.harness import harness_wire


@pytest.mark.parametrize("value", [None, True, 1, -2.5, "é\n\u2028", [], {}, {"a": [1, {"b": "c"}], "d": 1e-300}])
def test_it_writes_and_reads_json(value: Any) -> None:
    decode, encode = harness_wire._codec()
    assert json.loads(encode(value)) == value
    assert decode(json.dumps(value)) == value


def test_numpy_becomes_lists_and_numbers() -> None:
    _, encode = harness_wire._codec()
    value = {
        "array": np.arange(4).reshape(2, 2),
        "scalar": np.float32(0.5),
        "count": np.int64(3),
        "flag": np.bool_(True),
    }
    assert json.loads(encode(value)) == {"array": [[0, 1], [2, 3]], "scalar": 0.5, "count": 3, "flag": True}


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], {1, 2}, object(), {(1,): 2}, np.array([np.nan])])
def test_what_is_not_plain_and_finite_is_refused(value: Any) -> None:
    _, encode = harness_wire._codec()
    with pytest.raises((ValueError, TypeError)):
        encode(value)


def test_a_refused_value_does_not_spoil_the_next() -> None:
    _, encode = harness_wire._codec()
    rows = [1.0, float("nan")]
    with pytest.raises(ValueError, match="Out of range float values"):
        encode(rows)
    rows[1] = 2.0
    assert encode(rows) == "[1.0,2.0]"


def test_all_loaded_generators_are_seeded() -> None:
    def draw(seed: int) -> tuple[float, float]:
        harness_wire.seed_all(seed)
        return random.random(), float(np.random.rand())  # noqa: NPY002 - the global generator is what is seeded

    first, again, other = draw(1), draw(1), draw(2**40)
    assert first == again
    assert first[0] != other[0]
    assert first[1] != other[1]


def test_an_exception_is_described_even_when_it_resists() -> None:
    class HostileError(Exception):
        errno = "many"

        def __str__(self) -> str:
            raise RuntimeError

    assert harness_wire.describe(HostileError()) == {
        "type": "HostileError",
        "message": "(its text cannot be read)",
        "errno": 0,
    }
