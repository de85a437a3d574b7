"""The view of keys: for each identity its keys in force, its promise, what it certified, who controls it.

Rules:
    1. An event about keys counts only in its identity's own hive, and only when its proofs hold; what does not count is
       kept in the journal and named in `faults`.
    2. Whose agent a DID is: the one identity that certified it; where two did, nobody's.
    3. Two ways in. `apply` folds what is in a journal and never refuses. `learn` (port `KeyRules`) takes in what is
       being verified, and tells what would not count.

Data flow: events about keys -> here -> `identity.keyring` (which key may sign what), `node.identities` (what is shown).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from consilience.core.bodies_identity import (
    Capability,
    ControllerNamed,
    IdentityCreated,
    KeyCertified,
    KeyRevoked,
    KeyRotated,
)
from consilience.core.errors import JournalError
from consilience.core.events import Event, Payload, identity_hive
from consilience.core.ports import Proofs
from consilience.journal.feed import read_event
from consilience.journal.kinds import kind_named
from consilience.journal.views.key_chain import Certificate, KeyState, bare_state, derive, is_beyond, place_fault

BODIES = (IdentityCreated, KeyRotated, KeyCertified, KeyRevoked, ControllerNamed)
KEY_KINDS: tuple[str, ...] = tuple(kind_named(body) for body in BODIES)
_MARKS = (b'"kind":"identity.', b'"kind":"key.', b'"kind":"controller.')  # of every payload whose kind is one of these


class KeysView:
    """Folds events about keys. Implements `core.ports.KeyRules`."""

    def __init__(self, proofs: Proofs) -> None:
        self._proofs = proofs
        self._events: dict[str, list[Event]] = defaultdict(list)
        self._held: set[str] = set()
        self._states: dict[str, KeyState] = {}
        self._certifiers: dict[str, set[str]] = defaultdict(set)
        self._changed: set[str] = set()  # authors of whom it does not hold that the first key signs everything

    def apply(self, event: Event) -> None:
        """Take one more event; other kinds are ignored."""
        author = event.fields.author
        own = isinstance(event.body, BODIES) and event.fields.hive == identity_hive(author)
        if own and event.id not in self._held:
            self._held.add(event.id)
            self._events[author].append(event)
            self._refold(author)

    def learn(self, payload: bytes, jws: str) -> str:
        """Take in an event about keys whose signature holds; return "" or what is wrong with it. Ignores others."""
        if not any(mark in payload for mark in _MARKS):
            return ""
        try:
            event = read_event(payload, jws)
        except JournalError as error:
            return error.message
        if not isinstance(event.body, BODIES):
            return ""
        author = event.fields.author
        if event.fields.hive != identity_hive(author):
            return "an event about keys belongs in its identity's own hive"
        known = event.id in self._held
        first = self.state(author).genesis
        if first and isinstance(event.body, IdentityCreated) and not known:
            return f"its author began already, with event {first[:12]}: whose promise came first counts"
        self.apply(event)
        fault = self.state(author).faults.get(event.id, "")
        if fault and not known:
            self._forget(event)
        return fault

    def state(self, author: str) -> KeyState:
        """Return what is known of an identity."""
        return self._states.get(author) or bare_state(author)

    def authors(self) -> tuple[str, ...]:
        """Return the identities whose events are here."""
        return tuple(sorted(self._states))

    def quarantined(self) -> dict[str, str]:
        """Return the identities whose key chain equivocates, each with the reason."""
        return {author: state.quarantined for author, state in self._states.items() if state.quarantined}

    def certificates(self, key: str) -> dict[str, Certificate]:
        """Return what certified a key, by operator."""
        found: dict[str, Certificate] = {}
        for operator in sorted(self._certifiers.get(key, ())):
            for certificate in self.state(operator).certificates:
                if certificate.key == key:
                    found[operator] = certificate  # the latest one counts
        return found

    def operator_of(self, key: str) -> str:
        """Return whose device or agent a key is; "" where nobody, or more than one identity, certified it.

        A revoked certificate still tells whose key it was.
        """
        found = [operator for operator, each in self.certificates(key).items() if each.purpose != "witness"]
        return found[0] if len(found) == 1 else ""

    def acts_for(self) -> dict[str, frozenset[str]]:
        """Return by DID on whose behalf it may excise.

        An operator for whoever it certified, directly or through others; a device or agent for each operator above
        it, as far up as every certificate names `excise`.
        """
        found: dict[str, set[str]] = defaultdict(set)
        for key in self._certifiers:
            below, may, seen = key, True, {key}
            while (above := self.operator_of(below)) and above not in seen:
                found[above].add(key)
                may = may and "excise" in self.certificates(below)[above].may
                if may:
                    found[key].add(above)
                seen.add(above)
                below = above
        return {did: frozenset(others) for did, others in found.items()}

    def allows(self, key: str, capability: Capability) -> bool:
        """Tell whether a device's or agent's latest certificate by its operator gives it a capability."""
        certificate = self.certificates(key).get(self.operator_of(key))
        return certificate is not None and capability in certificate.may

    def is_plain(self, author: str) -> bool:
        """Tell whether nothing but the author's first key was ever in force, unrevoked."""
        return author not in self._changed

    def key_fault(self, author: str, key: str, fields: Payload) -> str:
        """Return "" when the key may sign at this place of the author's feed, else why not.

        A rotation is judged by what it follows (`learn`), not by its place: so both of two that follow one event are
        let in, as proof against their author.
        """
        if fields.kind == kind_named(KeyRotated) and fields.hive == identity_hive(author):
            return ""
        fault = place_fault(self.state(author), key, fields)
        if fault:
            return fault
        for operator, certificate in self.certificates(author).items():
            if is_beyond(certificate.closes, fields.feed, fields.seq):
                return f"its author was revoked by {operator} before seq {fields.seq} of this feed"
        return ""

    def void(self, events: Iterable[Event]) -> dict[str, str]:
        """Return the events that no key in force signed, each with the reason: no view may fold them.

        They are in a journal that took them in before it knew of the rotation or revocation. Leave them out before
        forks of feeds are looked for: else the holder of a stolen old key could fork its owner's feeds.
        """
        found: dict[str, str] = {}
        for event in events:
            author, key = event.fields.author, self._proofs.signer(event.jws)
            if key == author and self.is_plain(author):
                continue
            fault = self.key_fault(author, key, event.fields)
            if fault:
                found[event.id] = fault
        return found

    def _forget(self, event: Event) -> None:
        author = event.fields.author
        self._held.discard(event.id)
        self._events[author].remove(event)
        self._refold(author)

    def _refold(self, author: str) -> None:
        state = derive(author, self._events[author], self._proofs)
        self._states[author] = state
        for certificate in state.certificates:
            self._certifiers[certificate.key].add(author)
            if certificate.revoked:
                self._changed.add(certificate.key)
        if len(state.spans) > 1 or state.revoked is not None:
            self._changed.add(author)
