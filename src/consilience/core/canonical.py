"""Canonical bytes and content hashes: one value, one byte string, one name.

Rules:
    1. Canonical form is RFC 8785 (JCS); non-finite numbers and integers beyond 2^53 are refused.
    2. A hash is the lower-case hex SHA-256 of the bytes, nothing else.
    3. The fast way takes only values for which it and `rfc8785` write the same bytes; all others go the slow way.

Why the fast way is equal: keys are ASCII, so that their order by code point is their order by UTF-16 unit; integers
are within 2^53; floats are whole (written as integers, as ECMAScript does) or of a size that both write without an
exponent, with the shortest digits that read back; both escape the same characters in the same spelling. Tests compare
them over every character and over random values.

Data flow: typed structs -> here -> bytes that are signed, stored and named.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import rfc8785

LARGEST_INTEGER = 2**53 - 1  # RFC 8785 appendix D: what an IEEE 754 double holds exactly
_SMALLEST_PLAIN = 1e-4  # smaller floats are left to the slow way: writers begin exponents at different sizes
_encoder = msgspec.json.Encoder(order="sorted")


class _SlowWay(Exception):  # noqa: N818  a signal, not an error
    """A value that the fast way does not take."""


def canonical_bytes(value: Any) -> bytes:
    """Return the RFC 8785 bytes of a JSON-like value or msgspec struct.

    Raises:
        ValueError: the value holds a non-finite number, an integer beyond 2^53 or a type JSON lacks.
    """
    try:
        plain = [msgspec.to_builtins(value)]  # new containers throughout, which may be changed
        try:
            _settle(plain)
            return _encoder.encode(plain[0])
        except (_SlowWay, UnicodeEncodeError):
            return rfc8785.dumps(plain[0])
    except (rfc8785.CanonicalizationError, TypeError) as error:
        raise ValueError(f"no canonical form: {error}") from error


def _settle(items: dict[Any, Any] | list[Any]) -> None:
    """Put integers in the place of whole floats, and lists in the place of tuples.

    Raises:
        _SlowWay: something in it may be written differently.
    """
    if type(items) is dict and not "".join(items).isascii():
        raise _SlowWay
    for place, item in items.items() if type(items) is dict else enumerate(items):
        kind = type(item)
        if kind is str or item is None or kind is bool:
            continue
        if kind is dict or kind is list:
            _settle(item)
        elif kind is tuple:
            items[place] = list(item)
            _settle(items[place])
        else:
            items[place] = _number(item)


def _number(value: Any) -> int | float:
    if not -LARGEST_INTEGER <= value <= LARGEST_INTEGER:  # true of NaN as well
        raise _SlowWay
    if type(value) is int:
        return value
    if type(value) is not float:
        raise _SlowWay
    if value.is_integer():
        return int(value)
    if abs(value) < _SMALLEST_PLAIN:
        raise _SlowWay
    return value


def sha256_hex(data: bytes) -> str:
    """Name bytes by their hash."""
    return hashlib.sha256(data).hexdigest()


def hash_value(value: Any) -> str:
    """Name a value by the hash of its canonical bytes."""
    return sha256_hex(canonical_bytes(value))
