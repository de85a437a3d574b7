"""The ids of the events behind the figures of a report.

Rules:
    1. A figure's ids are those of the events that it changes with. An excised event is behind nothing but what it
       still decides: what was spent, and which excision took it away.
    2. Ids are looked up when a report is made; views keep none but their rows' own.

Data flow: StudyReader -> ids by figure -> `node.reports`.
"""

from __future__ import annotations

from typing import Any

from consilience.core.bodies import (
    ASIDE,
    HiveFounded,
    NoiseMeasured,
    PhaseSwitched,
    RunEnded,
    RunStarted,
    StudyConfigured,
    VerdictReached,
)
from consilience.core.bodies_journal import ExcisionWithdrawn, ResultExcised
from consilience.journal.views.budget import BudgetView
from consilience.journal.views.trials import TrialRow
from consilience.node.reading import StudyReader
from consilience.search.member import Member

Behind = dict[str, tuple[str, ...]]


def events_of(row: TrialRow) -> tuple[str, ...]:
    """Return the events of one trial: its candidate, its start, its end."""
    return tuple(name for name in (row.proposed_event, row.started_event, row.finished_event) if name)


def of_kinds(reader: StudyReader, *bodies: type[Any]) -> tuple[str, ...]:
    """Return the standing events with such bodies, in canonical order."""
    withdrawn = reader.excisions.withdrawn
    return tuple(name for name in reader.ids_of(*bodies) if name not in withdrawn)


def only(reader: StudyReader, figure: str, *bodies: type[Any]) -> Behind:
    """Return one figure with the events behind it; nothing where there are none."""
    found = of_kinds(reader, *bodies)
    return {figure: found} if found else {}


def behind_summary(reader: StudyReader) -> Behind:
    """Return the events behind each figure of a summary."""
    search = reader.search
    baseline, best = (_of_member(member) for member in (search.baseline, search.incumbent))
    verdict = reader.trials.verdicts.get(search.incumbent.event) if search.incumbent else None
    found = {
        "problem": of_kinds(reader, HiveFounded),
        "baseline": baseline,
        "best": (*best, *([verdict.event] if verdict else [])),
        "gain": tuple(dict.fromkeys((*baseline, *best))),
        "noise_floor": of_kinds(reader, NoiseMeasured),
        "trials": behind_spending(reader),
        "verdicts": of_kinds(reader, VerdictReached),
        "phase": of_kinds(reader, PhaseSwitched),
        "state": of_kinds(reader, RunStarted, RunEnded),
        "excised": of_kinds(reader, ResultExcised, ExcisionWithdrawn),
    }
    return {figure: names for figure, names in found.items() if names}


def behind_spending(reader: StudyReader) -> tuple[str, ...]:
    """Return the events behind what was spent and what is left: excised ones too, for they were paid for."""
    return tuple(reader.ids_of(*BudgetView.folds))


def behind_trial(reader: StudyReader, row: TrialRow, rows: list[TrialRow]) -> Behind:
    """Return the events behind each part of a trial's report."""
    verdict = reader.trials.verdicts.get(row.proposed_event)
    excision = reader.excisions.withdrawn.get(row.finished_event) or reader.excisions.withdrawn.get(row.proposed_event)
    found = {
        "trial": events_of(row),
        "others": tuple(dict.fromkeys(name for other in rows if other is not row for name in events_of(other))),
        "verdict": (verdict.event, *verdict.body.trials) if verdict else (),
        "line": reader.lineage.line(row.proposed_event),
        "repeats": tuple(other.finished_event for other in rows if other.purpose in ASIDE and other.finished_event),
        "settings": of_kinds(reader, StudyConfigured),
        "excised": (excision,) if excision else (),
    }
    return {figure: names for figure, names in found.items() if names}


def _of_member(member: Member | None) -> tuple[str, ...]:
    return (member.event, *member.evidence) if member else ()
