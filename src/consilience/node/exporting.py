"""Exports: trials as CSV, Parquet or JSON Lines, autoresearch's results.tsv, PROV-JSON, and the audit pack.

Rules:
    1. One row for each trial, failures included, with the reason beside an empty score.
    2. The file appears whole or not at all.
    3. Text of candidates and others is untrusted here too: no cell of a table is a formula or acts on a terminal.

Data flow: StudyReader -> rows -> a file chosen by its name or suffix.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from consilience.core.bodies import RecordStatus
from consilience.core.errors import ConsilienceError, EnvironmentLacksError, UsageError
from consilience.core.untrusted import escape_controls, escape_formula, escape_json
from consilience.journal.views.trials import TrialRow
from consilience.node.durable import draft_of
from consilience.node.packing import write_pack
from consilience.node.provenance import prov_json
from consilience.node.reading import StudyReader
from consilience.problems.results_tsv import ResultRow, write_results

_KB_PER_GB = 1024 * 1024


def export(reader: StudyReader, destination: Path) -> int:
    """Write the trials to a file, or an audit pack to a folder, and return how many rows or events it has.

    Raises:
        UsageError: the suffix is none of those known, or a log that exists would be lost.
        EnvironmentLacksError: Parquet without pyarrow, PROV-JSON without prov.
        ConsilienceError: the file cannot be written.
    """
    if is_pack(destination):
        return write_pack(reader, destination)
    if destination.exists() and destination.suffix == ".tsv":
        raise UsageError(
            f"{destination} exists already", hint="autoresearch's own log is not written over: name another"
        )
    writer = _NAMED.get(destination.name) or _WRITERS.get(destination.suffix)
    if writer is None:
        ends = ", ".join(sorted(_WRITERS))
        hint = f"end it with one of {ends}, or name it {', '.join(_NAMED)} or audit-pack/"
        raise UsageError(f"cannot export to {destination.name!r}", hint=hint)
    data, rows = writer(reader)
    temporary = draft_of(destination)
    try:
        with temporary.open("xb") as file:
            file.write(data)
        temporary.replace(destination)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ConsilienceError(
            f"cannot write {destination}: {error.strerror or error}", hint="name a writable place"
        ) from error
    return rows


def is_pack(destination: Path) -> bool:
    """Tell whether an audit pack is meant: a folder, or the name of one."""
    return destination.is_dir() or destination.name == "audit-pack"


def trial_record(reader: StudyReader, row: TrialRow) -> dict[str, Any]:
    """Return one trial as a flat record: what CSV, Parquet and data frames show."""
    verdict = reader.trials.verdicts.get(row.proposed_event)
    return {
        "trial": row.number,
        "candidate": row.candidate,
        "operator": row.operator,
        "change": row.change,
        "purpose": row.purpose,
        "seed": row.seed,
        "status": row.status,
        "score": None if row.excised else row.metrics.get(reader.problem.objective.metric),
        "reason": row.failure.reason if row.failure else None,
        "message": row.failure.message if row.failure else None,
        "verdict": verdict.body.verdict if verdict else None,
        "wall_ms": row.resources.wall_ms,
        "cpu_ms": row.resources.cpu_ms,
        "memory_kb": row.resources.memory_kb,
        "isolation": row.isolation.level if row.isolation else None,
        "domain": row.isolation.domain if row.isolation else None,
        "execution": row.isolation.execution if row.isolation else None,
        "comparability_key": row.comparability_key,
        "environment": row.environment,
        "event": row.finished_event or row.started_event,
        **{f"metric.{name}": value for name, value in sorted(row.metrics.items())},
    }


def trial_records(reader: StudyReader) -> list[dict[str, Any]]:
    """Return every trial as a flat record with the same columns."""
    records = [trial_record(reader, row) for row in reader.trials.rows.values()]
    columns = list(dict.fromkeys(name for record in records for name in record))
    return [{name: record.get(name) for name in columns} for record in records]


def _csv(reader: StudyReader) -> tuple[bytes, int]:
    records = trial_records(reader)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([_cell(name) for name in records[0]] if records else ["trial"])
    writer.writerows([_cell(value) for value in record.values()] for record in records)
    return text.getvalue().encode(), len(records)


def _cell(value: Any) -> Any:
    """Return a value as a table may hold it; numbers stay numbers."""
    return escape_formula(escape_controls(value)) if isinstance(value, str) else value


def _jsonl(reader: StudyReader) -> tuple[bytes, int]:
    rows = list(reader.trials.rows.values())
    lines = (escape_json(msgspec.json.encode(row).decode()) + "\n" for row in rows)
    return "".join(lines).encode(), len(rows)


def _parquet(reader: StudyReader) -> tuple[bytes, int]:
    try:
        import pyarrow as pa  # noqa: PLC0415  an extra
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError as error:
        raise EnvironmentLacksError("Parquet needs pyarrow", hint="pip install 'consilience[data]'") from error
    records = trial_records(reader)
    sink = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(records), sink)
    return sink.getvalue(), len(records)


def _results_tsv(reader: StudyReader) -> tuple[bytes, int]:
    own = [_result_row(reader, row) for row in _first_trials(reader)]
    foreign = [
        ResultRow(
            commit=_cell(record.body.label),
            value=record.body.value,
            memory_gb=record.body.memory_gb,
            status=record.body.status,
            description=_cell(record.body.description),
        )
        for record in reader.trials.records.values()
    ]
    rows = [*foreign, *own]
    return write_results(rows, _cell(reader.problem.objective.metric)).encode(), len(rows)


def _first_trials(reader: StudyReader) -> list[TrialRow]:
    """Return each candidate's first finished trial: autoresearch knows one line for each experiment."""
    first: dict[str, TrialRow] = {}
    for row in reader.trials.rows.values():
        if row.finished_event:
            first.setdefault(row.proposed_event, row)
    return list(first.values())


def _result_row(reader: StudyReader, row: TrialRow) -> ResultRow:
    verdict = reader.trials.verdicts.get(row.proposed_event)
    promoted = verdict is not None and verdict.body.verdict == "promoted"
    kept = not row.excised and (row.operator == "baseline" or promoted)
    status: RecordStatus = "crash" if row.failure else ("keep" if kept else "discard")
    return ResultRow(
        commit=row.candidate[:7],
        value=None if row.failure else row.metrics[reader.problem.objective.metric],
        memory_gb=row.resources.memory_kb / _KB_PER_GB,
        status=status,
        description=_cell(row.change),
    )


_WRITERS: dict[str, Callable[[StudyReader], tuple[bytes, int]]] = {
    ".csv": _csv,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
    ".tsv": _results_tsv,
}
_NAMED: dict[str, Callable[[StudyReader], tuple[bytes, int]]] = {"prov.json": prov_json}
