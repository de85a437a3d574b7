"""Provenance: a study as a W3C PROV document, so that tools that know nothing of us can follow a result.

Rules:
    1. Entities are what was made (specification, candidates, outcomes, noise floor, verdicts, foreign records),
       activities what was done (runs, proposals, trials, excisions), agents who did it.
    2. Each names the event that says so; what was excised stays, and is marked as invalidated.
    3. The same events give the same document. Times are the authors' clocks.

Data flow: StudyReader -> PROV document -> ``prov.json``.

Source: W3C PROV-DM and PROV-JSON.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from consilience.core.bodies import (
    CandidateProposed,
    HiveFounded,
    NoiseMeasured,
    RecordImported,
    RunEnded,
    RunStarted,
    TrialCancelled,
    TrialFinished,
    TrialStarted,
    VerdictReached,
)
from consilience.core.bodies_identity import KeyCertified
from consilience.core.bodies_journal import ResultExcised
from consilience.core.errors import EnvironmentLacksError
from consilience.core.events import Event
from consilience.core.problem import problem_id
from consilience.journal.excision import descendants, results_below
from consilience.node.reading import StudyReader

if TYPE_CHECKING:
    from prov.model import ProvDocument

NAMESPACES = {
    "c8e": "urn:consilience:",
    "event": "urn:consilience:event:",
    "specification": "urn:consilience:specification:",
    "candidate": "urn:consilience:candidate:",
    "outcome": "urn:consilience:outcome:",
    "noise": "urn:consilience:noise:",
    "verdict": "urn:consilience:verdict:",
    "record": "urn:consilience:record:",
    "operator": "urn:consilience:operator:",
    "software": "urn:consilience:software:",
    "did": "did:",
}
_ENTITIES: dict[type[Any], str] = {
    CandidateProposed: "candidate",
    TrialFinished: "outcome",
    NoiseMeasured: "noise",
    VerdictReached: "verdict",
    RecordImported: "record",
}
_MILLISECONDS = 1000


def prov_json(reader: StudyReader) -> tuple[bytes, int]:
    """Return a study as PROV-JSON, and how many entities, activities and agents it has.

    Raises:
        EnvironmentLacksError: `prov` is not installed.
    """
    document = provenance(reader)
    text = document.serialize(format="json", indent=1)
    return f"{text}\n".encode(), len({record.identifier for record in document.get_records() if record.is_element()})


def provenance(reader: StudyReader) -> ProvDocument:
    """Return a study as a PROV document.

    Raises:
        EnvironmentLacksError: `prov` is not installed.
    """
    try:
        from prov.model import ProvDocument  # noqa: PLC0415  an extra
    except ImportError as error:
        raise EnvironmentLacksError("PROV-JSON needs prov", hint="pip install 'consilience[audit]'") from error
    document = ProvDocument()
    for prefix, uri in NAMESPACES.items():
        document.add_namespace(prefix, uri)
    _Telling(document, reader).tell()
    return document


class _Telling:
    """Writes one document, event by event in canonical order."""

    def __init__(self, document: ProvDocument, reader: StudyReader) -> None:
        self._document = document
        self._reader = reader
        self._entities: dict[str, str] = {}
        self._ends = {e.body.started: e for e in reader.events if isinstance(e.body, TrialFinished | TrialCancelled)}
        self._ends.update({e.body.run: e for e in reader.events if isinstance(e.body, RunEnded)})
        self._agents: set[str] = set()
        self._specification = ""

    def tell(self) -> None:
        for event in self._reader.events:
            self._tell_event(event)
        for event in self._reader.journal.arrivals():
            if isinstance(event.body, KeyCertified) and {event.body.key, event.fields.author} <= self._agents:
                self._document.actedOnBehalfOf(event.body.key, event.fields.author, other_attributes=_named(event))
        self._tell_excisions()

    def _tell_event(self, event: Event) -> None:
        body = event.body
        if isinstance(body, HiveFounded):
            self._found(event, body)
        elif isinstance(body, RunStarted):
            software = f"software:consilience-{body.software}"
            self._act(event, "Run", {"isolation": body.isolation.level, "workers": body.workers})
            self._agent(software, "SoftwareAgent")
            self._document.wasAssociatedWith(f"event:{event.id}", software)
        elif isinstance(body, CandidateProposed):
            self._propose(event, body)
        elif isinstance(body, TrialStarted):
            self._act(event, "Trial", {"number": body.number, "seed": body.seed, "purpose": body.purpose})
            self._document.used(f"event:{event.id}", self._entities.get(body.proposed))
        elif isinstance(body, TrialFinished):
            outcome = self._entity(event, {"metrics": _json(body.metrics), "failure": _failure(body), "log": body.log})
            self._document.wasGeneratedBy(outcome, f"event:{body.started}")
        elif isinstance(body, NoiseMeasured):
            noise = self._entity(event, {"mean": body.mean, "deviation": body.deviation})
            self._derive(noise, body.trials)
        elif isinstance(body, VerdictReached):
            reasons = "; ".join(body.reasons)
            verdict = self._entity(event, {"verdict": body.verdict, "reasons": reasons})
            self._derive(verdict, (*body.trials, body.candidate))
        elif isinstance(body, RecordImported):
            self._entity(event, {"label": body.label, "value": body.value, "status": body.status})

    def _found(self, event: Event, body: HiveFounded) -> None:
        self._specification = f"specification:{body.specification}"
        attributes = {"problem": problem_id(self._reader.problem), "name": self._reader.problem.name}
        self._document.entity(self._specification, {**self._typed("Specification", attributes), **_named(event)})
        self._attribute(self._specification, event)

    def _propose(self, event: Event, body: CandidateProposed) -> None:
        hypothesis = body.hypothesis
        operator = f"operator:{hypothesis.operator}"
        self._act(event, "Proposal", {"phase": body.phase, "change": hypothesis.change, "reason": hypothesis.reason})
        self._agent(operator, "Operator")
        self._document.wasAssociatedWith(f"event:{event.id}", operator)
        candidate = self._entity(event, {"artifact": body.candidate})
        self._document.wasGeneratedBy(candidate, f"event:{event.id}")
        for parent in body.parents:
            self._document.used(f"event:{event.id}", self._entities.get(parent))
        self._derive(candidate, body.parents)

    def _act(self, event: Event, kind: str, attributes: dict[str, Any]) -> None:
        """Tell an activity, with its end where that is known."""
        end = self._ends.get(event.id)
        name = f"event:{event.id}"
        self._document.activity(
            name, _time(event), _time(end) if end else None, {**self._typed(kind, attributes), **_named(event)}
        )
        self._agent(event.fields.author, "Identity")
        self._document.wasAssociatedWith(name, event.fields.author)
        if self._specification:
            self._document.used(name, self._specification)

    def _entity(self, event: Event, attributes: dict[str, Any]) -> str:
        prefix = _ENTITIES[type(event.body)]
        name = self._entities[event.id] = f"{prefix}:{event.id}"
        self._document.entity(name, {**self._typed(prefix.capitalize(), attributes), **_named(event)})
        self._attribute(name, event)
        return name

    def _attribute(self, entity: str, event: Event) -> None:
        self._agent(event.fields.author, "Identity")
        self._document.wasAttributedTo(entity, event.fields.author)

    def _derive(self, entity: str, sources: tuple[str, ...]) -> None:
        for source in sources:
            if source in self._entities:
                self._document.wasDerivedFrom(entity, self._entities[source])

    def _agent(self, name: str, kind: str) -> None:
        if name not in self._agents:
            self._agents.add(name)
            self._document.agent(name, self._typed(kind, {}))

    def _tell_excisions(self) -> None:
        """Mark the entities that an excision withdrew, each by the excision that did."""
        events, excisions = self._reader.events, self._reader.excisions
        below = results_below(events) if excisions.in_force else {}
        for excision in [event for event in events if isinstance(event.body, ResultExcised)]:
            stated = excisions.named(excision.id)
            gone = set(descendants(below, stated.target)) if stated is not None and stated.in_force else set()
            withdrawn = [name for name in self._entities if name in gone]
            self._act(excision, "Excision", {"reason": excision.body.reason})
            for name in withdrawn:
                self._document.wasInvalidatedBy(self._entities[name], f"event:{excision.id}", _time(excision))

    def _typed(self, kind: str, attributes: dict[str, Any]) -> dict[Any, Any]:
        """Return attributes under our prefix, with their type; empty ones are left out."""
        found = {f"c8e:{name}": value for name, value in attributes.items() if value not in ("", None)}
        return {"prov:type": self._document.valid_qualified_name(f"c8e:{kind}"), **found}


def _named(event: Event) -> dict[Any, Any]:
    return {"c8e:event": event.id}


def _time(event: Event) -> datetime:
    return datetime.fromtimestamp(event.fields.at / _MILLISECONDS, UTC)


def _json(value: Any) -> str:
    return msgspec.json.encode(value, order="sorted").decode()


def _failure(body: TrialFinished) -> str:
    return f"{body.failure.reason}: {body.failure.message}" if body.failure else ""
