"""Why: the chain of events behind a number that was shown, as a tree that people can read.

Rules:
    1. The chain is `journal.causes`'; here it is only grouped and put into words: first what everything was made
       under, then each candidate with its trials and verdict, from the baseline on.
    2. Each line names its events; what was excised says so.
    3. What cannot be asked is refused with what can.

Data flow: StudyReader + a trial, metric or figure -> ids -> `causal_chain` -> WhyReport.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from msgspec import Struct

from consilience.core.bodies import ASIDE, NoiseMeasured
from consilience.core.errors import NotFoundError, UsageError
from consilience.journal.causes import causal_chain
from consilience.journal.views.trials import TrialRow
from consilience.node.evidence import behind_spending, events_of
from consilience.node.reading import StudyReader
from consilience.node.telling import Told, tell, tell_spending
from consilience.search.member import Member
from consilience.search.noise import moments

_NOT_YET = {
    "balance": "there is no ledger yet, so nobody has a balance",
    "mode": "there is no homeostasis yet, so there is no mode",
    "reputation": "there are no audits yet, so there is no reputation",
}


class WhyReport(Struct, frozen=True, kw_only=True):
    """Why a number is what it is.

    Attributes:
        asked: what was asked.
        answer: the number in words.
        value: the number; None where there is none.
        events: the whole chain, in canonical order.
        tree: the same, grouped and in words.
    """

    asked: str
    answer: str
    value: float | None
    events: tuple[str, ...]
    tree: list[Told]


class _Answer(NamedTuple):
    words: str
    value: float | None
    targets: tuple[str, ...]


def why(reader: StudyReader, name: str) -> WhyReport:
    """Return the chain behind a trial, a metric or a figure.

    Args:
        reader: the study.
        name: trial number, the beginning of a candidate's or event's id, a metric, or one of `best`, `score`, `gain`,
            `baseline`, `noise`, `budget`.

    Raises:
        UsageError: it cannot be asked.
        NotFoundError: there is no such number yet.
    """
    if name.lower() in _NOT_YET:
        raise UsageError(_NOT_YET[name.lower()], hint=f"ask for {_askable(reader)}")
    if name.lower() == "budget":
        return _spending(reader, name)
    answer = _answer(reader, name)
    chain = causal_chain(reader.events, answer.targets)
    ids = tuple(event.id for event in chain)
    return WhyReport(asked=name, answer=answer.words, value=answer.value, events=ids, tree=tell(reader, chain))


def _answer(reader: StudyReader, name: str) -> _Answer:
    figures: dict[str, Callable[[StudyReader], _Answer]] = {
        "best": _best, "score": _best, "gain": _gain, "baseline": _baseline, "noise": _noise,
    }  # fmt: skip
    if name == reader.problem.objective.metric:
        return _best(reader)
    if name.lower() in figures:
        return figures[name.lower()](reader)
    return _metric(reader, name) or _event(reader, name) or _trial(reader, name)


def _best(reader: StudyReader) -> _Answer:
    member = _required(reader.search.incumbent)
    where = "the incumbent" if member is not reader.search.baseline else "the baseline, for nothing has beaten it"
    return _mean_of(reader, member, f"{where}, candidate {member.body.candidate[:10]}")


def _baseline(reader: StudyReader) -> _Answer:
    return _mean_of(reader, _required(reader.search.baseline), "the baseline")


def _gain(reader: StudyReader) -> _Answer:
    best, baseline = _required(reader.search.incumbent), _required(reader.search.baseline)
    gain = reader.problem.objective.gain(best.mean, baseline.mean)
    return _Answer(f"{gain:+.6g}: the incumbent's mean over the baseline's", gain, (best.event, baseline.event))


def _mean_of(reader: StudyReader, member: Member, whose: str) -> _Answer:
    objective = reader.problem.objective
    unit = f" {objective.unit}" if objective.unit else ""
    runs = f"mean of {len(member.scores)} run{'s' * (len(member.scores) != 1)}"
    return _Answer(f"{objective.metric} {member.mean:.6g}{unit}: {runs} of {whose}", member.mean, (member.event,))


def _noise(reader: StudyReader) -> _Answer:
    withdrawn = reader.excisions.withdrawn
    measured = [e for e in reader.events if isinstance(e.body, NoiseMeasured) and e.id not in withdrawn]
    if not measured:
        raise NotFoundError("the noise floor has not been measured", hint="`consilience run` measures it first")
    body: NoiseMeasured = measured[-1].body
    how = "the baseline always got the same score" if body.deterministic else f"{body.degrees} degrees of freedom"
    words = f"noise floor {body.deviation:.6g}: the spread of the baseline over its seeds, {how}"
    return _Answer(words, body.deviation, (measured[-1].id,))


def _metric(reader: StudyReader, name: str) -> _Answer | None:
    """Return the incumbent's mean of another metric, None where it has none of this name."""
    member = reader.search.incumbent
    if member is None:
        return None
    values = [row.metrics[name] for row in _scored(reader, member) if name in row.metrics]
    if not values:
        return None
    mean = moments(tuple(values))[0]
    return _Answer(f"{name} {mean:.6g}: mean of {len(values)} run(s) of the incumbent", mean, (member.event,))


def _scored(reader: StudyReader, member: Member) -> list[TrialRow]:
    rows = reader.trials.of_candidate(member.event)
    return [row for row in rows if row.status == "ok" and row.purpose not in ASIDE]


def _event(reader: StudyReader, name: str) -> _Answer | None:
    """Return the event whose id begins so, where it is none of a trial's."""
    found = [event for event in reader.events if event.id.startswith(name)] if not name.isdecimal() else []
    if len(found) != 1 or any(found[0].id in events_of(row) for row in reader.trials.rows.values()):
        return None
    return _Answer(f"event {found[0].id[:16]}, {found[0].fields.kind}", None, (found[0].id,))


def _trial(reader: StudyReader, name: str) -> _Answer:
    try:
        row = reader.trial(name)
    except NotFoundError as error:
        raise NotFoundError(error.message, hint=f"ask for {_askable(reader)}") from error
    score = row.metrics.get(reader.problem.objective.metric)
    shown = row.status if score is None else f"{reader.problem.objective.metric} {score:.6g} ({row.status})"
    return _Answer(f"trial {row.number}: {shown}", score, events_of(row))


def _spending(reader: StudyReader, name: str) -> WhyReport:
    budget = reader.budget
    total = "without limit" if budget.total.trials is None else f"of {budget.total.trials}"
    words = f"{budget.committed.trials} trials {total}, {budget.spent.wall_ms} ms of time, {budget.spent.cpu_ms} ms CPU"
    ids = behind_spending(reader)
    value = float(budget.committed.trials)
    return WhyReport(asked=name, answer=words, value=value, events=ids, tree=tell_spending(reader))


def _required(member: Member | None) -> Member:
    if member is None or not member.scores:
        raise NotFoundError("nothing has been measured yet", hint="`consilience run` first")
    return member


def _askable(reader: StudyReader) -> str:
    metrics = dict.fromkeys(name for row in reader.trials.rows.values() for name in row.metrics)
    names = ", ".join(list(metrics)[:5]) or reader.problem.objective.metric
    return f"a trial's number, an id, best, score, gain, baseline, noise, budget, or a metric ({names})"
