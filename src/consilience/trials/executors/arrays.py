"""Arrays between candidate and evaluator: checked by type, shape and size, then passed on as the bytes they are.

The form is described in `harness_arrays`: a line that announces a number of bytes, and those bytes.

Rules:
    1. What is announced, what shapes and types come to, and what arrived are the same number of bytes.
    2. Each array stands at exactly one place, and no plain data looks like such a place.
    3. The numbers are not looked at, but for two things that would mislead the evaluator: a NaN or infinity where
       only finite numbers are accepted, and a boolean that is neither 0 nor 1.

Data flow: frame from a child -> `check_arrays` -> message with RAW -> `encode_frame` -> another child.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from msgspec import Struct

from consilience.trials.executors.messages import MAX_DEPTH, NotPlainError, encode_line, inner_values
from consilience.trials.harness.harness_arrays import BYTES_OF, MARK

RAW = "raw"
"""Under this key a message in memory holds the bytes of its arrays; they are sent behind its line."""

MAX_DIMENSIONS = 32  # NPY_MAXDIMS of NumPy 1; NumPy 2 allows 64
LARGEST_EXTENT = 2**63 - 1  # what NumPy can address, counted without empty dimensions
_MAY_BE_NON_FINITE = ("float", "complex")
_MARK_OR_ESCAPE = (b"$array", b"\\u")  # without either, no key of the line can be a mark
_BOOLEANS = b"\x00\x01"


class ArrayHeader(Struct, frozen=True, forbid_unknown_fields=True):
    """Type and shape of one array."""

    dtype: str
    shape: list[int]

    @property
    def size(self) -> int:
        """Its bytes."""
        return math.prod(self.shape) * BYTES_OF[self.dtype]


class Carrier(Protocol):
    """**Protocol:** a decoded message that may announce arrays."""

    @property
    def body(self) -> int:
        """How many bytes it says follow its line."""

    @property
    def arrays(self) -> list[ArrayHeader]:
        """What it says of its arrays."""


def check_arrays(message: Carrier, values: Sequence[Any], frame: tuple[bytes, bytes]) -> None:
    """Check the arrays of one message.

    Args:
        message: what was decoded from the line.
        values: its plain data, with marks where arrays belong.
        frame: the line, and the bytes that arrived behind it.

    Raises:
        NotPlainError: one of the rules does not hold.
    """
    (line, raw), headers = frame, message.arrays
    if not headers and not any(text in line for text in _MARK_OR_ESCAPE) and not message.body and not raw:
        return
    for header in headers:
        _check_header(header)
    total = sum(header.size for header in headers)
    if not total == message.body == len(raw):
        raise NotPlainError(f"arrays of {total} bytes, {message.body} announced, {len(raw)} read after the line")
    if sorted(_marks(values)) != list(range(len(headers))):
        raise NotPlainError(f"{len(headers)} arrays, and not exactly one place for each")
    for header, part in _parts(headers, raw):
        if header.dtype == "bool" and bytes(part).translate(None, _BOOLEANS):
            raise NotPlainError("a boolean array with other bytes than 0 and 1")


def all_finite(headers: Sequence[ArrayHeader], raw: bytes) -> bool:
    """Tell whether no array holds NaN or infinity."""
    inexact = [pair for pair in _parts(headers, raw) if pair[0].dtype.startswith(_MAY_BE_NON_FINITE)]
    if not inexact:
        return True
    import numpy as np  # noqa: PLC0415 - only trials that use arrays pay for it

    return all(
        np.isfinite(np.frombuffer(part, np.dtype(header.dtype).newbyteorder("<"))).all() for header, part in inexact
    )


def with_arrays(message: dict[str, Any], headers: Sequence[ArrayHeader], raw: bytes) -> dict[str, Any]:
    """Return the message with its arrays, announced first, as `encode_frame` sends it."""
    return {"body": len(raw), "arrays": headers, **message, RAW: raw} if headers else message


def encode_frame(message: dict[str, Any]) -> bytes:
    """Encode a message as one line, followed by the bytes of its arrays."""
    raw: bytes = message.get(RAW, b"")
    return encode_line({key: value for key, value in message.items() if key != RAW}) + raw


def _check_header(header: ArrayHeader) -> None:
    if header.dtype not in BYTES_OF:
        raise NotPlainError(f"an array of dtype {header.dtype[:40]!r}, which is not passed on")
    if len(header.shape) > MAX_DIMENSIONS:
        raise NotPlainError(f"an array of {len(header.shape)} dimensions, more than {MAX_DIMENSIONS}")
    if any(length < 0 for length in header.shape):
        raise NotPlainError("an array with a negative size")
    if math.prod(length or 1 for length in header.shape) * BYTES_OF[header.dtype] > LARGEST_EXTENT:
        raise NotPlainError("an array with a size beyond 63 bits")


def _parts(headers: Sequence[ArrayHeader], raw: bytes) -> Iterator[tuple[ArrayHeader, memoryview]]:
    start, view = 0, memoryview(raw)
    for header in headers:
        yield header, view[start : start + header.size]
        start += header.size


def _marks(values: Sequence[Any]) -> list[int]:
    """Return the numbers of the arrays that stand somewhere in the values."""
    found: list[int] = []
    layer = list(values)
    for _ in range(MAX_DEPTH + 1):
        found += [_mark(item) for item in layer if type(item) is dict and MARK in item]
        layer = [inner for item in layer for inner in inner_values(item)]
        if not layer:
            break
    return found


def _mark(item: dict[str, Any]) -> int:
    number = item[MARK]
    if len(item) != 1 or type(number) is not int:
        raise NotPlainError(f"plain data with a key {MARK!r}, which stands for an array")
    return number
