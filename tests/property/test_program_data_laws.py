"""Whatever a program hands over: data that is what it says, or a refusal; never another error, never a pickle."""

from __future__ import annotations

import importlib
import io
import json
import math
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from consilience.trials.harness import HARNESS

KINDS = ["?", "<i1", "<i8", ">u2", "<f4", ">f8", "<c16"]


def _harness() -> ModuleType:
    """Import the script as the evaluator's process does: beside the other scripts."""
    sys.path.insert(0, str(HARNESS))
    try:
        return importlib.import_module("harness_program")
    finally:
        sys.path.remove(str(HARNESS))


program = _harness()


class Handed(program.Run):  # type: ignore[misc, name-defined]
    """A run that has handed over one file."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def bytes(self, name: str) -> bytes:
        return self._data


def saved(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


any_array = st.sampled_from(KINDS).flatmap(
    lambda kind: arrays.arrays(kind, arrays.array_shapes(min_dims=0, min_side=0))
)


@given(any_array, st.booleans())
def test_an_array_comes_through_as_it_was(array: Any, fortran: bool) -> None:
    array = np.asfortranarray(array) if fortran else array
    found = Handed(saved(array)).array("a.npy")
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert found.tobytes() == array.tobytes()
    assert found.flags.writeable


@given(any_array, st.data())
def test_a_changed_file_is_refused_or_holds_plain_numbers(array: Any, data: st.DataObject) -> None:
    raw = bytearray(saved(array))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(raw[: data.draw(st.integers(0, len(raw)))])
    for changed in (bytes(raw), cut):
        try:
            found = Handed(changed).array("a.npy")
        except program.OutputError:
            continue
        assert found.dtype.kind in "biufc"
        assert found.nbytes < len(changed)


@given(st.binary(max_size=200))
def test_any_bytes_are_no_array_or_refused(raw: bytes) -> None:
    with pytest.raises(program.OutputError):
        Handed(raw).array("a.npy")


finite = st.floats(allow_nan=False, allow_infinity=False)
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(plain)
def test_plain_data_comes_through_as_it_was(value: Any) -> None:
    assert Handed(json.dumps(value).encode()).json("a.json") == value


@given(st.binary(max_size=100) | st.text(alphabet='{}[]",:0123456789.eE+-ntrufalsvNI\\ ', max_size=60).map(str.encode))
def test_any_bytes_are_finite_data_or_refused(raw: bytes) -> None:
    try:
        value = Handed(raw).json("a.json")
    except program.OutputError:
        return
    assert not isinstance(value, float) or math.isfinite(value)
