"""What an identity says of other keys: certificates, revocations, and who controls its stakes.

Rules:
    1. A key is certified with its own proof: made where that key is (`request_certificate`), countersigned where the
       operator's key is (`certify`).
    2. A controller consents, and lets go, on its own machine; only its signature travels.
    3. What would not count is refused before it is written.

Data flow: request or consent (JSON, public) -> check -> event in the identity's own hive.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from consilience.core.bodies_identity import Capability, ControllerNamed, KeyCertified, KeyPurpose, KeyRevoked
from consilience.core.canonical import canonical_bytes
from consilience.core.errors import IdentityError, NotFoundError, ProofError, UsageError
from consilience.core.untrusted import NAME_CHARACTERS, one_capped_line
from consilience.identity.did import decode_did
from consilience.identity.keys import Identity
from consilience.identity.keystore import ensure_witness_key, load, write_identity
from consilience.identity.proofs import Prover, StatementProofs, prove
from consilience.identity.statements import certificate_statement, consent_statement, release_statement
from consilience.journal.views.key_chain import certificate_fault, naming_fault
from consilience.node.identities import OpenSoul
from consilience.node.places import UserPlaces
from consilience.node.rotation import last_seqs

Form = TypeVar("Form", bound=Struct)
_LARGEST_BYTES = 65536  # a request has under a thousand


class CertificateRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key asks an operator to certify it; public. `certificate.proof` is the key's own."""

    request: str = "consilience-certificate-request-v1"
    operator: str
    certificate: KeyCertified


class Consent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A controller agrees to own an identity's stakes, or lets go of it for `successor` ("" for none); public."""

    consent: str = "consilience-consent-v1"
    identity: str
    controller: str
    successor: str | None = None
    proof: str


class Wanted(Struct, frozen=True, kw_only=True):
    """What a key is to be certified as."""

    purpose: KeyPurpose
    name: str
    may: tuple[Capability, ...] = ()


def request_certificate(places: UserPlaces, operator: str, wanted: Wanted, passphrase: str = "") -> CertificateRequest:
    """Let this device's key (its witness key, for that purpose) ask an operator to certify it.

    Raises:
        IdentityError: the operator is not a DID, or the key cannot be read.
    """
    decode_did(operator)
    if wanted.purpose == "witness":
        witness = ensure_witness_key(places.key, passphrase)
        return _requested(operator, wanted, witness.did, witness)
    identity = load(places.key, passphrase)
    if identity.did != identity.key_did:
        hint = "ask before the first rotation, or with a new key: --new FILE"
        raise IdentityError(f"{identity.did} has rotated; its first key can prove nothing more", hint=hint)
    return _requested(operator, wanted, identity.did, identity)


def request_for_new_key(path: Path, operator: str, wanted: Wanted, passphrase: str = "") -> CertificateRequest:
    """Make a key at `path` (an agent's, on this device) and let it ask.

    Raises:
        IdentityError: there is a key already, or it cannot be made.
    """
    identity = Identity.generate()
    if not write_identity(path, identity, passphrase):
        raise IdentityError(f"there is a key at {path} already", hint="name another file")
    return _requested(operator, wanted, identity.did, identity)


def _requested(operator: str, wanted: Wanted, key: str, prover: Prover) -> CertificateRequest:
    name = one_capped_line(wanted.name, NAME_CHARACTERS)
    body = KeyCertified(key=key, purpose=wanted.purpose, name=name, may=wanted.may, proof="")
    proof = prove(prover, certificate_statement(operator, body))
    return CertificateRequest(operator=operator, certificate=replace(body, proof=proof))


def certify(soul: OpenSoul, request: CertificateRequest) -> str:
    """Certify the key that asks; return the event.

    Raises:
        ProofError: it asks somebody else, asks for more than this identity may give, or its proof does not hold.
        IdentityError: it is certified so already.
    """
    state, body = soul.state, request.certificate
    if request.operator != state.author:
        raise ProofError(f"the request is to {request.operator}, not to {state.author}", hint="request it anew")
    fault = certificate_fault(state, body, StatementProofs())
    if fault:
        raise ProofError(f"the request does not hold: {fault}", hint="request it anew")
    standing = [each for each in state.certificates if each.key == body.key and not each.revoked]
    if any((each.purpose, each.name, each.may) == (body.purpose, body.name, body.may) for each in standing):
        raise IdentityError(f"{body.key} is certified so already", hint="consilience id show")
    return soul.write(body)


