"""Arrays on the channel: bit for bit what was sent, and whatever else arrives is refused, never misread."""

from __future__ import annotations

import io
import os
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from consilience.core.outcome import Failure
from consilience.trials.executors.arrays import BYTES_OF, encode_frame
from consilience.trials.executors.candidate_process import ArrayReply, Reply, _reply, answer_message
from consilience.trials.executors.evaluator_process import _report as read_report
from consilience.trials.executors.evaluator_process import call_message
from consilience.trials.executors.messages import NotPlainError
from consilience.trials.executors.pipes import Lines
from consilience.trials.harness import harness_wire

CAP = 1 << 16
DECODE, ENCODE = harness_wire._codec()
DTYPES = st.sampled_from(sorted(BYTES_OF)).flatmap(lambda name: st.sampled_from("<>").map(np.dtype(name).newbyteorder))
ARRAYS = npst.arrays(DTYPES, npst.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4))
FINITE = ARRAYS.map(lambda array: np.where(np.isfinite(array), array, np.zeros_like(array)).astype(array.dtype))
INEXACT = npst.arrays(
    st.sampled_from(["float16", "float32", "float64", "complex64", "complex128"]),
    npst.array_shapes(min_dims=1, max_dims=4, max_side=4),
    elements={"allow_nan": False, "allow_infinity": False},
)
PLAIN = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(max_size=5).filter(lambda text: text != "$array")


def trees(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=6
    )


def sent(message: Any) -> bytes:
    """Return what a child writes for a message."""
    reading, writing = os.pipe()
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(_read_all(reading)))
    reader.start()
    try:
        harness_wire._sender(writing, ENCODE)(message)
    finally:
        os.close(writing)
        reader.join()
    return found[0]


def _read_all(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as stream:
        return stream.read()


def received(data: bytes) -> Any:
    """Return what a child reads."""
    return harness_wire._receiver(io.BytesIO(data), DECODE)()  # type: ignore[arg-type]


def split(data: bytes) -> tuple[bytes, bytes] | None:
    """Return what the recorder takes off the pipe: one whole frame and nothing else, or None."""
    reading, writing = os.pipe()
    lines = Lines(reading, CAP)
    for start in range(0, len(data), 4096):
        os.write(writing, data[start : start + 4096])
        lines.read()
    os.close(writing)
    frame = lines.take_frame()
    lines.close()
    return None if lines.overflow or lines.spoke else frame


def same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        big = one.astype(one.dtype.newbyteorder("<"), order="C")
        return (
            type(other) is np.ndarray
            and (other.dtype, other.shape) == (one.dtype.newbyteorder("="), one.shape)
            and other.tobytes() == big.tobytes()
            and other.flags.writeable
            and (other.flags.owndata or other.base.flags.owndata)
        )
    if isinstance(one, dict):
        return type(other) is dict and list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return type(other) is list and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and bool(one == other)


@given(trees(PLAIN | FINITE))
def test_answers_arrive_bit_for_bit(value: Any) -> None:
    frame = split(sent({"value": value}))
    assert frame is not None
    reply = _reply(*frame)
    assert isinstance(reply, Reply)
    assert same(value, received(encode_frame(answer_message(reply, 0.5, 0.25)))["value"])


@given(st.lists(trees(PLAIN | ARRAYS), max_size=3), st.dictionaries(TEXTS, trees(PLAIN | ARRAYS), max_size=2))
def test_arguments_arrive_bit_for_bit(args: list[Any], kwargs: dict[str, Any]) -> None:
    frame = split(sent({"op": "call", "name": "run", "args": args, "kwargs": kwargs}))
    assert frame is not None
    got = received(encode_frame(call_message(read_report(*frame))))
    assert got["name"] == "run"
    assert same(args, got["args"])
    assert same(kwargs, got["kwargs"])


@given(INEXACT, st.sampled_from([np.nan, np.inf, -np.inf]), st.data())
def test_what_is_not_finite_is_no_answer(array: Any, bad: float, data: st.DataObject) -> None:
    array.flat[data.draw(st.integers(0, array.size - 1))] = bad
    frame = split(sent({"value": [array]}))
    assert frame is not None
    reply = _reply(*frame)
    assert isinstance(reply, Reply)
    assert reply.stage == "answer"
    assert not isinstance(reply, ArrayReply)


FRAMES = st.lists(FINITE, min_size=1, max_size=3).map(lambda arrays: sent({"value": [*arrays, 1.5]}))


@given(FRAMES, st.data())
def test_a_frame_of_another_length_is_refused(frame: bytes, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(frame) - 1))
    assert split(frame[:cut]) is None
    assert split(frame + data.draw(st.binary(min_size=1, max_size=9))) is None


