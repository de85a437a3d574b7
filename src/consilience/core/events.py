"""The event: payload bytes as signed, their id, their signature, and the fields read out of them.

Rules:
    1. `payload` is kept and sent as signed; the other fields are what those bytes say.
    2. `at` is the author's clock: shown, never used to order or decide.

Source: RFC 8785 for the bytes, RFC 7797 for the signature (`identity.envelope`).
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from consilience.core.canonical import canonical_bytes, sha256_hex

EVENT_VERSION = 1
_IDENTITY_HIVE = b"consilience identity "
_HIVE_CHARACTERS = 32


class Payload(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is signed. `prev` is null at seq 0; `after` are heads of other feeds, sorted."""

    v: int
    hive: str
    author: str
    feed: str
    seq: int
    prev: str | None
    after: tuple[str, ...]
    at: int
    kind: str
    body: dict[str, Any]


class Event(Struct, frozen=True, kw_only=True):
    """A signed event. `body` is the typed body of its kind, or None where the kind is unknown."""

    id: str
    payload: bytes
    jws: str
    fields: Payload
    body: Any


def payload_bytes(payload: Payload) -> bytes:
    """Return the canonical bytes that are signed and stored.

    Raises:
        ValueError: a number is not finite or too large for JSON.
    """
    return canonical_bytes(payload)


def event_id(payload: bytes) -> str:
    """Name an event by the hash of its payload bytes."""
    return sha256_hex(payload)


def read_payload(payload: bytes) -> Payload:
    """Read the fields out of payload bytes.

    Raises:
        msgspec.DecodeError: not a payload (msgspec.ValidationError is one of these).
    """
    return msgspec.json.decode(payload, type=Payload)


def identity_hive(did: str) -> str:
    """Return the hive that an identity's own events are in: it follows from the DID, so that anyone finds it."""
    return sha256_hex(_IDENTITY_HIVE + did.encode())[:_HIVE_CHARACTERS]
