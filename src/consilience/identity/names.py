"""Names of one key elsewhere: libp2p peer ids and ``did:pkh`` accounts, to and from its ``did:key``.

Rules:
    1. did:key <-> peer id is a pure re-encoding, both ways. A wallet address is a hash: one way, and then a check.
    2. One spelling each: an address is written with its EIP-55 checksum, and read with it or in one case only.

Sources: libp2p peer-ids specification (secp256k1 keys are identity multihashes of the protobuf key, in base58btc or as
CIDv1 libp2p-key in base32); did:pkh method (CAIP-10 account ids); EIP-55 (checksum by capitals); EIP-155 (chain ids).
"""

from __future__ import annotations

import base64
import binascii
import re

import base58
from coincurve import PublicKey

from consilience.core.errors import IdentityError
from consilience.identity.did import PEER_ID_PREFIX, decode_did, encode_did, peer_id, wallet_address

_CID_PREFIX = b"\x01\x72"  # CIDv1, codec libp2p-key
_BASE32 = "b"  # multibase prefix of lower-case base32
_COMPRESSED_BYTES = 33
_PKH = re.compile(r"did:pkh:eip155:([1-9][0-9]{0,31}):(0x[0-9a-fA-F]{40})")


def did_to_peer_id(did: str) -> str:
    """Return the libp2p peer id (``16Uiu2HA...``) of a secp256k1 ``did:key``.

    Raises:
        IdentityError: not such a DID.
    """
    return peer_id(decode_did(did))


def peer_id_to_did(name: str) -> str:
    """Return the ``did:key`` of a libp2p peer id, given in base58btc or as a CIDv1 in base32.

    Raises:
        IdentityError: not the peer id of a secp256k1 key.
    """
    hint = "the peer id of a secp256k1 key starts with 16Uiu2HA"
    try:
        raw = _peer_id_bytes(name)
        if not raw.startswith(PEER_ID_PREFIX) or len(raw) != len(PEER_ID_PREFIX) + _COMPRESSED_BYTES:
            raise IdentityError(f"{name!r} is not the peer id of a secp256k1 key", hint=hint)
        return encode_did(PublicKey(raw[len(PEER_ID_PREFIX) :]))
    except (ValueError, binascii.Error) as error:
        raise IdentityError(f"{name!r} is not a peer id", hint=hint) from error


def _peer_id_bytes(name: str) -> bytes:
    if not name.startswith(_BASE32):
        return bytes(base58.b58decode(name))
    text = name[len(_BASE32) :].upper()
    raw = base64.b32decode(text + "=" * (-len(text) % 8))
    if not raw.startswith(_CID_PREFIX):
        raise ValueError("a CID, but not of a libp2p key")
    return raw[len(_CID_PREFIX) :]


def did_to_pkh(did: str, chain: int = 1) -> str:
    """Return the ``did:pkh`` of a secp256k1 ``did:key`` on an EIP-155 chain (1 is Ethereum's own).

    Raises:
        IdentityError: not such a DID, or no such chain.
    """
    if chain < 1:
        raise IdentityError(f"chain {chain} is none", hint="EIP-155 chain ids count from 1")
    return f"did:pkh:eip155:{chain}:{wallet_address(decode_did(did))}"


def pkh_belongs(pkh: str, did: str) -> bool:
    """Tell whether a ``did:pkh`` is an account of this ``did:key``'s key.

    Raises:
        IdentityError: one of them is malformed, or the address's checksum is wrong.
    """
    found = _PKH.fullmatch(pkh)
    if found is None:
        raise IdentityError(f"{pkh!r} is not a did:pkh of an eip155 chain", hint="did:pkh:eip155:1:0x...")
    wanted, given = wallet_address(decode_did(did)), found[2]
    if given[2:] not in (given[2:].lower(), given[2:].upper()) and given != _checksummed(given):
        raise IdentityError(f"the checksum of {given} is wrong (EIP-55)", hint="copy the address again")
    return given.lower() == wanted.lower()


def _checksummed(address: str) -> str:
    from eth_utils.address import to_checksum_address  # noqa: PLC0415  0.14 s that most commands do not need

    return str(to_checksum_address(address))
