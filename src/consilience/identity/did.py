"""Names of one secp256k1 public key: ``did:key``, libp2p peer id, wallet address.

Rules:
    1. Each name is a pure re-encoding of the compressed public key; no resolver is asked.
    2. Anything that is not exactly the canonical spelling is refused, so that one key has one name.

Sources: W3C did:key (multicodec 0xe7, base58btc), libp2p peer ids (identity multihash of the
protobuf key), Ethereum addresses (Keccak-256, EIP-55 checksum).
"""

from __future__ import annotations

from functools import lru_cache

import base58
from coincurve import PublicKey

from consilience.core.canonical import sha256_hex
from consilience.core.errors import IdentityError

_PREFIX = "did:key:z"
_MULTICODEC_SECP256K1 = b"\xe7\x01"
_COMPRESSED_BYTES = 33
PEER_ID_PREFIX = b"\x00\x25\x08\x02\x12\x21"  # identity multihash, length 37; protobuf: type Secp256k1, 33 bytes


def encode_did(public_key: PublicKey) -> str:
    """Return the ``did:key`` of a public key (57 characters, ``did:key:zQ3s...``)."""
    return _PREFIX + base58.b58encode(_MULTICODEC_SECP256K1 + public_key.format()).decode()


@lru_cache(maxsize=4096)
def decode_did(did: str) -> PublicKey:
    """Return the public key that a ``did:key`` names.

    Raises:
        IdentityError: not the canonical ``did:key`` of a secp256k1 key.
    """
    try:
        raw = base58.b58decode(did.removeprefix(_PREFIX))
        key = PublicKey(raw[len(_MULTICODEC_SECP256K1) :])
    except ValueError as error:
        raise IdentityError(f"{did!r} is not a did:key", hint="a secp256k1 DID starts with did:key:zQ3s") from error
    if encode_did(key) != did:
        raise IdentityError(f"{did!r} is not the canonical did:key of a secp256k1 key")
    return key


def promise_of(did: str) -> str:
    """Return the hex SHA-256 of a DID's 33 key bytes: what is published before the key itself is (pre-rotation).

    Raises:
        IdentityError: not the DID of a secp256k1 key.
    """
    return sha256_hex(decode_did(did).format())


def key_id(did: str) -> str:
    """Return the DID URL of the DID's only key, as a JWS ``kid``."""
    return f"{did}#{did.removeprefix('did:key:')}"


def peer_id(public_key: PublicKey) -> str:
    """Return the libp2p peer id (``16Uiu2HA...``) of the key."""
    return base58.b58encode(PEER_ID_PREFIX + public_key.format()).decode()


def wallet_address(public_key: PublicKey) -> str:
    """Return the EIP-55 wallet address of the key."""
    from eth_utils.address import to_checksum_address  # noqa: PLC0415  0.14 s that most commands do not need
    from eth_utils.crypto import keccak  # noqa: PLC0415  the same

    uncompressed = public_key.format(compressed=False)
    return str(to_checksum_address(keccak(uncompressed[1:])[-20:]))
