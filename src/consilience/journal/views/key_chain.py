"""The keys of one identity, out of its own events: which followed which, and what each may sign.

Rules:
    1. A rotation counts when it is signed by the key it follows, names the promised key, and has that key's proof.
    2. A retired key signs a place of a feed only as far as its rotation *closes* that feed; the key after it signs only
       beyond. So each place has one key that may sign it, whatever order events came in and whatever a clock says.
    3. Two rotations that follow one event, or two beginnings, are equivocation.
    4. Pure: the same events give the same state in any order, but for who followed whom as controller.

Source: pre-rotation as in KERI (Smith 2019, arXiv 1907.02143): the hash of the next key is published before it is used.

Data flow: an author's events about keys -> `derive` -> KeyState -> `journal.views.keys`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from consilience.core.bodies_identity import (
    Capability,
    ControllerNamed,
    IdentityCreated,
    KeyCertified,
    KeyPurpose,
    KeyRevoked,
    KeyRotated,
)
from consilience.core.events import Event, Payload
from consilience.core.ports import Proofs

Closes = Mapping[str, int]


class KeySpan(Struct, frozen=True, kw_only=True):
    """A key and its time in force. `event` put it in force; `closes` ended it, None while it lasts."""

    key: str
    event: str
    closes: Closes | None = None


class Certificate(Struct, frozen=True, kw_only=True):
    """A key that this identity certified. `revoked` is the event that ended it, "" while it stands."""

    key: str
    purpose: KeyPurpose
    name: str
    may: tuple[Capability, ...]
    event: str
    revoked: str = ""
    closes: Closes | None = None


class KeyState(Struct, frozen=True, kw_only=True):
    """What an identity's own events say of its keys.

    Attributes:
        author: first DID.
        genesis: the `identity.created` event; "" where none is here.
        origin, lineage, ceiling: as in the genesis.
        spans: keys in the order in which they were in force; the last is the present one.
        promise: hex SHA-256 of the next key; "" for none.
        controller, controller_event: the colder key that owns the stakes, and the event that named it; "" for none.
        certificates: keys that this identity certified, in order of event.
        revoked, revoked_event: what ended the identity itself; None and "" while it stands.
        quarantined: why its events are set apart; "" for nothing.
        faults: events that do not count, each with the reason.
    """

    author: str
    genesis: str = ""
    origin: str = ""
    lineage: tuple[str, ...] = ()
    ceiling: tuple[Capability, ...] = ()
    spans: tuple[KeySpan, ...]
    promise: str = ""
    controller: str = ""
    controller_event: str = ""
    certificates: tuple[Certificate, ...] = ()
    revoked: Closes | None = None
    revoked_event: str = ""
    quarantined: str = ""
    faults: Mapping[str, str] = {}

    @property
    def key(self) -> str:
        """The key in force."""
        return self.spans[-1].key


class _Chain(Struct, frozen=True, kw_only=True):
    """One beginning with the rotations that follow from it."""

    root: Event
    spans: tuple[KeySpan, ...]
    promise: str
    forked: bool

    @property
    def rank(self) -> tuple[bool, str]:
        return (len(self.spans) == 1, self.root.id)


def bare_state(author: str) -> KeyState:
    """Return the state of an identity of which nothing is known but its DID."""
    return KeyState(author=author, spans=(KeySpan(key=author, event=""),))


def derive(author: str, events: Sequence[Event], proofs: Proofs) -> KeyState:
    """Fold an author's events about keys, given in fold order; each is signed by the key that it names."""
    return _Derivation(author, events, proofs).state()