@given(FRAMES, st.data())
def test_a_changed_byte_is_refused_or_changes_one_value(frame: bytes, data: st.DataObject) -> None:
    """Whatever passes is consistent: as many bytes as its types and shapes come to, and every array in its place."""
    at = data.draw(st.integers(0, len(frame) - 1))
    changed = frame[:at] + data.draw(st.binary(min_size=1, max_size=1)) + frame[at + 1 :]
    assume(changed != frame)
    taken = split(changed)
    if taken is None:
        return
    reply = _reply(*taken)
    if isinstance(reply, Failure):
        assert reply.reason == "invalid_output"
        return
    if reply.error is None:
        got = received(encode_frame(answer_message(reply, 0.0, 0.0)))["value"]
        assert isinstance(reply, ArrayReply)
        assert sum(array.nbytes for array in _arrays(got)) == len(reply.raw)
        assert len(_arrays(got)) == len(reply.arrays)


def _arrays(value: Any) -> list[Any]:
    if isinstance(value, np.ndarray):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [array for item in inner for array in _arrays(item)]


HEADER = b'{"dtype":"float64","shape":[2]}'
TWO = b'"arrays":[' + HEADER + b'],"value":'


@pytest.mark.parametrize(
    ("line", "raw"),
    [
        (b'{"body":16,' + TWO + b"[]}", b"\0" * 16),  # missing place
        (b'{"body":16,' + TWO + b'[{"$array":0},{"$array":0}]}', b"\0" * 16),  # doubled
        (b'{"body":16,' + TWO + b'{"$array":1}}', b"\0" * 16),  # out of range
        (b'{"body":16,' + TWO + b'{"$array":-1}}', b"\0" * 16),
        (b'{"body":16,' + TWO + b'{"$array":true}}', b"\0" * 16),
        (b'{"body":16,' + TWO + b'{"$array":0.0}}', b"\0" * 16),
        (b'{"body":16,' + TWO + b'{"$array":0,"more":1}}', b"\0" * 16),
        (b'{"body":16,' + TWO + b'{"$array":0},"error":{"type":"E","message":""}, "value":1}', b"\0" * 16),
        (b'{"body":8,' + TWO + b'{"$array":0}}', b"\0" * 8),  # fewer than the shape says
        (b'{"body":16,"body":8,' + TWO + b'{"$array":0}}', b"\0" * 16),
        (b'{ "body":16,' + TWO + b'{"$array":0}}', b""),  # not announced
        (b"{" + TWO + b'{"$array":0}}', b""),
        (b'{"body":16,"value":1}', b"\0" * 16),
        (b'{"body":0,"value":{"\\u0024array":0}}', b""),  # plain data that looks like a place
        (b'{"value":{"$array":0}}', b""),
        (b'{"value":{"$array":{"$array":"x"}}}', b""),
        (b'{"body":1,"arrays":[{"dtype":"bool","shape":[]}],"value":{"$array":0}}', b"\x02"),
        (b'{"body":8,"arrays":[{"dtype":"object","shape":[]}],"value":{"$array":0}}', b"\0" * 8),
        (b'{"body":16,"arrays":[{"dtype":"longdouble","shape":[]}],"value":{"$array":0}}', b"\0" * 16),
        (b'{"body":8,"arrays":[{"dtype":"float64","shape":[-1,-1]}],"value":{"$array":0}}', b"\0" * 8),
        (b'{"body":8,"arrays":[{"dtype":"float64","shape":[1.0]}],"value":{"$array":0}}', b"\0" * 8),
        (b'{"body":0,"arrays":[{"dtype":"int8","shape":[0,4294967296,4294967296]}],"value":{"$array":0}}', b""),
        (b'{"body":1,"arrays":[{"dtype":"int8","shape":[' + b"1," * 32 + b'1]}],"value":{"$array":0}}', b"\0"),
        (b'{"body":1,"arrays":[{"dtype":"int8","shape":[1],"data":"x"}],"value":{"$array":0}}', b"\0"),
    ],
)
def test_frames_that_do_not_hold_together_are_refused(line: bytes, raw: bytes) -> None:
    frame = split(line + b"\n" + raw)
    assert frame == (line, raw)
    reply = _reply(*frame)
    assert isinstance(reply, Failure), reply
    assert reply.reason == "invalid_output"


def test_a_call_with_a_smuggled_place_is_refused() -> None:
    with pytest.raises(NotPlainError, match="one place for each"):
        read_report(b'{"op":"call","name":"run","kwargs":{"$array":0}}', b"")


@pytest.mark.parametrize("size", [CAP + 1, 10**14])
def test_more_bytes_than_allowed_are_refused_before_they_are_read(size: int) -> None:
    reading, writing = os.pipe()
    lines = Lines(reading, CAP)
    os.write(writing, b'{"body":%d,"arrays":[],"value":0}\n' % size)
    lines.read()
    assert lines.overflow
    assert lines.settled
    os.close(writing)
    lines.close()
