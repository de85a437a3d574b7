"""Bodies of events about identities: genesis, keys that follow one another, certified keys, beliefs.

Rules:
    1. All but beliefs are written in the identity's own hive (`core.events.identity_hive`), and ride along in
       every journal that holds events of that identity, so that a journal can be verified by itself.
    2. The author of an event is the identity's first DID for life; rotation changes the signing key only.
    3. A proof inside a body is a detached JWS by the named key over `identity.statements` bytes.

Data flow: `identity` and `node` decide -> body -> journal -> `journal.views.keys`, `journal.views.soul`.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from consilience.core.study import Policy

KeyPurpose = Literal["device", "agent", "witness"]
"""What a certified key is for. Devices and agents are secp256k1 DIDs that sign feeds of their own; a witness key is
an Ed25519 ``did:key`` that signs checkpoints and cosignatures, never events."""

Capability = Literal["run", "witness", "excise", "spend", "certify"]
CAPABILITIES: tuple[Capability, ...] = ("run", "witness", "excise", "spend", "certify")

BeliefType = Literal["forked-trials-repeat"]
"""Each type names the decision that reads it: `forked-trials-repeat` (subject: an evaluator's digest) decides whether
`execution = auto` forks candidates of that evaluator."""


class IdentityCreated(Struct, frozen=True, kw_only=True):
    """Genesis of an identity: seq 0 of the first feed in its own hive.

    Attributes:
        origin: how the key came to be.
        lineage: DIDs that it descends from, nearest first; empty for a person's own first key.
        policy: the manifest: the policy that it works under where nothing else is stated.
        ceiling: capabilities that it, and what it certifies, may hold at most.
        next_key: hex SHA-256 of the 33 bytes of the key that will follow (KERI's pre-rotation); "" for none.
        controller: DID of the colder key that owns its stakes; "" for none.
        consent: the controller's proof; "" without a controller.
    """

    origin: Literal["generated", "imported"]
    lineage: tuple[str, ...]
    policy: Policy
    ceiling: tuple[Capability, ...]
    next_key: str
    controller: str
    consent: str


class KeyRotated(Struct, frozen=True, kw_only=True):
    """The key that was promised took over; signed by the key before it.

    Attributes:
        previous: the `identity.created` or `key.rotated` event that this follows; two that follow one are proof of
            equivocation.
        key: DID of the new signing key; its bytes hash to the promise in `previous`.
        next_key: the promise for the rotation after this.
        closes: by feed of this author, the last seq that the old key signed. What the old key signs beyond them,
            or in other feeds, is refused.
        proof: the new key's signature, so that nobody adopts a key that he does not hold.
    """

    previous: str
    key: str
    next_key: str
    closes: dict[str, int]
    proof: str


class KeyCertified(Struct, frozen=True, kw_only=True):
    """An operator certified a key as one of its own: a device, an agent, or the witness key of its node.

    `key` is a ``did:key``; `may` its capabilities, within the operator's ceiling; `proof` the key's own signature.
    """

    key: str
    purpose: KeyPurpose
    name: str
    may: tuple[Capability, ...]
    proof: str


class KeyRevoked(Struct, frozen=True, kw_only=True):
    """A certified key, or the identity itself (`key` is the author), signs nothing more.

    `closes` is as in `KeyRotated`, for feeds of the revoked key; for a witness key it is empty.
    """

    key: str
    reason: str
    closes: dict[str, int]


class ControllerNamed(Struct, frozen=True, kw_only=True):
    """A colder key owns this identity's stakes from now on; "" takes the last one away.

    `consent` is its own signature, `release` that of the controller before it: a stolen hot key can neither put
    another in its place nor take it away. Each is "" where there is no such controller.
    """

    controller: str
    consent: str
    release: str = ""


class BeliefHeld(Struct, frozen=True, kw_only=True):
    """The identity drew a belief from evidence; written in the hive that the evidence is in.

    `supports` and `contradicts` are the events that count for and against; strength and decay are computed by the
    fold from how many events of the hive came since, so that folding again changes nothing.
    """

    type: BeliefType
    subject: str
    supports: tuple[str, ...]
    contradicts: tuple[str, ...]
