"""The key ring: checks signatures of identities whose keys may have followed one another.

Rules:
    1. The signature is checked first, against the key that its header names; then the rules say whether that key may
       sign that place of that feed.
    2. Events about keys are learned as they are verified: they come before what they authorise.
    3. `verify` is the two halves together. `check_signature` needs no state and may run in any process; `authority`
       needs the events in order, and is quick.

Data flow: rows in order of arrival -> `verify` -> reason or "" ; identity events among them -> `KeyRules.learn`.
"""

from __future__ import annotations

import msgspec

from consilience.core.events import read_payload
from consilience.core.ports import KeyRules
from consilience.identity.envelope import check_detached, signer_of


def check_signature(payload: bytes, jws: str) -> str:
    """Return "" when the JWS holds for the key that it names, whoever's that may be, else what is wrong with it."""
    key = signer_of(jws)
    return check_detached(payload, jws, key) if key else "the signature is not a detached JWS that names its key"


class KeyRing:
    """Checks envelopes by the keys in force. Implements `core.ports.Verifier`."""

    def __init__(self, rules: KeyRules) -> None:
        self._rules = rules

    def verify(self, payload: bytes, jws: str, author: str) -> str:
        """Return "" when the JWS is by a key that may sign this for the author, else the reason why not.

        Learns from the payload what it says of keys: call it in order of arrival.
        """
        return check_signature(payload, jws) or self.authority(payload, jws, author)

    def authority(self, payload: bytes, jws: str, author: str) -> str:
        """Return "" when the key that the JWS names may sign this; the signature itself is not checked here."""
        key = signer_of(jws)
        if key != author or not self._rules.is_plain(author):
            try:
                fields = read_payload(payload)
            except (msgspec.DecodeError, RecursionError) as error:
                return f"not an event: {error}"
            fault = self._rules.key_fault(author, key, fields)
            if fault:
                return fault
        return self._rules.learn(payload, jws)
