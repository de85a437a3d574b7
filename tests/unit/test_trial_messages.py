"""Strict JSON from children: what is refused, and that what passes is unchanged."""

from __future__ import annotations

from typing import Any

import pytest

from consilience.trials.executors.candidate_process import Reply
from consilience.trials.executors.messages import (
    ENVELOPE_DEPTH,
    MAX_DEPTH,
    NotPlainError,
    check_plain,
    decode_line,
    encode_line,
    nesting,
)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"nonsense",
        b'{"value": NaN}',
        b'{"value": Infinity}',
        b'{"value": 1e999}',
        b'{"value": 1} {"value": 2}',
        b'{"value": "\xff"}',
        b'{"error": "text"}',
        b"[1]",
        b'{"value": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    ],
)
def test_what_is_not_a_strict_message_is_refused(line: bytes) -> None:
    with pytest.raises(NotPlainError):
        decode_line(line, Reply)


def nested(depth: int) -> Any:
    value: Any = 1.0
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("value", [2**63, [-(2**70)], {"a": [{"b": 2**64}]}, nested(MAX_DEPTH + 1)])
def test_huge_integers_and_deep_nesting_are_refused(value: Any) -> None:
    with pytest.raises(NotPlainError):
        check_plain(value)


@pytest.mark.parametrize("value", [None, True, 2**62, "text", {"a": [1, 2.5, {"b": []}]}, nested(MAX_DEPTH)])
def test_plain_data_passes_unchanged(value: Any) -> None:
    check_plain(value)
    assert decode_line(encode_line({"value": value}).strip(), Reply).value == value


@pytest.mark.parametrize("depth", [0, 1, 66, 67, 68, 69, 100_000])
def test_depth_is_counted_before_anything_is_parsed(depth: int) -> None:
    line = b'{"value": ' + b"[" * depth + b"]" * depth + b', "text": "' + b"[" * 200 + b'\\"{"}'
    most = MAX_DEPTH + ENVELOPE_DEPTH
    assert (nesting(line) > most) == (depth + 1 > most)
    assert nesting(b'{"value": "' + b"[" * 200 + b'"}') <= 1
