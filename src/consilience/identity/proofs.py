"""Proofs: detached JWS by a named key over a statement, made here and checked here.

Rules:
    1. A proof names its key in the header; a proof by any other key is none.
    2. Events are signed by secp256k1 keys only; only a witness key is Ed25519.

Data flow: statement bytes + key -> `prove` -> body; body -> `StatementProofs` (port `Proofs`) -> `journal.views.keys`.
"""

from __future__ import annotations

from typing import Protocol

from consilience.core.bodies_identity import KeyCertified, KeyRotated
from consilience.core.errors import IdentityError
from consilience.identity.did import promise_of
from consilience.identity.envelope import check_detached, signer_of
from consilience.identity.statements import (
    certificate_statement,
    consent_statement,
    release_statement,
    rotation_statement,
)
from consilience.identity.witness_keys import check_eddsa, decode_ed25519


class Prover(Protocol):
    """**Protocol:** a key that proves things: an `Identity` or a `WitnessKey`."""

    def sign(self, payload: bytes) -> str:
        """Return the detached JWS over the bytes."""


def prove(key: Prover, statement: bytes) -> str:
    """Return the key's proof of a statement (`identity.statements`)."""
    return key.sign(statement)


def check_proof(statement: bytes, proof: str, key: str) -> str:
    """Return "" when the proof is that of the key (a secp256k1 or Ed25519 ``did:key``), else what is wrong."""
    if not proof:
        return "the proof is missing"
    fault = check_eddsa(statement, proof, key) if is_witness_key(key) else check_detached(statement, proof, key)
    return f"the proof of {key} does not hold: {fault}" if fault else ""


def is_witness_key(key: str) -> bool:
    """Tell whether a DID is that of an Ed25519 key."""
    try:
        return bool(decode_ed25519(key))
    except IdentityError:
        return False


class StatementProofs:
    """Checks proofs. Implements `core.ports.Proofs`."""

    def signer(self, jws: str) -> str:
        """Return the DID of the key that a JWS names; "" when it names none."""
        return signer_of(jws)

    def promise(self, key: str) -> str:
        """Return the promise that a key keeps; "" when it is no secp256k1 DID."""
        try:
            return promise_of(key)
        except IdentityError:
            return ""

    def rotation(self, author: str, body: KeyRotated) -> str:
        """Check the new key's proof of a rotation."""
        return check_proof(rotation_statement(author, body), body.proof, body.key)

    def certificate(self, operator: str, body: KeyCertified) -> str:
        """Check the certified key's proof, and that it is of the kind that its purpose needs."""
        if (body.purpose == "witness") != is_witness_key(body.key):
            return "a witness key is an Ed25519 did:key, every other key a secp256k1 one"
        return check_proof(certificate_statement(operator, body), body.proof, body.key)

    def consent(self, identity: str, controller: str, proof: str) -> str:
        """Check a controller's consent."""
        return check_proof(consent_statement(identity, controller), proof, controller)

    def release(self, identity: str, controller: str, successor: str, proof: str) -> str:
        """Check that a controller let go of an identity."""
        return check_proof(release_statement(identity, controller, successor), proof, controller)
