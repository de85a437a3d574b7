"""The soul: one identity's own events in all journals given to it, read as its history.

Rules:
    1. Pure: the same events give the same soul, however the hives are interleaved; within a hive events come in
       canonical order, and no order between hives is made up.
    2. Decisions and keys are those of the one author; how far evidence has faded counts every event of its hive.
    3. An event about keys counts as `journal.views.keys` says; one whose proofs fail is named with the reason.
    4. What was excised is given from outside (`journal.excision`), and marked here, never left out; beliefs alone
       leave it out, since they decide.

Data flow: identity.*, key.*, controller.*, verdict.*, artifact.*, result.*, belief.* -> here -> `consilience soul`.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from consilience.core.bodies_identity import IdentityCreated, KeyRevoked, KeyRotated
from consilience.core.events import Event, identity_hive
from consilience.core.ports import Proofs
from consilience.journal.views.appraisal import Decision
from consilience.journal.views.beliefs import BeliefRow, BeliefsView
from consilience.journal.views.decisions import HiveDecisions
from consilience.journal.views.key_chain import Certificate
from consilience.journal.views.keys import KeysView


class Genesis(Struct, frozen=True, kw_only=True):
    """How the identity began."""

    event: str
    at: int
    body: IdentityCreated


class Rotation(Struct, frozen=True, kw_only=True):
    """A change of the signing key to `key`. `events` are the rotation and what it follows."""

    event: str
    at: int
    key: str
    events: tuple[str, ...]


class Certified(Struct, frozen=True, kw_only=True):
    """A key that the identity certified. `revoked` is the reason why it no longer counts, "" while it does."""

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
        key: DID of the signing key in force.
        promise: hash of the key that will follow; "" for none.
        controller: DID of the colder key; "" for none. `controller_event` is what named it.
        revoked: the event by which the identity signs nothing more; "" while it does.
        quarantined: why its events are set apart; "" for nothing.
        refused: events about keys that do not count, each with the reason.
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
    quarantined: str
    refused: dict[str, str]
    rotations: tuple[Rotation, ...]
    certified: tuple[Certified, ...]
    decisions: tuple[Decision, ...]
    beliefs: tuple[BeliefRow, ...]
    hives: dict[str, int]


class SoulView:
    """Fold of one author's events, over any number of hives."""

    def __init__(
        self,
        did: str,
        proofs: Proofs,
        metrics: Mapping[str, str] | None = None,
        excised: frozenset[str] = frozenset(),
    ) -> None:
        """Start before the first event.

        Args:
            did: the author's.
            proofs: checks what events about keys prove.
            metrics: by hive, the objective's metric, for figures of rechecks, re-runs and holdout trials.
            excised: events whose effect was withdrawn.
        """
        self._did = did
        self._metrics = dict(metrics or {})
        self._excised = excised
        self._hives: dict[str, HiveDecisions] = {}
        self._counts: dict[str, int] = {}
        self._beliefs = BeliefsView()
        self._keys = KeysView(proofs)
        self._own: dict[str, Event] = {}

    def apply(self, event: Event) -> None:
        """Take one more event."""
        if event.id not in self._excised:
            self._beliefs.apply(event)
        fields = event.fields
        if fields.author != self._did:
            return
        self._counts[fields.hive] = self._counts.get(fields.hive, 0) + 1
        if fields.hive == identity_hive(self._did):
            self._own[event.id] = event
            self._keys.apply(event)
            return
        if fields.hive not in self._hives:
            self._hives[fields.hive] = HiveDecisions(self._metrics.get(fields.hive, ""), self._excised)
        self._hives[fields.hive].apply(event)

    def soul(self) -> Soul:
        """Return the history that these events tell."""
        state = self._keys.state(self._did)
        return Soul(
            did=self._did,
            genesis=self._genesis(state.genesis),
            key=state.key,
            promise=state.promise,
            controller=state.controller,
            controller_event=state.controller_event,
            revoked=state.revoked_event,
            quarantined=state.quarantined,
            refused=dict(sorted(state.faults.items())),
            rotations=tuple(
                self._rotation(span.key, span.event) for span in state.spans if span.event != state.genesis
            ),
            certified=tuple(self._certified(each) for each in state.certificates),
            decisions=tuple(row for hive in sorted(self._hives) for row in self._hives[hive].rows()),
            beliefs=tuple(self._beliefs.rows(self._did)),
            hives=dict(sorted(self._counts.items())),
        )

    def _genesis(self, name: str) -> Genesis | None:
        event = self._own.get(name)
        if event is None or not isinstance(event.body, IdentityCreated):
            return None
        return Genesis(event=event.id, at=event.fields.at, body=event.body)

    def _rotation(self, key: str, name: str) -> Rotation:
        event = self._own[name]
        previous = event.body.previous if isinstance(event.body, KeyRotated) else ""
        return Rotation(event=name, at=event.fields.at, key=key, events=(name, previous))

    def _certified(self, certificate: Certificate) -> Certified:
        ended = self._own.get(certificate.revoked)
        reason = ended.body.reason if ended is not None and isinstance(ended.body, KeyRevoked) else ""
        return Certified(
            key=certificate.key,
            purpose=certificate.purpose,
            name=certificate.name,
            may=certificate.may,
            revoked=(reason or "without a reason") if certificate.revoked else "",
            events=tuple(filter(None, (certificate.event, certificate.revoked))),
        )
