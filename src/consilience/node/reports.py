"""Reports: what `run`, `board`, `show` and `replay` tell, as plain data that faces print.

Rules:
    1. Every figure comes from a view, with the ids of the events behind it.
    2. Text of candidates is untrusted here too: faces escape it.

Data flow: StudyReader -> here -> interfaces.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence

from msgspec import Struct

from consilience.core.artifact import Artifact
from consilience.core.bodies import NoiseMeasured, RecordImported, StudyConfigured
from consilience.core.problem import problem_id
from consilience.journal.quarantine import Proof
from consilience.journal.views.leaderboard import BoardRow
from consilience.journal.views.trials import TrialRow, VerdictRow
from consilience.node.evidence import behind_summary, behind_trial, events_of, only
from consilience.node.reading import StudyReader
from consilience.node.repeats import Repeat, repeats
from consilience.search.member import Member


class ExcisedRow(Struct, frozen=True, kw_only=True):
    """A trial that was excised, by which event and why."""

    trial: int
    candidate: str
    operator: str
    excision: str
    reason: str
    events: tuple[str, ...]


class BoardReport(Struct, frozen=True, kw_only=True):
    """One ranking for each comparability key; candidates beyond the bound, foreign records and excised trials apart.

    `behind` has the ids of the events behind what the rows themselves do not name: by figure.
    `authors_in_quarantine` are proofs against authors whose later results are not in the rankings.
    """

    problem: str
    name: str
    metric: str
    unit: str
    direction: str
    rankings: dict[str, list[BoardRow]]
    quarantined: dict[str, list[BoardRow]]
    records: list[RecordImported]
    excised: list[ExcisedRow] = []
    behind: dict[str, tuple[str, ...]] = {}
    authors_in_quarantine: tuple[Proof, ...] = ()


class Summary(Struct, frozen=True, kw_only=True):
    """How a study stands. `gain` is the incumbent's mean over the baseline's, positive is better.

    `behind` has, by figure, the ids of the events that it follows from.
    """

    problem: str
    name: str
    metric: str
    unit: str
    direction: str
    baseline: float | None
    best: float | None
    best_trial: int | None
    best_candidate: str
    best_runs: int
    gain: float | None
    noise_floor: float | None
    deterministic: bool
    trials: int
    outcomes: dict[str, int]
    verdicts: dict[str, int]
    phase: str
    state: str
    message: str
    wall_ms: int
    cpu_ms: int
    events: int
    excised: int = 0
    behind: dict[str, tuple[str, ...]] = {}


class TrialReport(Struct, frozen=True, kw_only=True):
    """Everything about one candidate: its trials, hypothesis, verdict and line of parents (trial numbers).

    `excised` says why the trial was excised, and by which event; "" where it stands. `behind` as in a summary.
    """

    trial: TrialRow
    others: list[TrialRow]
    reason: str
    target: str
    novelty: float | None
    predicted: str
    verdict: VerdictRow | None
    line: list[int]
    log: str
    feedback: str
    behind: dict[str, tuple[str, ...]] = {}
    excised: str = ""
    repeats: list[Repeat] = []


def board(reader: StudyReader) -> BoardReport:
    """Return the rankings."""
    objective = reader.problem.objective
    return BoardReport(
        problem=problem_id(reader.problem),
        name=reader.problem.name,
        metric=objective.metric,
        unit=objective.unit,
        direction=objective.direction,
        rankings={key: reader.board.rows(key) for key in reader.board.keys()},  # noqa: SIM118  a method, not a dict
        quarantined={key: reader.board.quarantined(key) for key in reader.board.keys()},  # noqa: SIM118
        records=[record.body for record in reader.trials.records.values()],
        excised=_excised_rows(reader),
        behind={
            "records": tuple(reader.trials.records),
            **only(reader, "bound", NoiseMeasured, StudyConfigured),
        },
        authors_in_quarantine=reader.journal.proofs(reader.hive),
    )


def _excised_rows(reader: StudyReader) -> list[ExcisedRow]:
    if not reader.excisions.withdrawn:
        return []
    reasons = {excision.event: excision.reason for excision in reader.excisions.stated}
    return [
        ExcisedRow(
            trial=row.number,
            candidate=row.candidate,
            operator=row.operator,
            excision=row.excised,
            reason=reasons.get(row.excised, ""),
            events=events_of(row),
        )
        for row in reader.trials.rows.values()
        if row.excised
    ]


def best_trial(reader: StudyReader) -> int | None:
    """Return the number of the incumbent's first trial; None without one."""
    return _first_trial(reader, reader.search.incumbent)


