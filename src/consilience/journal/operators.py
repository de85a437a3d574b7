"""Operators: whose keys are whose, from certificates in the identities' own hives.

Rules:
    1. A device or agent belongs to whoever certified it first in canonical order; everybody else to himself.
    2. A certified key may certify others; the operator is at the end of that chain.
    3. Pure: the same events name the same operators.

Data flow: identities' events in canonical order -> `operators` -> witnesses, authority, own results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from consilience.core.bodies_identity import KeyCertified
from consilience.core.events import Event

OperatorOf = Callable[[str], str]
"""Names the operator that a DID belongs to: whoever certified it, or itself."""


def operators(identities: Iterable[Event]) -> OperatorOf:
    """Return the function that names a DID's operator."""
    certifiers: dict[str, str] = {}
    for event in identities:
        body = event.body
        if isinstance(body, KeyCertified) and body.purpose != "witness" and body.key != event.fields.author:
            certifiers.setdefault(body.key, event.fields.author)

    def operator_of(did: str) -> str:
        seen = {did}
        while (above := certifiers.get(did)) is not None and above not in seen:
            did = above
            seen.add(did)
        return did

    return operator_of
