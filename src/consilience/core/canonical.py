"""Canonical bytes and content hashes: one value, one byte string, one name.

Rules:
    1. Canonical form is RFC 8785 (JCS); non-finite numbers and integers beyond 2^53 are refused.
    2. A hash is the lower-case hex SHA-256 of the bytes, nothing else.

Data flow: typed structs -> here -> bytes that are signed, stored and named.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import rfc8785


def canonical_bytes(value: Any) -> bytes:
    """Return the RFC 8785 bytes of a JSON-like value or msgspec struct.

    Raises:
        ValueError: the value holds a non-finite number, an integer beyond 2^53 or a type JSON lacks.
    """
    try:
        return rfc8785.dumps(msgspec.to_builtins(value))
    except (rfc8785.CanonicalizationError, TypeError) as error:
        raise ValueError(f"no canonical form: {error}") from error


def sha256_hex(data: bytes) -> str:
    """Name bytes by their hash."""
    return hashlib.sha256(data).hexdigest()


def hash_value(value: Any) -> str:
    """Name a value by the hash of its canonical bytes."""
    return sha256_hex(canonical_bytes(value))
