"""One identity: a secp256k1 key that signs, and the verifier that needs no key.

Rules:
    1. The private key never leaves this package; others get a Signer.
    2. Keys are made and used by libsecp256k1 (coincurve) only: other libraries sign with high-s.
    3. After a rotation `did` is still the first key's DID (the author for life), `key_did` that of the key in force.
"""

from __future__ import annotations

from coincurve import PrivateKey

from consilience.identity.did import encode_did, peer_id, wallet_address
from consilience.identity.envelope import check_detached, protected_header, sign_detached


class Identity:
    """A key with its names. Implements `core.ports.Signer`. `author` is the identity's first DID; "" is this key's."""

    def __init__(self, key: PrivateKey, author: str = "") -> None:
        self._key = key
        self._key_did = encode_did(key.public_key)
        self._did = author or self._key_did
        self._header = protected_header(self._key_did)

    @classmethod
    def generate(cls) -> Identity:
        """Make a new identity from the system's randomness."""
        return cls(PrivateKey())

    @property
    def did(self) -> str:
        """The author's ``did:key``: that of the identity's first key, for life."""
        return self._did

    @property
    def key_did(self) -> str:
        """The ``did:key`` of the key that signs now."""
        return self._key_did

    @property
    def peer_id(self) -> str:
        """The key in force as a libp2p peer id."""
        return peer_id(self._key.public_key)

    @property
    def wallet(self) -> str:
        """The key in force as a wallet address."""
        return wallet_address(self._key.public_key)

    def sign(self, payload: bytes) -> str:
        """Return the detached JWS over the payload bytes."""
        return sign_detached(self._key, self._header, payload)

    def secret_bytes(self) -> bytes:
        """Return the 32 secret bytes, for the keystore only."""
        return bytes(self._key.secret)


class EnvelopeVerifier:
    """Checks envelopes of identities that never rotated. Implements `core.ports.Verifier`; see `identity.keyring`."""

    def verify(self, payload: bytes, jws: str, author: str) -> str:
        """Return "" when the JWS is the author's over these bytes, else the reason why not."""
        return check_detached(payload, jws, author)