def place_fault(state: KeyState, key: str, fields: Payload) -> str:
    """Return "" when `key` may sign at this place of the author's feed, else why not."""
    place = next((number for number, span in enumerate(state.spans) if span.key == key), None)
    if place is None:
        return f"it is signed by {key}, which the author has not named as a key"
    feed, seq = fields.feed, fields.seq
    if any(seq <= (span.closes or {}).get(feed, -1) for span in state.spans[:place]):
        return f"it is signed by a later key, but seq {seq} of its feed belongs to an earlier one"
    if is_beyond(state.spans[place].closes, feed, seq):
        return f"it is signed by {key}, which was retired before seq {seq} of this feed"
    if is_beyond(state.revoked, feed, seq):
        return f"its author was revoked before seq {seq} of this feed"
    return ""


def is_beyond(closes: Closes | None, feed: str, seq: int) -> bool:
    """Tell whether a place lies beyond what was closed; None closes nothing."""
    return closes is not None and seq > closes.get(feed, -1)


def certificate_fault(state: KeyState, body: KeyCertified, proofs: Proofs) -> str:
    """Return "" when this identity may certify that key so, else why not."""
    beyond = [name for name in body.may if name not in state.ceiling]
    if beyond:
        return f"it allows {', '.join(beyond)}, beyond the ceiling of its operator"
    return proofs.certificate(state.author, body)


def naming_fault(state: KeyState, body: ControllerNamed, proofs: Proofs) -> str:
    """Return "" when this identity may name that controller, else why not."""
    if body.controller == state.controller:
        return "it names the controller that is named already"
    fault = ""
    if state.controller:
        fault = proofs.release(state.author, state.controller, body.controller, body.release)
    if not fault and body.controller:
        fault = proofs.consent(state.author, body.controller, body.consent)
    return fault


