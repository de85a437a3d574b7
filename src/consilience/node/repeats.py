"""Repeats in a journal: each re-run beside the trial that it repeats, judged by the noise floor.

Rules:
    1. A re-run repeats the first finished trial of the same candidate and seed that is no re-run itself.
    2. Nothing is stored: what a re-run shows follows from the journal each time.

Data flow: StudyReader -> noise floors, pairs of trials -> Repeat -> `rerun`, `show`.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from consilience.core.bodies import ASIDE
from consilience.core.errors import JournalError
from consilience.journal.views.trials import TrialRow
from consilience.node.reading import StudyReader
from consilience.search.noise import NoiseFloor, noise_floor
from consilience.search.repeating import Compared, compare
from consilience.trials.environment import EnvironmentDescription


class Repeat(Struct, frozen=True, kw_only=True):
    """A re-run and what it repeats.

    Attributes:
        trial, number: of the trial as recorded, and of its re-run.
        same: whether the re-run bears the record out.
        reason: where it does not, by how much, in words.
        before, after: failure's reason of each, "" for a score.
        metrics: each metric compared; empty where one of the two failed.
        environment: one line for each difference of environment.
        events: the `trial.finished` events of both.
    """

    trial: int
    number: int
    candidate: str
    seed: int
    same: bool
    reason: str
    before: str
    after: str
    metrics: list[Compared]
    environment: list[str]
    events: tuple[str, str]


def repeats(reader: StudyReader, proposed: str) -> list[Repeat]:
    """Return the finished re-runs of one candidate, in order."""
    rows = [row for row in reader.trials.of_candidate(proposed) if row.finished_event]
    originals: dict[int, TrialRow] = {}
    for row in sorted(rows, key=lambda row: bool(row.excised)):  # an excised one only where no other was run
        if row.purpose not in ASIDE:
            originals.setdefault(row.seed, row)
    reruns = [row for row in rows if row.purpose == "rerun" and row.seed in originals]
    return [_repeat(reader, originals[row.seed], row) for row in reruns]


def floors_of(reader: StudyReader, key: str) -> dict[str, NoiseFloor]:
    """Return the noise floor of each metric under a comparability key, from the baseline's runs.

    The objective's is the one that was measured for promotion; with a declared determinism, so are all others.
    """
    measured = list(reader.trials.noise.values())
    runs_of = (row for baseline in reader.trials.baselines for row in reader.trials.of_candidate(baseline))
    finished = {row.finished_event: row for row in runs_of if row.comparability_key == key}
    found = next((body for body in reversed(measured) if body.trials and body.trials[0] in finished), None)
    if found is None:
        return {}
    runs = [finished[name].metrics for name in found.trials if name in finished and not finished[name].failure]
    names = {name for metrics in runs for name in metrics}
    floors = {name: noise_floor(tuple(metrics[name] for metrics in runs if name in metrics)) for name in names}
    objective = NoiseFloor(
        mean=found.mean, deviation=found.deviation, degrees=found.degrees, deterministic=found.deterministic
    )
    return {**floors, reader.problem.objective.metric: objective}


def environment_of(reader: StudyReader, row: TrialRow) -> EnvironmentDescription | None:
    """Return the recorded environment of a trial; None where its description is not in the journal."""
    try:
        return msgspec.json.decode(reader.journal.blob(row.environment), type=EnvironmentDescription)
    except (JournalError, msgspec.DecodeError):
        return None


def environment_differences(before: EnvironmentDescription, after: EnvironmentDescription) -> list[str]:
    """Name what differs: ``numpy 2.4.5 then, 2.4.6 now``; plain fields first, then packages, then data files."""
    plain = ("implementation", "version", "system", "machine", "cpu_model", "cpu_level", "platform_class")
    lines = [_line(name.replace("_", " "), str(getattr(before, name)), str(getattr(after, name))) for name in plain]
    lines += _lines_of("package ", dict(map(_package, before.packages)), dict(map(_package, after.packages)))
    old, new = ({file.path: file.sha256[:12] for file in one.data} for one in (before, after))
    return [line for line in [*lines, *_lines_of("data file ", old, new)] if line]


def _repeat(reader: StudyReader, before: TrialRow, after: TrialRow) -> Repeat:
    floors = floors_of(reader, before.comparability_key)
    failed = before.failure is not None or after.failure is not None
    compared = [] if failed else compare(before.metrics, after.metrics, floors, reader.problem.objective.metric)
    old, new = (row.failure.reason if row.failure else "" for row in (before, after))
    reason = _failure_words(old, new) if failed else _metric_words(compared)
    return Repeat(
        trial=before.number,
        number=after.number,
        candidate=after.candidate,
        seed=after.seed,
        same=not reason,
        reason=reason,
        before=old,
        after=new,
        metrics=compared,
        environment=_differences(reader, before, after),
        events=(before.finished_event, after.finished_event),
    )


def _failure_words(old: str, new: str) -> str:
    return "" if old == new else f"it ended with {old or 'a score'} then, with {new or 'a score'} now"


def _metric_words(compared: list[Compared]) -> str:
    differing = [one for one in compared if one.agreement == "differs"]
    return "; ".join(_metric_line(one) for one in differing)


def _metric_line(one: Compared) -> str:
    if one.difference is None:
        return f"{one.metric} is there only {'now' if one.before is None else 'then'}"
    allowed = f"noise explains {one.allowed:.3g}" if one.allowed else "it has no noise"
    return f"{one.metric} differs by {one.difference:.6g}, and {allowed}"


def _differences(reader: StudyReader, before: TrialRow, after: TrialRow) -> list[str]:
    if before.environment == after.environment:
        return []
    old, new = environment_of(reader, before), environment_of(reader, after)
    if old is None or new is None:
        return ["the environment differs; its description is not in the journal"]
    return environment_differences(old, new)


def _package(text: str) -> tuple[str, str]:
    name, _, version = text.partition("==")
    return name, version


def _lines_of(what: str, old: dict[str, str], new: dict[str, str]) -> list[str]:
    return [_line(f"{what}{name}", old.get(name, "absent"), new.get(name, "absent")) for name in sorted({*old, *new})]


def _line(name: str, old: str, new: str) -> str:
    return "" if old == new else f"{name}: {old} then, {new} now"
