"""Signed envelopes: ES256K over payload bytes as an RFC 7797 detached JWS.

Rules:
    1. The payload is signed and checked as the bytes it is; nothing is serialised again.
    2. Signatures are low-s and 64 bytes (R || S); libsecp256k1 refuses high-s, and so do we.
    3. One signature has one spelling: base64url is checked strictly, the header byte for byte.

Sources: RFC 7515 (JWS), RFC 7797 (b64=false), RFC 8812 (ES256K).

Data flow: payload bytes -> `sign_detached` -> ``header..signature`` -> `check_detached`.
"""

from __future__ import annotations

import binascii
import json
from functools import lru_cache
from hashlib import sha256

from coincurve import PrivateKey
from coincurve._libsecp256k1 import lib  # type: ignore[import-not-found]  # compiled
from coincurve.ecdsa import deserialize_compact

from consilience.core.canonical import canonical_bytes
from consilience.core.errors import IdentityError
from consilience.identity.did import decode_did, key_id

_SIGNATURE_BYTES = 64
_SIGNERS_REMEMBERED = 4096
_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_", b"+/")


@lru_cache(maxsize=_SIGNERS_REMEMBERED)
def protected_header(did: str) -> str:
    """Return the base64url JWS header for a signer: ``{alg: ES256K, b64: false, crit: [b64], kid}``."""
    header = {"alg": "ES256K", "b64": False, "crit": ["b64"], "kid": key_id(did)}
    return _encode(canonical_bytes(header))


def signer_of(jws: str) -> str:
    """Return the DID of the key that a detached JWS names, "" when it names none. Checks nothing."""
    return _signer_in(jws.partition("..")[0])


@lru_cache(maxsize=_SIGNERS_REMEMBERED)
def _signer_in(header: str) -> str:
    try:
        kid = json.loads(_decode(header))["kid"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return str(kid).partition("#")[0] if isinstance(kid, str) else ""


def sign_detached(key: PrivateKey, header: str, payload: bytes) -> str:
    """Return ``header..signature`` over the payload bytes."""
    signature = key.sign_recoverable(_signing_input(header, payload), hasher=_digest)
    return f"{header}..{_encode(signature[:_SIGNATURE_BYTES])}"


def check_detached(payload: bytes, jws: str, author: str) -> str:
    """Return "" when `jws` is the signature of this DID's key over the payload, else what is wrong with it."""
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
        signature = deserialize_compact(raw)
    except (ValueError, binascii.Error):
        return "the signature is malformed"
    if _encode(raw) != encoded:
        return "the signature is not in canonical base64url"
    key = decode_did(author)  # not key.verify: it takes DER only, and writing and reading that costs a tenth
    digest = _digest(_signing_input(header, payload))
    if not lib.secp256k1_ecdsa_verify(key.context.ctx, signature, digest, key.public_key):
        return "the signature does not match the payload"
    return ""


def _signing_input(header: str, payload: bytes) -> bytes:
    return header.encode() + b"." + payload


def _digest(data: bytes) -> bytes:
    return sha256(data).digest()


def _encode(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).translate(_TO_URL).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    """Return the bytes; what is not base64url is skipped, and found out by encoding them again."""
    return binascii.a2b_base64(text.encode().translate(_FROM_URL) + b"==")
