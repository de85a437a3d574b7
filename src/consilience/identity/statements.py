"""Statements: the bytes that a proof signs, so that nobody is made to own, certify or pay for what he did not agree to.

Rules:
    1. A statement is canonical JSON with a field `statement` that names its type and version. No event's payload has
       such a field, so a proof never passes for an event, nor an event for a proof.
    2. A statement names everybody whom it binds: a proof that was made for one cannot be used for another.

Data flow: fields of a body -> bytes -> `identity.proofs.prove` and `StatementProofs` -> the body's `proof`, `consent`.
"""

from __future__ import annotations

from consilience.core.bodies_identity import KeyCertified, KeyRotated
from consilience.core.canonical import canonical_bytes

_ROTATION = "consilience.rotation.v1"
_CERTIFICATE = "consilience.certificate.v1"
_CONSENT = "consilience.consent.v1"
_RELEASE = "consilience.release.v1"


def rotation_statement(author: str, body: KeyRotated) -> bytes:
    """Return what the new key signs when it takes over: all of the rotation but the proof."""
    return canonical_bytes(
        {
            "statement": _ROTATION,
            "identity": author,
            "previous": body.previous,
            "key": body.key,
            "next_key": body.next_key,
            "closes": body.closes,
        }
    )


def certificate_statement(operator: str, body: KeyCertified) -> bytes:
    """Return what a certified key signs: that it works for this operator, as this, with these capabilities."""
    return canonical_bytes(
        {
            "statement": _CERTIFICATE,
            "operator": operator,
            "key": body.key,
            "purpose": body.purpose,
            "name": body.name,
            "may": body.may,
        }
    )


def consent_statement(identity: str, controller: str) -> bytes:
    """Return what a controller signs: that it owns the stakes of this identity."""
    return canonical_bytes({"statement": _CONSENT, "identity": identity, "controller": controller})


def release_statement(identity: str, controller: str, successor: str) -> bytes:
    """Return what a controller signs to let go of an identity, for a successor ("" for none)."""
    return canonical_bytes(
        {"statement": _RELEASE, "identity": identity, "controller": controller, "successor": successor}
    )
