"""Signed envelopes: ES256K over payload bytes as an RFC 7797 detached JWS.

Rules:
    1. The payload is signed and checked as the bytes it is; nothing is serialised again.
    2. Signatures are low-s and 64 bytes (R || S); libsecp256k1 refuses high-s, and so do we.
    3. One signature has one spelling: base64url is checked strictly, the header byte for byte.

Sources: RFC 7515 (JWS), RFC 7797 (b64=false), RFC 8812 (ES256K).

Data flow: payload bytes -> `sign_detached` -> ``header..signature`` -> `check_detached`.
"""

from __future__ import annotations

import base64
import binascii
from functools import lru_cache
from hashlib import sha256

from coincurve import PrivateKey
from coincurve.ecdsa import cdata_to_der, deserialize_compact

from consilience.core.canonical import canonical_bytes
from consilience.core.errors import IdentityError
from consilience.identity.did import decode_did, key_id

_SIGNATURE_BYTES = 64


@lru_cache(maxsize=4096)
def protected_header(did: str) -> str:
    """Return the base64url JWS header for a signer: ``{alg: ES256K, b64: false, crit: [b64], kid}``."""
    header = {"alg": "ES256K", "b64": False, "crit": ["b64"], "kid": key_id(did)}
    return _encode(canonical_bytes(header))


def sign_detached(key: PrivateKey, header: str, payload: bytes) -> str:
    """Return ``header..signature`` over the payload bytes."""
    signature = key.sign_recoverable(_signing_input(header, payload), hasher=_digest)
    return f"{header}..{_encode(signature[:_SIGNATURE_BYTES])}"


def check_detached(payload: bytes, jws: str, author: str) -> str:
    """Return "" when `jws` is the author's signature over the payload, else what is wrong with it."""
    header, dots, encoded = jws.partition("..")
    if not dots:
        return "the signature is not a detached JWS"
    try:
        if header != protected_header(author):
            return "the signature's header does not name the author's key"
        return _check_signature(payload, header, encoded, author)
    except IdentityError as error:
        return f"the author is not a DID: {error.message}"


def _check_signature(payload: bytes, header: str, encoded: str, author: str) -> str:
    try:
        raw = _decode(encoded)
        der = cdata_to_der(deserialize_compact(raw))
    except (ValueError, binascii.Error):
        return "the signature is malformed"
    if _encode(raw) != encoded:
        return "the signature is not in canonical base64url"
    if not decode_did(author).verify(der, _signing_input(header, payload), hasher=_digest):
        return "the signature does not match the payload"
    return ""


def _signing_input(header: str, payload: bytes) -> bytes:
    return header.encode() + b"." + payload


def _digest(data: bytes) -> bytes:
    return sha256(data).digest()


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    if len(text) != len(text.rstrip("=")):
        raise ValueError("padding is not allowed")
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
