"""Telling events in words: one line for each, grouped into a tree from the genesis to the last verdict.

Rules:
    1. Texts of candidates and peers are untrusted: faces escape them.
    2. Every line has the ids of the events that it tells; what was excised is marked with its excision.

Data flow: StudyReader + events -> Told -> `node.why`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from consilience.core.bodies import (
    CandidateProposed,
    HiveFounded,
    NoiseMeasured,
    RunStarted,
    StudyConfigured,
    TrialCancelled,
    TrialFinished,
    TrialStarted,
    VerdictReached,
)
from consilience.core.bodies_journal import ExcisionWithdrawn, ResultExcised
from consilience.core.events import Event
from consilience.journal.views.trials import TrialRow
from consilience.node.reading import StudyReader

_ENDS = (TrialFinished, TrialCancelled)
_OF_TRIALS = (TrialStarted, *_ENDS)
_LONGEST_BODY = 160


class Told(Struct, frozen=True, kw_only=True):
    """One line: what happened, by which events, and what belongs below it. `excised` names the excision."""

    kind: str
    text: str
    events: tuple[str, ...]
    excised: str = ""
    below: tuple[Told, ...] = ()


def tell(reader: StudyReader, chain: Sequence[Event]) -> list[Told]:
    """Tell a chain of events: decisions first, then candidates in order, each with its trials and verdict."""
    about = _by_candidate(reader, chain)
    decisions = (HiveFounded, StudyConfigured, RunStarted, NoiseMeasured)
    first = [_told(reader, event) for event in chain if isinstance(event.body, decisions)]
    candidates = [
        _candidate(reader, event, about[event.id]) for event in chain if isinstance(event.body, CandidateProposed)
    ]
    placed = {event.id for events in about.values() for event in events}
    others = (e for e in chain if e.id not in placed and not isinstance(e.body, (*decisions, CandidateProposed)))
    return [*first, *candidates, *(_told(reader, event) for event in others)]


def tell_spending(reader: StudyReader) -> list[Told]:
    """Tell what was spent: the settings, then the trials by purpose."""
    settings = [_told(reader, event) for event in reader.events if isinstance(event.body, StudyConfigured)]
    ends = (event for event in reader.events if isinstance(event.body, _ENDS))
    ended = {event.body.started: event for event in ends}
    by_purpose: dict[str, list[Told]] = defaultdict(list)
    for row in reader.trials.rows.values():
        by_purpose[row.purpose].append(_spent(row, ended.get(row.started_event)))
    groups = [
        Told(kind="trials", text=f"{len(lines)} {purpose} trials", events=(), below=tuple(lines))
        for purpose, lines in by_purpose.items()
    ]
    return [*settings, *groups]


def _spent(row: TrialRow, end: Event | None) -> Told:
    events = tuple(name for name in (row.started_event, end.id if end else "") if name)
    used = f"{end.body.spent.wall_ms} ms, {end.body.spent.cpu_ms} ms CPU" if end else "reserved, in flight"
    return Told(kind="trial", text=f"trial {row.number} ({row.status}): {used}", events=events, excised=row.excised)


def _by_candidate(reader: StudyReader, chain: Sequence[Event]) -> dict[str, list[Event]]:
    """Return the events that are told below each candidate."""
    about: dict[str, list[Event]] = defaultdict(list)
    for event in chain:
        body = event.body
        if isinstance(body, _OF_TRIALS):
            started = event.id if isinstance(body, TrialStarted) else body.started
            if started in reader.trials.rows:
                about[reader.trials.rows[started].proposed_event].append(event)
        elif isinstance(body, VerdictReached):
            about[body.candidate].append(event)
    return about


def _candidate(reader: StudyReader, event: Event, about: Sequence[Event]) -> Told:
    told = _told(reader, event)
    started = {e.id for e in about if isinstance(e.body, TrialStarted)}
    started |= {e.body.started for e in about if isinstance(e.body, _ENDS)}
    rows = [reader.trials.rows[name] for name in started if name in reader.trials.rows]
    trials = [_trial(row, about) for row in sorted(rows, key=lambda row: row.number)]
    verdicts = [_told(reader, e) for e in about if isinstance(e.body, VerdictReached)]
    return msgspec.structs.replace(told, below=(*trials, *verdicts))


def _trial(row: TrialRow, about: Sequence[Event]) -> Told:
    named = (row.started_event, row.finished_event)
    cancelled = (e.id for e in about if isinstance(e.body, TrialCancelled) and e.body.started == row.started_event)
    isolation = row.isolation
    where = ""
    if isolation is not None:
        where = f"; held {isolation.level}/{isolation.domain}/{isolation.execution}, environment {row.environment[:10]}"
    text = f"trial {row.number} ({row.purpose}), seed {row.seed}: {_outcome(row)}{where}"
    events = (*(name for name in named if name), *cancelled)
    return Told(kind="trial", text=text, events=events, excised=row.excised)


def _outcome(row: TrialRow) -> str:
    if row.failure is not None:
        return f"{row.failure.reason}: {row.failure.message}"
    return ", ".join(f"{name} {value:.6g}" for name, value in sorted(row.metrics.items())) or row.status


def _told(reader: StudyReader, event: Event) -> Told:
    return Told(
        kind=event.fields.kind,
        text=_text(reader, event),
        events=(event.id,),
        excised=reader.excisions.withdrawn.get(event.id, ""),
    )


def _text(reader: StudyReader, event: Event) -> str:  # noqa: PLR0911  one line for each kind
    match event.body:
        case HiveFounded() as body:
            return f"hive founded for problem {body.problem[:16]}"
        case StudyConfigured(version=version, settings=settings):
            policy = settings.policy
            total = "no limit" if settings.budget.trials is None else settings.budget.trials
            return f"settings {version}: seed {settings.seed}, trials {total}, at most {policy.maximum_pairs} pairs"
        case RunStarted() as body:
            return f"run started: {body.software}, held {body.isolation.level}, environment {body.environment[:10]}"
        case NoiseMeasured() as body:
            floor = "deterministic" if body.deterministic else f"{body.deviation:.6g} ({body.degrees} degrees)"
            return f"noise floor over {len(body.trials)} baseline trials: {floor}, mean {body.mean:.6g}"
        case CandidateProposed() as body:
            return _proposal(reader, body)
        case VerdictReached() as body:
            figures = ", ".join(f"{name} {value:.6g}" for name, value in body.figures.items())
            return f"verdict {body.verdict}: {'; '.join(body.reasons)}{f' ({figures})' if figures else ''}"
        case ResultExcised() as body:
            return f"excised {body.target[:16]}: {body.reason}{_effect(reader, event.id)}"
        case ExcisionWithdrawn() as body:
            return f"excision {body.excision[:16]} taken back: {body.reason}"
    return f"{event.fields.kind} {msgspec.json.encode(event.fields.body).decode()[:_LONGEST_BODY]}"


def _effect(reader: StudyReader, excision: str) -> str:
    found = reader.excisions.named(excision)
    if found is None or found.in_force:
        return ""
    return f" (no effect: {found.refused})" if found.refused else f" (taken back by {found.taken_back[:16]})"


def _proposal(reader: StudyReader, body: CandidateProposed) -> str:
    if not body.parents:
        return f"baseline, candidate {body.candidate[:10]}: the artifact as given"
    parents = ", ".join(
        reader.trials.candidates[name].candidate[:10] for name in body.parents if name in reader.trials.candidates
    )
    change = f"{body.hypothesis.operator} on {body.hypothesis.target}" if body.hypothesis.target else ""
    how = change or body.hypothesis.operator
    why = f"{body.hypothesis.change}; because {body.hypothesis.reason}"
    return f"candidate {body.candidate[:10]} from {parents}, {how}: {why}"
