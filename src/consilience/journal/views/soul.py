"""The soul: one identity's own events in all journals given to it, read as its history.

Rules:
    1. Pure: the same events give the same soul, however the hives are interleaved; within a hive events come in
       canonical order, and no order between hives is made up.
    2. Decisions and keys are those of the one author; how far evidence has faded counts every event of its hive.
    3. What was excised is given from outside (`journal.excision`), and marked here, never left out; beliefs alone
       leave it out, since they decide.

Data flow: identity.*, key.*, controller.*, verdict.*, artifact.*, result.*, belief.* -> here -> `consilience soul`.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from consilience.core.bodies_identity import (
    ControllerNamed,
    IdentityCreated,
    KeyCertified,
    KeyRevoked,
    KeyRotated,
)
from consilience.core.events import Event, identity_hive
from consilience.journal.views.appraisal import Decision
from consilience.journal.views.beliefs import BeliefRow, BeliefsView
from consilience.journal.views.decisions import HiveDecisions


class Genesis(Struct, frozen=True, kw_only=True):
    """How the identity began."""

    event: str
    at: int
    body: IdentityCreated


class Rotation(Struct, frozen=True, kw_only=True):
    """A change of the signing key, with the events behind it."""

    event: str
    at: int
    key: str
    promised: bool
    events: tuple[str, ...]


class Certified(Struct, frozen=True, kw_only=True):
    """A key that the identity certified. `revoked` is the reason, "" while it holds."""

    key: str
    purpose: str
    name: str
    may: tuple[str, ...]
    revoked: str
    events: tuple[str, ...]


class Soul(Struct, frozen=True, kw_only=True):
    """An identity's history.

    Attributes:
        genesis: None where no event of these journals tells it.
        key: DID of the signing key in force, by the rotations given here.
        promise: hash of the key that will follow; "" for none.
        controller: DID of the colder key; "" for none. `controller_event` is what named it.
        revoked: why the identity signs nothing more; "" while it does.
        decisions: newest last within a hive; hives by their ids.
        hives: hives that it has events in, with how many.
    """

    did: str
    genesis: Genesis | None
    key: str
    promise: str
    controller: str
    controller_event: str
    revoked: str
    rotations: tuple[Rotation, ...]
    certified: tuple[Certified, ...]
    decisions: tuple[Decision, ...]
    beliefs: tuple[BeliefRow, ...]
    hives: dict[str, int]


class SoulView:
    """Fold of one author's events, over any number of hives."""

    def __init__(
        self, did: str, metrics: Mapping[str, str] | None = None, excised: frozenset[str] = frozenset()
    ) -> None:
        """Start before the first event.

        Args:
            did: the author's.
            metrics: by hive, the objective's metric, for figures of rechecks, re-runs and holdout trials.
            excised: events whose effect was withdrawn.
        """
        self._did = did
        self._metrics = dict(metrics or {})
        self._excised = excised
        self._hives: dict[str, HiveDecisions] = {}
        self._counts: dict[str, int] = {}
        self._beliefs = BeliefsView()
        self._genesis: Genesis | None = None
        self._controller = ("", "")
        self._revoked = ""
        self._rotations: list[Rotation] = []
        self._certified: dict[str, Certified] = {}
        self._promise = ""

    def apply(self, event: Event) -> None:
        """Take one more event."""
        if event.id not in self._excised:
            self._beliefs.apply(event)
        fields = event.fields
        if fields.author != self._did:
            return
        self._counts[fields.hive] = self._counts.get(fields.hive, 0) + 1
        if fields.hive == identity_hive(self._did):
            self._apply_own(event)
            return
        if fields.hive not in self._hives:
            self._hives[fields.hive] = HiveDecisions(self._metrics.get(fields.hive, ""), self._excised)
        self._hives[fields.hive].apply(event)

    def soul(self) -> Soul:
        """Return the history that these events tell."""
        return Soul(
            did=self._did,
            genesis=self._genesis,
            key=self._rotations[-1].key if self._rotations else self._did,
            promise=self._promise,
            controller=self._controller[0],
            controller_event=self._controller[1],
            revoked=self._revoked,
            rotations=tuple(self._rotations),
            certified=tuple(self._certified.values()),
            decisions=tuple(row for hive in sorted(self._hives) for row in self._hives[hive].rows()),
            beliefs=tuple(self._beliefs.rows(self._did)),
            hives=dict(sorted(self._counts.items())),
        )

    def _apply_own(self, event: Event) -> None:
        """Take an event of the identity's own hive."""
        body = event.body
        if isinstance(body, IdentityCreated) and self._genesis is None:
            self._genesis = Genesis(event=event.id, at=event.fields.at, body=body)
            self._promise = body.next_key
            self._controller = (body.controller, event.id if body.controller else "")
        elif isinstance(body, KeyRotated):
            self._rotate(event, body)
        elif isinstance(body, ControllerNamed):
            self._controller = (body.controller, event.id)
        elif isinstance(body, KeyCertified):
            self._certify(event, body)
        elif isinstance(body, KeyRevoked):
            self._revoke(event, body)

    def _rotate(self, event: Event, body: KeyRotated) -> None:
        self._rotations.append(
            Rotation(
                event=event.id,
                at=event.fields.at,
                key=body.key,
                promised=bool(self._promise),
                events=(event.id, body.previous),
            )
        )
        self._promise = body.next_key

    def _certify(self, event: Event, body: KeyCertified) -> None:
        self._certified[body.key] = Certified(
            key=body.key, purpose=body.purpose, name=body.name, may=body.may, revoked="", events=(event.id,)
        )

    def _revoke(self, event: Event, body: KeyRevoked) -> None:
        if body.key == self._did:
            self._revoked = body.reason or "without a reason"
        held = self._certified.get(body.key)
        if held is not None:
            self._certified[body.key] = Certified(
                key=held.key,
                purpose=held.purpose,
                name=held.name,
                may=held.may,
                revoked=body.reason or "without a reason",
                events=(*held.events, event.id),
            )
