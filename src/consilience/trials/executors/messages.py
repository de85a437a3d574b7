"""Strict JSON from children: bytes -> plain data within caps, or the reason why not.

Rules:
    1. NaN, infinity, huge integers, deep nesting and trailing bytes are refused.
    2. What is passed on is encoded again from the decoded value, so two parsers never read one text differently.

Data flow: a line from a child -> `decode_line` -> executor -> `encode_line` -> another child.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

MAX_DEPTH = 64
ENVELOPE_DEPTH = 4  # of a message around the values that it carries
MAX_INTEGER = 2**63
_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*"|[][{}]', re.DOTALL)  # strings are passed over whole
_STEP = {b"[": 1, b"{": 1, b"]": -1, b"}": -1}


class NotPlainError(ValueError):
    """A line is not the strict JSON that was agreed. Caught by executors; it becomes an outcome."""


def decode_line(line: bytes, type_: type[T]) -> T:
    """Decode one line into a message type.

    Raises:
        NotPlainError: malformed, of another shape, too deep, or with an integer beyond 64 bits.
    """
    if nesting(line) > MAX_DEPTH + ENVELOPE_DEPTH:
        raise NotPlainError(f"nested deeper than {MAX_DEPTH} levels")
    try:
        return msgspec.json.decode(line, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotPlainError(f"{error}; it began {line[:80].decode('utf-8', 'replace')!r}") from error


def nesting(line: bytes) -> int:
    """Return how deep a line of JSON is nested, without recursion; stops counting where it is too deep.

    Counted before anything is parsed: parsers recurse, and how deep is safe depends on the process that we are in.
    """
    most = MAX_DEPTH + ENVELOPE_DEPTH
    if line.count(b"[") + line.count(b"{") <= most:
        return 0
    depth = deepest = 0
    for found in _BRACKET.finditer(line):
        depth += _STEP.get(found[0], 0)
        deepest = max(deepest, depth)
        if deepest > most:
            break
    return deepest


def check_plain(value: Any) -> None:
    """Check depth and integers of a decoded value.

    Raises:
        NotPlainError: nesting beyond `MAX_DEPTH`, or an integer beyond 64 bits.
    """
    layer: list[Any] = [value]
    for _ in range(MAX_DEPTH + 1):
        if any(type(item) is int and abs(item) >= MAX_INTEGER for item in layer):
            raise NotPlainError("an integer beyond 64 bits")
        layer = [inner for item in layer for inner in inner_values(item)]
        if not layer:
            return
    raise NotPlainError(f"nested deeper than {MAX_DEPTH} levels")


def inner_values(item: Any) -> list[Any]:
    """Return what a list or dict holds; nothing for other values."""
    if type(item) is list:
        return item
    return list(item.values()) if type(item) is dict else []


def encode_line(message: Any) -> bytes:
    """Encode a message as one line."""
    return msgspec.json.encode(message) + b"\n"