def summary(reader: StudyReader) -> Summary:
    """Return how the study stands."""
    search, objective = reader.search, reader.problem.objective
    baseline, best = search.baseline, search.incumbent
    base_mean, best_mean = _mean(baseline), _mean(best)
    both = base_mean is not None and best_mean is not None
    verdicts = {name: count for name, count in reader.trials.judged.items() if count}
    end = reader.run_state.end
    return Summary(
        problem=problem_id(reader.problem),
        name=reader.problem.name,
        metric=objective.metric,
        unit=objective.unit,
        direction=objective.direction,
        baseline=base_mean,
        best=best_mean,
        best_trial=best_trial(reader),
        best_candidate=best.body.candidate if best else "",
        best_runs=len(best.scores) if best else 0,
        gain=objective.gain(best_mean, base_mean) if both and best_mean is not None and base_mean is not None else None,
        noise_floor=search.measured.deviation if search.measured else None,
        deterministic=search.noise.deterministic if search.noise else False,
        trials=reader.budget.spent.trials,
        outcomes=dict(sorted(reader.run_state.outcomes.items())),
        verdicts=dict(sorted(verdicts.items())),
        phase=search.governor.phase,
        state="running" if reader.run_state.open_run else (end.reason if end else "new"),
        message=end.message if end else "",
        wall_ms=reader.budget.spent.wall_ms,
        cpu_ms=reader.budget.spent.cpu_ms,
        events=reader.count,
        excised=len(reader.excisions.withdrawn),
        behind=behind_summary(reader),
    )


def trial(reader: StudyReader, name: str) -> TrialReport:
    """Return everything about the candidate of one trial.

    Raises:
        NotFoundError: no such trial.
    """
    row = reader.trial(name)
    candidate = reader.trials.candidates[row.proposed_event]
    hypothesis = candidate.hypothesis
    predicted = hypothesis.predicted
    rows = reader.trials.of_candidate(row.proposed_event)
    excision = reader.excisions.of(row.proposed_event) or reader.excisions.of(row.finished_event)
    line = [_trial_of(reader, proposed) for proposed in reader.lineage.line(row.proposed_event)]
    return TrialReport(
        trial=row,
        others=[other for other in rows if other.started_event != row.started_event],
        reason=hypothesis.reason,
        target=hypothesis.target,
        novelty=candidate.novelty,
        predicted=f"{predicted.score:.6g} ± {predicted.deviation:.2g}" if predicted else "",
        verdict=reader.trials.verdicts.get(row.proposed_event),
        line=[number for number in line if number is not None],
        log=reader.text(row.log),
        feedback=reader.text(row.feedback),
        behind=behind_trial(reader, row, rows),
        excised=f"{excision.reason} (by {excision.event[:16]})" if excision else "",
        repeats=repeats(reader, row.proposed_event),
    )


def diff(reader: StudyReader, name: str, *, against_baseline: bool) -> str:
    """Return the unified diff of a trial's candidate against its parent, or against the baseline.

    Raises:
        NotFoundError: no such trial.
    """
    older, newer = diff_events(reader, name, against_baseline=against_baseline)
    before, after = (reader.artifact(reader.trials.candidates[event].candidate) for event in (older, newer))
    return "".join(artifact_diff(before, after))


def diff_events(reader: StudyReader, name: str, *, against_baseline: bool) -> tuple[str, str]:
    """Return the events of the two candidates that `diff` compares.

    Raises:
        NotFoundError: no such trial.
    """
    proposed = reader.trial(name).proposed_event
    line = reader.lineage.line(proposed)
    return line[0] if against_baseline or len(line) == 1 else line[-2], proposed


def artifact_diff(before: Artifact, after: Artifact) -> list[str]:
    """Return the unified diff between two artifacts, parameters as ``name = value`` lines."""
    lines: list[str] = []
    for path in sorted({file.path for file in (*before.files, *after.files)}):
        lines += _file_diff(path, _lines(before, path), _lines(after, path))
    old, new = _parameter_lines(before), _parameter_lines(after)
    return [*lines, *_file_diff("parameters", old, new)]


def _file_diff(path: str, before: Sequence[str], after: Sequence[str]) -> list[str]:
    found = difflib.unified_diff(before, after, f"a/{path}", f"b/{path}")
    return [line if line.endswith("\n") else f"{line}\n" for line in found]


def _lines(artifact: Artifact, path: str) -> list[str]:
    return next((file.text.splitlines(keepends=True) for file in artifact.files if file.path == path), [])


def _parameter_lines(artifact: Artifact) -> list[str]:
    return [f"{name} = {value!r}\n" for name, value in sorted(artifact.parameters.items())]


def _mean(member: Member | None) -> float | None:
    if member is None or math.isnan(member.mean):
        return None
    return member.mean


def _first_trial(reader: StudyReader, member: Member | None) -> int | None:
    return _trial_of(reader, member.event) if member else None


def _trial_of(reader: StudyReader, proposed: str) -> int | None:
    return min((row.number for row in reader.trials.of_candidate(proposed)), default=None)