class _Derivation:
    """One pass over an author's events."""

    def __init__(self, author: str, events: Sequence[Event], proofs: Proofs) -> None:
        self._author = author
        self._events = events
        self._proofs = proofs
        self._faults: dict[str, str] = {}

    def state(self) -> KeyState:
        chains = sorted((self._walk(root) for root in self._roots()), key=lambda chain: chain.rank)
        if not chains:
            self._faults.update((e.id, "the identity's genesis is not in the journal before it") for e in self._events)
            return replace(bare_state(self._author), faults=self._faults)
        chain = chains[0]
        genesis: IdentityCreated = chain.root.body
        state = KeyState(
            author=self._author,
            genesis=chain.root.id,
            origin=genesis.origin,
            lineage=genesis.lineage,
            ceiling=genesis.ceiling,
            spans=chain.spans,
            promise=chain.promise,
            controller=genesis.controller,
            controller_event=chain.root.id if genesis.controller else "",
            quarantined=_equivocation(chains),
        )
        self._blame_rotations(chains)
        state = self._with_revocation(state)
        for event in self._events:
            state = self._with_event(state, event)
        return replace(state, faults=self._faults)

    def _roots(self) -> list[Event]:
        """Return the beginnings: signed by the first key, with the consent of the controller that they name."""
        found = []
        for event in self._events:
            if not isinstance(event.body, IdentityCreated):
                continue
            fault = "" if self._signer(event) == self._author else "a genesis is signed by the identity's first key"
            if not fault and event.body.controller:
                fault = self._proofs.consent(self._author, event.body.controller, event.body.consent)
            if fault:
                self._faults[event.id] = fault
            else:
                found.append(event)
        return found

    def _walk(self, root: Event) -> _Chain:
        spans = [KeySpan(key=self._author, event=root.id)]
        promise, forked = root.body.next_key, False
        while followers := self._followers(spans, promise):
            chosen = min(followers, key=lambda event: event.id)
            forked = forked or len(followers) > 1
            spans[-1] = replace(spans[-1], closes=chosen.body.closes)
            spans.append(KeySpan(key=chosen.body.key, event=chosen.id))
            promise = chosen.body.next_key
        return _Chain(root=root, spans=tuple(spans), promise=promise, forked=forked)

    def _followers(self, spans: list[KeySpan], promise: str) -> list[Event]:
        follows = [e for e in self._events if isinstance(e.body, KeyRotated) and e.body.previous == spans[-1].event]
        good = []
        for event in follows:
            fault = self._rotation_fault(event, spans, promise)
            if fault:
                self._faults[event.id] = fault
            else:
                good.append(event)
        return good

    def _rotation_fault(self, event: Event, spans: list[KeySpan], promise: str) -> str:
        body: KeyRotated = event.body
        if self._signer(event) != spans[-1].key:
            return f"a rotation is signed by the key that it follows, {spans[-1].key}"
        if not promise or self._proofs.promise(body.key) != promise:
            return f"the new key {body.key} is not the one that was promised"
        if body.key in [span.key for span in spans]:
            return f"the new key {body.key} was in force before"
        return self._proofs.rotation(self._author, body)

    def _blame_rotations(self, chains: list[_Chain]) -> None:
        """Give every rotation that follows nothing its reason."""
        known = {span.event for chain in chains for span in chain.spans}
        for event in self._events:
            if isinstance(event.body, KeyRotated) and event.body.previous not in known:
                self._faults[event.id] = (
                    f"it follows event {event.body.previous[:12]}, which put no key of its author in force"
                )

    def _with_revocation(self, state: KeyState) -> KeyState:
        unrevoked = state
        for event in self._events:
            if isinstance(event.body, KeyRevoked) and event.body.key == self._author:
                fault = place_fault(unrevoked, self._signer(event), event.fields)
                if fault:
                    self._faults[event.id] = fault
                    continue
                closes = {**event.body.closes, event.fields.feed: event.fields.seq}
                state = replace(
                    state, revoked=_tighter(state.revoked, closes), revoked_event=state.revoked_event or event.id
                )
        return state

    def _with_event(self, state: KeyState, event: Event) -> KeyState:
        body = event.body
        if isinstance(body, IdentityCreated | KeyRotated) or (
            isinstance(body, KeyRevoked) and body.key == self._author
        ):
            return state
        fault = place_fault(state, self._signer(event), event.fields) or self._body_fault(state, body)
        if fault:
            self._faults[event.id] = fault
            return state
        return _after(state, event)

    def _body_fault(self, state: KeyState, body: object) -> str:
        if isinstance(body, KeyCertified):
            return certificate_fault(state, body, self._proofs)
        if isinstance(body, KeyRevoked):
            known = any(certificate.key == body.key for certificate in state.certificates)
            return "" if known else f"it revokes {body.key}, which its author never certified"
        return naming_fault(state, body, self._proofs) if isinstance(body, ControllerNamed) else ""

    def _signer(self, event: Event) -> str:
        return self._proofs.signer(event.jws)


def _equivocation(chains: list[_Chain]) -> str:
    if any(chain.forked for chain in chains):
        return "two rotations follow one event"
    return "the identity began twice" if len(chains) > 1 else ""


def _after(state: KeyState, event: Event) -> KeyState:
    """Return the state after an event that counts."""
    body = event.body
    if isinstance(body, KeyCertified):
        made = Certificate(key=body.key, purpose=body.purpose, name=body.name, may=body.may, event=event.id)
        return replace(state, certificates=(*state.certificates, made))
    if isinstance(body, KeyRevoked):
        ended = tuple(_ended(each, event) if each.key == body.key else each for each in state.certificates)
        return replace(state, certificates=ended)
    if isinstance(body, ControllerNamed):
        return replace(state, controller=body.controller, controller_event=event.id)
    return state


def _ended(certificate: Certificate, event: Event) -> Certificate:
    return replace(
        certificate,
        revoked=certificate.revoked or event.id,
        closes=_tighter(certificate.closes, event.body.closes),
    )


def _tighter(one: Closes | None, other: Closes) -> Closes:
    """Return what both of two closings leave: the earlier end of each feed that both name."""
    if one is None:
        return dict(other)
    return {feed: min(seq, other[feed]) for feed, seq in one.items() if feed in other}
