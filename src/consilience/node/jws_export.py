"""An event as a complete JWS that any JOSE library can check, with the public key as a JWK.

Rules:
    1. Nothing is signed again: these are the bytes that the author signed, cut at the dots.
    2. Whether the key may sign for the author is another question: the identity's events say (`consilience verify`).

Sources: RFC 7515 section 7.2.2 (flattened JSON), RFC 7797 (``b64: false``: the payload stands as it is), RFC 7517 and
RFC 8812 (secp256k1 as a JWK).

Data flow: Event -> `export_jws` -> `consilience show EVENT --jws`.
"""

from __future__ import annotations

import base64

from msgspec import Struct

from consilience.core.events import Event
from consilience.identity.did import decode_did
from consilience.identity.envelope import signer_of

_COORDINATE_BYTES = 32


class ExportedJws(Struct, frozen=True, kw_only=True):
    """A flattened JSON JWS (`protected`, `payload`, `signature`), the same detached, and the key that signed."""

    event: str
    protected: str
    payload: str
    signature: str
    detached: str
    jwk: dict[str, str]


def export_jws(event: Event) -> ExportedJws:
    """Return an event's JWS with all that is needed to check it.

    Raises:
        IdentityError: the signature names no secp256k1 key.
    """
    protected, _, signature = event.jws.partition("..")
    point = decode_did(signer_of(event.jws)).format(compressed=False)[1:]
    jwk = {
        "kty": "EC",
        "crv": "secp256k1",
        "x": _encode(point[:_COORDINATE_BYTES]),
        "y": _encode(point[_COORDINATE_BYTES:]),
    }
    return ExportedJws(
        event=event.id,
        protected=protected,
        payload=event.payload.decode(),
        signature=signature,
        detached=event.jws,
        jwk=jwk,
    )


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
