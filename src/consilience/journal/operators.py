"""Operators: whose keys are whose, and which events no key in force signed, for whoever orders a hive.

Rules:
    1. A device or agent belongs to the operator at the end of the chain of certificates; everybody else to himself.
    2. The view of keys says both (`journal.views.keys`); it needs proofs to be checked, so `node` hands it in.

Data flow: identities' events in canonical order -> KeyFold -> `operators` -> witnesses, authority, own results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from consilience.core.bodies_identity import Capability
from consilience.core.events import Event

OperatorOf = Callable[[str], str]
"""Names the operator that a DID belongs to: whoever certified it, or itself."""


class KeyFold(Protocol):
    """**Protocol:** the fold of events about keys that orders need (`journal.views.keys.KeysView`)."""

    def apply(self, event: Event) -> None:
        """Take one more event of an identity."""

    def operator_of(self, key: str) -> str:
        """Return whose device or agent a key is, "" for nobody's."""

    def acts_for(self) -> Mapping[str, frozenset[str]]:
        """Return by DID on whose behalf it may excise."""

    def allows(self, key: str, capability: Capability) -> bool:
        """Tell whether the certificate of somebody's device or agent gives it a capability."""

    def is_plain(self, author: str) -> bool:
        """Tell whether nothing but the author's first key was ever in force, unrevoked."""

    def void(self, events: Iterable[Event]) -> dict[str, str]:
        """Return the events that no key in force signed, each with the reason."""

    def quarantined(self) -> dict[str, str]:
        """Return the identities whose key chain equivocates, each with the reason."""


KeyFolds = Callable[[], KeyFold]
"""Makes a fold that knows nothing yet."""


def operators(keys: KeyFold | None, capability: Capability | None = None) -> OperatorOf:
    """Return the function that names a DID's operator; without a fold, each is its own.

    With a capability, only certificates that give it count: whom a DID may do that for.
    """

    def operator_of(did: str) -> str:
        seen = {did}
        while keys is not None and (above := keys.operator_of(did)) and above not in seen:
            if capability is not None and not keys.allows(did, capability):
                break
            did = above
            seen.add(did)
        return did

    return operator_of
