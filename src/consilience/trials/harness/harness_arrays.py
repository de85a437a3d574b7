"""NumPy arrays in messages: as raw bytes behind the line, never pickled.

The line ``{"body":N,"arrays":[{"dtype":...,"shape":[...]}],...}`` is followed by exactly N bytes: the arrays one
after another, little-endian, in C order. In the line's values ``{"$array": i}`` stands where array i belongs.

Rules:
    1. NumPy is imported only by a process that receives an array; one that sends an array has it loaded.
    2. An array keeps its type and shape bit for bit. What has no fixed numeric type is refused, not converted.
    3. What is received is fresh: it owns its memory and may be written.

Data flow: value with arrays -> `frame` -> buffers; line and stream -> `fill` -> value with arrays.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, BinaryIO

MARK = "$array"
BODY, ARRAYS = "body", "arrays"
CARRIERS = ("value", "args", "kwargs")  # the fields of messages in which arrays may stand
BYTES_OF = {
    "bool": 1,
    "int8": 1,
    "int16": 2,
    "int32": 4,
    "int64": 8,
    "uint8": 1,
    "uint16": 2,
    "uint32": 4,
    "uint64": 8,
    "float16": 2,
    "float32": 4,
    "float64": 8,
    "complex64": 8,
    "complex128": 16,
}
"""The types that are sent, as NumPy names them, with the size of one number. Long doubles differ between machines."""


def frame(value: Any, encode: Callable[..., str], plain: Callable[[Any], Any]) -> list[Any]:
    """Return the buffers to write for a message: its line, then the bytes of its arrays.

    Args:
        value: the message.
        encode: makes JSON of a value, given what to do with what JSON lacks.
        plain: turns other values into plain data.

    Raises:
        TypeError: an array of a type that is not sent.
    """
    arrays: list[Any] = []

    def stand_in(item: Any) -> Any:
        if not _is_array(item):
            return plain(item)
        arrays.append(_sendable(item))
        return {MARK: len(arrays) - 1}

    text = encode(value, stand_in)
    if not arrays:
        return [text.encode() + b"\n"]
    table = encode([{"dtype": array.dtype.name, "shape": list(array.shape)} for array in arrays])
    size = sum(array.nbytes for array in arrays)
    line = f'{{"{BODY}":{size},"{ARRAYS}":{table},{text[1:]}\n'
    return [line.encode(), *(memoryview(_bytes_of(array)) for array in arrays)]


def fill(message: dict[str, Any], stream: BinaryIO) -> None:
    """Read the arrays that follow a message's line, and put them where they belong.

    Raises:
        EOFError: the stream ended within them.
    """
    arrays = [_read(header, stream) for header in message[ARRAYS]]
    for key in CARRIERS:
        if key in message:
            message[key] = _placed(message[key], arrays)


def _is_array(item: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(item, getattr(numpy, "ndarray", ()))


def _sendable(array: Any) -> Any:
    """Return it in the order and form in which it is sent, without a copy where it has that."""
    import numpy as np  # noqa: PLC0415 - it is loaded, for there is an array

    if array.dtype.name not in BYTES_OF or hasattr(array, "mask"):
        raise TypeError(
            f"a {type(array).__name__} of dtype {array.dtype} cannot be sent: make it a list, or an array of numbers"
        )
    return np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")


def _bytes_of(array: Any) -> Any:
    """Return the same memory as bytes."""
    return array.reshape(-1).view("uint8")


def _read(header: dict[str, Any], stream: BinaryIO) -> Any:
    import numpy as np  # noqa: PLC0415 - only where arrays are

    array = np.empty(header["shape"], np.dtype(header["dtype"]).newbyteorder("<"))
    left = memoryview(_bytes_of(array))
    while left:
        count = stream.readinto(left)  # type: ignore[attr-defined]
        if not count:
            raise EOFError("the channel closed within an array")
        left = left[count:]
    return array


def _placed(value: Any, arrays: list[Any]) -> Any:
    if type(value) is list:
        return [_placed(item, arrays) for item in value]
    if type(value) is not dict:
        return value
    if MARK in value:
        return arrays[value[MARK]]
    return {key: _placed(item, arrays) for key, item in value.items()}
