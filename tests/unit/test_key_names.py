"""Names of a key, against vectors of others: W3C did:key, libp2p peer-ids, EIP-55, RFC 8032."""

import base58
import pytest
from coincurve import PrivateKey, PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consilience.core.errors import IdentityError
from consilience.identity.did import encode_did, promise_of, wallet_address
from consilience.identity.keys import Identity
from consilience.identity.names import did_to_peer_id, did_to_pkh, peer_id_to_did, pkh_belongs
from consilience.identity.witness_keys import WitnessKey, check_bytes, check_eddsa, decode_ed25519, encode_ed25519

# https://github.com/w3c-ccg/did-key-spec/blob/main/test-vectors/secp256k1.json
W3C = [
    (
        "9085d2bef69286a6cbb51623c8fa258629945cd55ca705cc4e66700396894e0c",
        "did:key:zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme",
    ),
    (
        "f0f4df55a2b3ff13051ea814a8f24ad00f2e469af73c363ac7e9fb999a9072ed",
        "did:key:zQ3shtxV1FrJfhqE1dvxYRcCknWNjHc3c5X1y3ZSoPDi2aur2",
    ),
]
# https://github.com/libp2p/specs/blob/master/peer-ids/peer-ids.md: the keys; the names are what go-libp2p makes of them
LIBP2P_SECRET = "53DADF1D5A164D6B4ACDB15E24AA4C5B1D3461BDBD42ABEDB0A4404D56CED8FB"
LIBP2P_PUBLIC = "037777e994e452c21604f91de093ce415f5432f701dd8cd1a7a6fea0e630bfca99"
LIBP2P_ID = "16Uiu2HAmLhLvBoYaoZfaMUKuibM6ac163GwKY74c5kiSLg5KvLpY"
LIBP2P_CID = "bafzaajiiaijcca3xo7uzjzcsyilaj6i54cj44qk7kqzpoao5rti2pjx6udtdbp6kte"
ED25519_ID = "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq"
# the key of web3.js's documentation of accounts
WALLET_SECRET = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"
WALLET = "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23"


def secret(text: str) -> Identity:
    return Identity(PrivateKey(bytes.fromhex(text)))


@pytest.mark.parametrize(("seed", "did"), W3C)
def test_w3c_vectors(seed: str, did: str) -> None:
    assert secret(seed).did == did


def test_libp2p_vectors() -> None:
    key = secret(LIBP2P_SECRET)
    assert key.did == encode_did(PublicKey(bytes.fromhex(LIBP2P_PUBLIC)))
    assert did_to_peer_id(key.did) == key.peer_id == LIBP2P_ID
    assert peer_id_to_did(LIBP2P_ID) == key.did
    assert peer_id_to_did(LIBP2P_CID) == key.did


def test_libp2p_itself_agrees() -> None:
    ecc = pytest.importorskip("libp2p.crypto.secp256k1")
    from libp2p.peer.id import ID

    key = secret(LIBP2P_SECRET)
    theirs = ecc.Secp256k1PrivateKey(PrivateKey(key.secret_bytes()))
    assert str(ID.from_pubkey(theirs.get_public_key())) == key.peer_id


@pytest.mark.parametrize("name", ["", "16Uiu2HA", LIBP2P_ID[:-1], ED25519_ID, LIBP2P_CID[:-2], "b", "bafy", "0OIl"])
def test_other_peer_ids_are_refused(name: str) -> None:
    with pytest.raises(IdentityError):
        peer_id_to_did(name)


def test_a_peer_id_of_a_point_off_the_curve_is_refused() -> None:
    raw = base58.b58decode(LIBP2P_ID)
    with pytest.raises(IdentityError, match="not a peer id"):
        peer_id_to_did(base58.b58encode(raw[:6] + b"\x02" + b"\xff" * 32).decode())


def test_accounts() -> None:
    key = secret(WALLET_SECRET)
    assert key.wallet == WALLET
    assert did_to_pkh(key.did) == f"did:pkh:eip155:1:{WALLET}"
    assert did_to_pkh(key.did, 8453) == f"did:pkh:eip155:8453:{WALLET}"
    assert pkh_belongs(f"did:pkh:eip155:10:{WALLET}", key.did)
    assert pkh_belongs(f"did:pkh:eip155:1:{WALLET.lower()}", key.did)
    assert not pkh_belongs(f"did:pkh:eip155:1:{WALLET}", W3C[0][1])


# https://eips.ethereum.org/EIPS/eip-55
@pytest.mark.parametrize(
    "address", ["0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"]
)
def test_checksums_are_those_of_eip_55(address: str) -> None:
    assert not pkh_belongs(f"did:pkh:eip155:1:{address}", W3C[0][1])  # read, and somebody else's
    at = next(place for place in range(2, len(address)) if address[place].isalpha())
    with pytest.raises(IdentityError, match="checksum"):
        pkh_belongs(f"did:pkh:eip155:1:{address[:at] + address[at].swapcase() + address[at + 1 :]}", W3C[0][1])


@pytest.mark.parametrize(
    "pkh", ["", f"did:pkh:eip155:0:{WALLET}", f"did:pkh:solana:1:{WALLET}", f"did:pkh:eip155:1:{WALLET}0", WALLET]
)
def test_other_accounts_are_refused(pkh: str) -> None:
    with pytest.raises(IdentityError, match="did:pkh"):
        pkh_belongs(pkh, W3C[0][1])
    with pytest.raises(IdentityError, match="chain"):
        did_to_pkh(W3C[0][1], 0)


def test_the_witness_key_has_its_w3c_name() -> None:
    seed = bytes(32)  # https://github.com/w3c-ccg/did-key-spec/blob/main/test-vectors/ed25519-x25519.json
    key = WitnessKey(seed)
    assert key.did == "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp"
    assert decode_ed25519(key.did) == key.public_bytes
    assert encode_ed25519(key.public_bytes) == key.did


def test_the_witness_key_signs_as_rfc_8032_says() -> None:
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")  # section 7.1, test 1
    key = WitnessKey(seed)
    signature = bytes.fromhex(
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )
    assert key.sign_bytes(b"") == signature
    assert check_bytes(key.did, signature, b"")
    assert not check_bytes(key.did, signature, b"x")
    Ed25519PrivateKey.from_private_bytes(seed).public_key().verify(signature, b"")


def test_a_witness_proof_names_its_key_and_has_one_spelling() -> None:
    key, other = WitnessKey.generate(), WitnessKey.generate()
    proof = key.sign(b"statement")
    assert check_eddsa(b"statement", proof, key.did) == ""
    assert check_eddsa(b"another", proof, key.did) != ""
    assert check_eddsa(b"statement", proof, other.did) != ""
    assert check_eddsa(b"statement", proof + "=", key.did) != ""
    assert check_eddsa(b"statement", proof[:-1], key.did) != ""
    assert check_eddsa(b"statement", "", key.did) != ""
    assert check_eddsa(b"statement", proof, W3C[0][1]) != ""


def test_a_promise_is_the_hash_of_the_compressed_key() -> None:
    import hashlib

    key = secret(LIBP2P_SECRET)
    assert promise_of(key.did) == hashlib.sha256(bytes.fromhex(LIBP2P_PUBLIC)).hexdigest()
    assert wallet_address(PublicKey(bytes.fromhex(LIBP2P_PUBLIC))) == key.wallet
