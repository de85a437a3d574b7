"""Excising: withdraw a result with all that rests on it, or take an excision back; first as a preview.

Rules:
    1. A trial's number, or a candidate, means the whole candidate: it, its children, and all that rests on them.
       The number of a trial of the baseline, or of one that only looks again, means that trial alone; so does the
       id of any event.
    2. What the fold would give no effect is refused here, and nothing is written.
    3. The board before and after comes from the same fold as every board.

Data flow: StudyReader + what a person types -> Plan -> Session -> ExcisionReport.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from consilience.core.bodies import ASIDE
from consilience.core.bodies_journal import ExcisionWithdrawn, ResultExcised
from consilience.core.errors import ExcisionError, NotFoundError, UsageError
from consilience.core.events import Event
from consilience.core.untrusted import one_capped_line
from consilience.journal.authority import authority_of
from consilience.journal.excision import Excisions, taking_back_fault
from consilience.journal.kinds import BY_NAME, kind_named
from consilience.journal.views.trials import TrialRow
from consilience.node import reports
from consilience.node.reading import StudyReader, is_number
from consilience.node.session import Session

PREVIEW = "preview"  # stands for the id of an event that is not written yet
_SHORTEST_PREFIX = 4
_SEE = "`consilience board` and `consilience log` have the numbers and ids"


class KindCount(Struct, frozen=True, kw_only=True):
    """Events of one kind."""

    kind: str
    count: int
    events: tuple[str, ...]


class ExcisionReport(Struct, frozen=True, kw_only=True):
    """What an excision did, or would do.

    Attributes:
        event: the event that was written; "" in a preview.
        target: the result that is excised; of an excision that is taken back, its target.
        what: that result in words.
        reason: why.
        returns: whether results come back, because an excision was taken back.
        changed: the events that were withdrawn, or come back, by kind.
        before, after: the board.
        best_before, best_after: the incumbent's first trial; None for none.
    """

    event: str
    target: str
    what: str
    reason: str
    returns: bool
    changed: list[KindCount]
    before: reports.BoardReport
    after: reports.BoardReport
    best_before: int | None
    best_after: int | None


class Plan(Struct, frozen=True, kw_only=True):
    """A checked excision, or the taking back of one, that may be written: its body, and its preview."""

    body: ResultExcised | ExcisionWithdrawn
    preview: ExcisionReport


def plan_excision(reader: StudyReader, name: str, reason: str, author: str) -> Plan:
    """Prepare an excision.

    Args:
        reader: the study.
        name: trial number, or the beginning of a candidate's or event's id.
        reason: why; needed.
        author: DID of who excises.

    Raises:
        NotFoundError: nothing, or several things, have this name.
        ExcisionError: not allowed, or excised already.
        UsageError: no reason given.
    """
    target = _target(reader, name)
    found = reader.excisions.of(target.id)
    if found is not None:
        raise ExcisionError(
            f"{_words(reader, target)} is excised already, by {found.event[:16]}", hint="--withdraw takes that back"
        )
    if fault := authority_of(reader.events, reader.acts_for).fault(author, target):
        raise ExcisionError(f"{_words(reader, target)} cannot be excised: {fault}", hint=_mend(target, author))
    body = ResultExcised(target=target.id, reason=_reason(reason))
    return Plan(body=body, preview=_preview(reader, body, target, author))


def plan_taking_back(reader: StudyReader, name: str, reason: str, author: str) -> Plan:
    """Prepare to take an excision back. `name` is the beginning of its event's id; the rest as for an excision.

    Raises:
        NotFoundError: no such excision, or several.
        ExcisionError: not allowed, or without effect already.
        UsageError: no reason given.
    """
    found = [excision for excision in reader.excisions.stated if name and excision.event.startswith(name)]
    if len(found) != 1:
        what = f"{len(found)} excisions begin with {name!r}" if found else f"no excision {name!r}"
        raise NotFoundError(what, hint="`consilience log --kind result` lists them")
    excision = found[0]
    if not excision.in_force:
        how = f"was taken back by {excision.taken_back[:16]}" if excision.taken_back else excision.refused
        raise ExcisionError(f"excision {excision.event[:16]} has no effect: {how}", hint="there is nothing to do")
    target = next(event for event in reader.events if event.id == excision.target)
    if fault := taking_back_fault(excision, target.fields.author, author, authority_of(reader.events, reader.acts_for)):
        raise ExcisionError(f"excision {excision.event[:16]} cannot be taken back: {fault}", hint=_may(author))
    body = ExcisionWithdrawn(excision=excision.event, reason=_reason(reason))
    return Plan(body=body, preview=_preview(reader, body, target, author))


def carry_out(plan: Plan, session: Session) -> ExcisionReport:
    """Write the plan's event, durably."""
    event = session.append(plan.body)
    session.commit()
    return replace(plan.preview, event=event.id)


