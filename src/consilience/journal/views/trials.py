"""The trials view: every trial with its candidate, seed, outcome and verdict, in order of start.

Rules:
    1. Failures are rows like any other, with their reason; a failed trial has no score.
    2. Foreign records are kept apart from own trials.
    3. An excised trial stays a row, marked so; an excised verdict or record is none.

Data flow: candidate.*, trial.*, verdict.*, record.* -> here -> `log`, `show`, `export`, `study.trials`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from msgspec import Struct
from msgspec.structs import replace

from consilience.core.bodies import (
    CandidateProposed,
    NoiseMeasured,
    RecordImported,
    TrialCancelled,
    TrialFinished,
    TrialPurpose,
    TrialStarted,
    VerdictReached,
)
from consilience.core.events import Event
from consilience.core.outcome import Failure, Isolation, Resources
from consilience.journal.tables import Lists, Table


class TrialRow(Struct, frozen=True, kw_only=True):
    """One trial as people see it. Event ids are those of the events behind the row.

    `status` is running, ok, failed, interrupted, cancelled or excised; `excised` names the `result.excised` event.
    """

    number: int
    candidate: str
    seed: int
    purpose: TrialPurpose
    operator: str
    change: str
    status: str
    started_event: str
    proposed_event: str
    finished_event: str = ""
    metrics: dict[str, float] = {}
    failure: Failure | None = None
    resources: Resources = Resources()
    isolation: Isolation | None = None
    comparability_key: str = ""
    environment: str = ""
    log: str = ""
    feedback: str = ""
    at: int = 0
    excised: str = ""


class VerdictRow(Struct, frozen=True, kw_only=True):
    """A verdict with the event that holds it."""

    event: str
    body: VerdictReached


class RecordRow(Struct, frozen=True, kw_only=True):
    """A foreign record with the event that holds it."""

    event: str
    body: RecordImported


class TrialsView:
    """Fold of trials, candidates and verdicts."""

    folds = (
        *(CandidateProposed, TrialStarted, TrialFinished, TrialCancelled),
        *(VerdictReached, RecordImported, NoiseMeasured),
    )

    cells: ClassVar[Mapping[str, Any]] = {"judged": dict[str, int], "baselines": list[str]}
    tables: ClassVar[Mapping[str, Any]] = {
        "candidates": CandidateProposed,
        "rows": TrialRow,
        "verdicts": VerdictRow,
        "records": RecordRow,
        "imported": str,
        "noise": NoiseMeasured,
    }
    lists: ClassVar[Mapping[str, Any]] = {"_by_candidate": str, "_by_number": str}

    def __init__(self) -> None:
        self.candidates: Table[CandidateProposed] = Table()
        self.rows: Table[TrialRow] = Table()
        self.verdicts: Table[VerdictRow] = Table()
        self.records: Table[RecordRow] = Table()
        self.imported: Table[str] = Table()  # sources with their first event, so that none is taken in twice
        self.noise: Table[NoiseMeasured] = Table()
        self.judged: dict[str, int] = {}
        self.baselines: list[str] = []  # candidates without parents: one, and one more for each that was excised
        self._by_candidate: Lists[str] = Lists()
        self._by_number: Lists[str] = Lists()

    def apply(self, event: Event) -> None:
        """Take one more event."""
        body = event.body
        if isinstance(body, CandidateProposed):
            self._propose(event, body)
        elif isinstance(body, TrialStarted):
            self._start(event, body)
        elif isinstance(body, TrialFinished):
            self._finish(event, body)
        elif isinstance(body, TrialCancelled) and body.started in self.rows:
            self.rows[body.started] = replace(self.rows[body.started], status=body.reason)
        elif isinstance(body, VerdictReached):
            self._judge(event, body)
        elif isinstance(body, RecordImported):
            self.imported.add(body.source, event.id)
            self.records[event.id] = RecordRow(event=event.id, body=body)
        elif isinstance(body, NoiseMeasured):
            self.noise[event.id] = body

    def apply_withdrawn(self, event: Event, excision: str) -> None:
        """Take one more event that was excised."""
        body = event.body
        if isinstance(body, CandidateProposed):
            self._propose(event, body)
        elif isinstance(body, TrialStarted):
            self._start(event, body)
            self._mark(event.id, excision)
        elif isinstance(body, TrialFinished):
            self._finish(event, body)
            self._mark(body.started, excision)
        elif isinstance(body, RecordImported):
            self.imported.add(body.source, event.id)

    def of_candidate(self, proposed: str) -> list[TrialRow]:
        """Return the trials of one candidate (its `candidate.proposed` event), in order of start."""
        return [self.rows[started] for started in self._by_candidate.get(proposed, ())]

    def numbered(self, number: int) -> list[TrialRow]:
        """Return the trials with this number."""
        return [self.rows[started] for started in self._by_number.get(str(number), ())]

    def _propose(self, event: Event, body: CandidateProposed) -> None:
        self.candidates[event.id] = body
        if not body.parents:
            self.baselines.append(event.id)

    def _judge(self, event: Event, body: VerdictReached) -> None:
        before = self.verdicts.get(body.candidate)
        if before is not None:
            self.judged[before.body.verdict] -= 1
        self.verdicts[body.candidate] = VerdictRow(event=event.id, body=body)
        self.judged[body.verdict] = self.judged.get(body.verdict, 0) + 1

    def _mark(self, started: str, excision: str) -> None:
        if started in self.rows:
            self.rows[started] = replace(self.rows[started], status="excised", excised=excision)

    def _start(self, event: Event, body: TrialStarted) -> None:
        candidate = self.candidates.get(body.proposed)
        if candidate is None:
            return
        self._by_candidate.append(body.proposed, event.id)
        self._by_number.append(str(body.number), event.id)
        self.rows[event.id] = TrialRow(
            number=body.number,
            candidate=candidate.candidate,
            seed=body.seed,
            purpose=body.purpose,
            operator=candidate.hypothesis.operator,
            change=candidate.hypothesis.change,
            status="running",
            started_event=event.id,
            proposed_event=body.proposed,
            at=event.fields.at,
        )

    def _finish(self, event: Event, body: TrialFinished) -> None:
        row = self.rows.get(body.started)
        if row is None:
            return
        self.rows[body.started] = replace(
            row,
            status="ok" if body.failure is None else "failed",
            finished_event=event.id,
            metrics=body.metrics,
            failure=body.failure,
            resources=body.resources,
            isolation=body.isolation,
            comparability_key=body.comparability_key,
            environment=body.environment,
            log=body.log,
            feedback=body.feedback,
        )