def revoke(soul: OpenSoul, key: str, reason: str, journals: tuple[Path, ...] = ()) -> str:
    """Revoke a certified key, or this identity itself, as of what this device and `journals` know; return the event.

    Raises:
        NotFoundError: it was never certified, or is revoked already.
    """
    state = soul.state
    standing = [each for each in state.certificates if each.key == key and not each.revoked]
    known = not state.revoked_event if key == state.author else bool(standing)
    if not known:
        raise NotFoundError(f"{key} is not a standing key of this identity", hint="`consilience id show` lists them")
    is_witness = any(each.purpose == "witness" for each in standing)
    closes = {} if is_witness else last_seqs(soul.places.marks, key, journals)
    return soul.write(KeyRevoked(key=key, reason=one_capped_line(reason), closes=closes))


def give_consent(places: UserPlaces, identity: str, passphrase: str = "") -> Consent:
    """Agree, as the controller whose key is here, to own an identity's stakes.

    Raises:
        IdentityError: `identity` is not a DID, or the key cannot be read.
    """
    decode_did(identity)
    controller = load(places.key, passphrase)
    proof = prove(controller, consent_statement(identity, controller.key_did))
    return Consent(identity=identity, controller=controller.key_did, proof=proof)


def give_release(places: UserPlaces, identity: str, successor: str, passphrase: str = "") -> Consent:
    """Let go, as the controller whose key is here, of an identity, for a successor ("" for none).

    Raises:
        IdentityError: one of them is not a DID, or the key cannot be read.
    """
    for did in (identity, successor) if successor else (identity,):
        decode_did(did)
    controller = load(places.key, passphrase)
    proof = prove(controller, release_statement(identity, controller.key_did, successor))
    return Consent(identity=identity, controller=controller.key_did, successor=successor, proof=proof)


def name_controller(soul: OpenSoul, consent: Consent | None, release: Consent | None) -> str:
    """Name a controller, or none, with the consent of the new one and the release of the one before; return the event.

    Raises:
        UsageError: neither is given, or they do not fit together.
        ProofError: a signature is missing or does not hold.
    """
    controller = consent.controller if consent else ""
    if consent is None and release is None:
        raise UsageError("nothing to do", hint="give --consent FILE, --release FILE or both")
    if consent is not None and consent.successor is not None:
        raise UsageError("the file for --consent is a release", hint="consilience id consent DID > FILE")
    body = ControllerNamed(
        controller=controller,
        consent=consent.proof if consent else "",
        release=release.proof if release else "",
    )
    fault = naming_fault(soul.state, body, StatementProofs())
    if fault:
        hint = "each controller signs with `consilience id consent` on its own machine"
        raise ProofError(f"the controller cannot be named: {fault}", hint=hint)
    return soul.write(body)


def read_request(path: Path) -> CertificateRequest:
    """Read a request file.

    Raises:
        UsageError: it is none.
    """
    return _read(path, CertificateRequest, "certificate request", "consilience id request")


def read_consent(path: Path) -> Consent:
    """Read a consent or release file.

    Raises:
        UsageError: it is none.
    """
    return _read(path, Consent, "consent", "consilience id consent")


def _read(path: Path, form: type[Form], what: str, made_by: str) -> Form:
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise UsageError(f"{path} is not a {what}", hint=f"make one with `{made_by}`")
        return msgspec.json.decode(path.read_bytes(), type=form)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", hint=f"make one with `{made_by}`") from error
    except msgspec.DecodeError as error:
        raise UsageError(f"{path} is not a {what}: {error}", hint=f"make one with `{made_by}`") from error


def text_of(form: CertificateRequest | Consent) -> str:
    """Return a request or consent as the text that travels."""
    return canonical_bytes(form).decode()