def _target(reader: StudyReader, name: str) -> Event:
    row = _row_of_number(reader, name)
    if row is not None:
        wanted = {row.started_event if _stands_alone(reader, row) else row.proposed_event}
    else:
        wanted = _by_prefix(reader, name)
    if len(wanted) != 1:
        what = f"{len(wanted)} events or candidates begin with {name!r}" if wanted else f"nothing is called {name!r}"
        raise NotFoundError(what, hint=_SEE)
    return next(event for event in reader.events if event.id in wanted)


def _row_of_number(reader: StudyReader, name: str) -> TrialRow | None:
    return next(iter(reader.trials.numbered(int(name))), None) if name.isdecimal() else None


def _stands_alone(reader: StudyReader, row: TrialRow) -> bool:
    return row.purpose in ASIDE or not reader.trials.candidates[row.proposed_event].parents


def _by_prefix(reader: StudyReader, name: str) -> set[str]:
    """Return the events that begin so, and the candidates; of a candidate's events those that stand, if any do."""
    if len(name) < _SHORTEST_PREFIX or is_number(name):
        return set()
    made = {event for event, body in reader.trials.candidates.items() if body.candidate.startswith(name)}
    made = {event for event in made if event not in reader.excisions.withdrawn} or made
    return made | {event.id for event in reader.events if event.id.startswith(name)}


def _words(reader: StudyReader, target: Event) -> str:
    """Name a result as people know it."""
    row = reader.trials.rows.get(getattr(target.body, "started", target.id))
    if row is not None:
        return f"trial {row.number} ({row.purpose})"
    about = target.id if target.id in reader.trials.candidates else getattr(target.body, "candidate", "")
    numbers = [row.number for row in reader.trials.rows.values() if row.proposed_event == about]
    if target.id in reader.trials.candidates:
        is_baseline = not reader.trials.candidates[target.id].parents
        what = "the baseline" if is_baseline else "the candidate"
        return f"{what} of trial {min(numbers)}" if numbers else f"{what} {target.body.candidate[:10]}"
    if numbers:
        return f"the verdict on the candidate of trial {min(numbers)}"
    return f"{target.fields.kind} {target.id[:16]}"


def _reason(text: str) -> str:
    reason = one_capped_line(text).strip()
    if not reason:
        raise UsageError("an excision needs a reason", hint='--reason "what was wrong with the result"')
    return reason


def _mend(target: Event, author: str) -> str:
    kind = BY_NAME.get(target.fields.kind)
    return _may(author) if kind is not None and kind.result else "name a trial, or a candidate: `consilience board`"


def _may(author: str) -> str:
    return f"you are {author}; `policy.excision_roles` names who may excise results of others"


def _preview(
    reader: StudyReader, body: ResultExcised | ExcisionWithdrawn, target: Event, author: str
) -> ExcisionReport:
    last = reader.events[-1].fields
    fields = replace(last, author=author, kind=kind_named(type(body)))
    after = reader.supposing(Event(id=PREVIEW, payload=b"", jws="", fields=fields, body=body))
    return ExcisionReport(
        event="",
        target=target.id,
        what=_words(reader, target),
        reason=body.reason,
        returns=isinstance(body, ExcisionWithdrawn),
        changed=_changed(reader.events, reader.excisions, after.excisions),
        before=reports.board(reader),
        after=reports.board(after),
        best_before=reports.best_trial(reader),
        best_after=reports.best_trial(after),
    )


def _changed(events: Iterable[Event], before: Excisions, after: Excisions) -> list[KindCount]:
    differing = before.withdrawn.keys() ^ after.withdrawn.keys()
    by_kind: dict[str, list[str]] = {}
    for event in events:
        if event.id in differing:
            by_kind.setdefault(event.fields.kind, []).append(event.id)
    return [KindCount(kind=kind, count=len(names), events=tuple(names)) for kind, names in by_kind.items()]
