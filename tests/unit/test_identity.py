"""One key, its names, and signatures that another library accepts."""

import base64
import json

import pytest
from coincurve import PrivateKey
from joserfc import jws
from joserfc.jwk import ECKey

from consilience.core.errors import IdentityError
from consilience.identity.did import decode_did, peer_id, wallet_address
from consilience.identity.envelope import check_detached
from consilience.identity.keys import EnvelopeVerifier, Identity

# The secp256k1 key 1 (the generator point): its names are well known.
KEY_ONE = Identity(PrivateKey(b"\x00" * 31 + b"\x01"))


def test_names_of_a_known_key() -> None:
    assert KEY_ONE.wallet == "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf"
    assert KEY_ONE.did == "did:key:zQ3shVc2UkAfJCdc1TR8E66J85h48P43r93q8jGPkPpjF9Ef9"
    assert KEY_ONE.peer_id.startswith("16Uiu2HA")


def test_names_go_both_ways() -> None:
    identity = Identity.generate()
    key = decode_did(identity.did)
    assert peer_id(key) == identity.peer_id
    assert wallet_address(key) == identity.wallet


@pytest.mark.parametrize(
    "did", ["", "did:key:", "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp", "did:web:x"]
)
def test_other_dids_are_refused(did: str) -> None:
    with pytest.raises(IdentityError):
        decode_did(did)


def test_joserfc_verifies_the_detached_signature() -> None:
    payload = b'{"a":1}'
    signed = KEY_ONE.sign(payload)
    public = decode_did(KEY_ONE.did).format(compressed=False)
    key = ECKey.import_key(
        {"kty": "EC", "crv": "secp256k1", "x": _b64(public[1:33]), "y": _b64(public[33:])},
    )
    registry = jws.JWSRegistry(algorithms=["ES256K"])
    header = json.loads(base64.urlsafe_b64decode(signed.split(".")[0] + "=="))
    assert header["alg"] == "ES256K"
    assert header["b64"] is False
    assert header["kid"].startswith(KEY_ONE.did + "#")
    checked = jws.deserialize_compact(signed, key, payload=payload, registry=registry)
    assert checked.payload == payload


def test_the_wrong_payload_author_or_spelling_is_told() -> None:
    payload = b"payload"
    signed = KEY_ONE.sign(payload)
    other = Identity.generate()
    verifier = EnvelopeVerifier()
    assert verifier.verify(payload, signed, KEY_ONE.did) == ""
    assert "does not match" in verifier.verify(b"payloae", signed, KEY_ONE.did)
    assert "does not name" in verifier.verify(payload, signed, other.did)
    assert "not a detached JWS" in verifier.verify(payload, "abc", KEY_ONE.did)
    assert verifier.verify(payload, signed, "did:nobody") != ""


def test_a_signature_has_one_spelling() -> None:
    payload = b"payload"
    signed = KEY_ONE.sign(payload)
    last = signed[-1]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    twin = alphabet[alphabet.index(last) ^ 1]  # differs only in bits that base64 does not use
    assert check_detached(payload, signed[:-1] + twin, KEY_ONE.did) != ""


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
