"""The witness key: Ed25519, signs checkpoints and cosignatures, never events.

Rules:
    1. A witness key has one name, its ``did:key`` (multicodec 0xed, ``did:key:z6Mk...``).
    2. It is made for its node alone and certified by the node's identity; losing it costs a new certificate, no more.

Sources: W3C did:key; RFC 8032 (Ed25519); RFC 8037 (EdDSA in JWS). C2SP tlog-cosignature knows Ed25519 only, which is
why a node has such a key at all.
"""

from __future__ import annotations

import base64
import binascii
from functools import lru_cache

import base58
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from consilience.core.canonical import canonical_bytes
from consilience.core.errors import IdentityError

_PREFIX = "did:key:z"
_MULTICODEC_ED25519 = b"\xed\x01"
_KEY_BYTES = 32


class WitnessKey:
    """An Ed25519 key with its DID."""

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self._did = encode_ed25519(self._key.public_key().public_bytes_raw())

    @classmethod
    def generate(cls) -> WitnessKey:
        """Make a new witness key from the system's randomness."""
        return cls(Ed25519PrivateKey.generate().private_bytes_raw())

    @property
    def did(self) -> str:
        """The key's ``did:key``."""
        return self._did

    @property
    def public_bytes(self) -> bytes:
        """The 32 public bytes, as C2SP notes name them."""
        return self._key.public_key().public_bytes_raw()

    def sign_bytes(self, data: bytes) -> bytes:
        """Return the 64 bytes of a bare Ed25519 signature."""
        return self._key.sign(data)

    def sign(self, payload: bytes) -> str:
        """Return a detached JWS (EdDSA, RFC 7797) over the payload bytes."""
        header = _header(self._did)
        return f"{header}..{_encode(self._key.sign(header.encode() + b'.' + payload))}"

    def secret_bytes(self) -> bytes:
        """Return the 32 secret bytes, for the keystore only."""
        return self._key.private_bytes_raw()


def encode_ed25519(public: bytes) -> str:
    """Return the ``did:key`` of 32 public bytes."""
    return _PREFIX + base58.b58encode(_MULTICODEC_ED25519 + public).decode()


@lru_cache(maxsize=1024)
def decode_ed25519(did: str) -> bytes:
    """Return the 32 public bytes of an Ed25519 ``did:key``.

    Raises:
        IdentityError: not the canonical ``did:key`` of an Ed25519 key.
    """
    hint = "a witness key starts with did:key:z6Mk"
    try:
        raw = base58.b58decode(did.removeprefix(_PREFIX))
    except ValueError as error:
        raise IdentityError(f"{did!r} is not a did:key", hint=hint) from error
    public = raw[len(_MULTICODEC_ED25519) :]
    if len(public) != _KEY_BYTES or encode_ed25519(public) != did:
        raise IdentityError(f"{did!r} is not the did:key of an Ed25519 key", hint=hint)
    return public


def check_bytes(did: str, signature: bytes, data: bytes) -> bool:
    """Tell whether a bare signature is this DID's over the data.

    Raises:
        IdentityError: not the DID of an Ed25519 key.
    """
    try:
        Ed25519PublicKey.from_public_bytes(decode_ed25519(did)).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


class WitnessVerifier:
    """Checks the signatures of notes. Implements `core.ports.NoteVerifier`."""

    def public_bytes(self, did: str) -> bytes:
        """Return the 32 public bytes of a witness key."""
        return decode_ed25519(did)

    def check(self, did: str, signature: bytes, data: bytes) -> bool:
        """Tell whether a signature is this key's over the data."""
        return check_bytes(did, signature, data)


def check_eddsa(payload: bytes, jws: str, did: str) -> str:
    """Return "" when `jws` is the detached JWS of this Ed25519 DID over the payload, else what is wrong with it."""
    header, dots, encoded = jws.partition("..")
    try:
        if not dots or header != _header(did):
            return "the proof's header does not name the key"
        signature = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
        if _encode(signature) != encoded:
            return "the proof is not in canonical base64url"
        holds = check_bytes(did, signature, header.encode() + b"." + payload)
    except IdentityError as error:
        return error.message
    except (ValueError, binascii.Error):
        return "the proof is malformed"
    return "" if holds else "the proof does not match"


@lru_cache(maxsize=64)
def _header(did: str) -> str:
    decode_ed25519(did)
    kid = f"{did}#{did.removeprefix('did:key:')}"
    return _encode(canonical_bytes({"alg": "EdDSA", "b64": False, "crit": ["b64"], "kid": kid}))


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
