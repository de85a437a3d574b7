"""autoresearch's `results.tsv`: one line for each experiment, read and written.

Columns: commit, the metric under its own name (such as val_bpb), memory_gb, status, description. Their files
write 0.000000 for the metric of a crash.

Rules:
    1. A crash has no value: it is None here, never 0.0.
    2. Values survive a round trip exactly; white space in descriptions becomes single spaces.
    3. A wrong line is a ProblemError that names its number.

Data flow: results.tsv <-> ResultRow <-> journal (import and export).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, get_args

from msgspec import Struct

from consilience.core.errors import ProblemError
from consilience.problems.faults import did_you_mean, one_of, show
from consilience.problems.files import read_text

Status = Literal["keep", "discard", "crash"]

_STATUSES: tuple[Status, ...] = get_args(Status)
_COLUMNS = ("commit", "METRIC", "memory_gb", "status", "description")


class ResultRow(Struct, frozen=True, kw_only=True):
    """One experiment. `value` is in the metric's unit, `memory_gb` the peak in GB; None is not known."""

    commit: str
    value: float | None
    memory_gb: float | None
    status: Status
    description: str


class ResultTable(Struct, frozen=True, kw_only=True):
    """A whole file: the metric that its header names, and its rows in order."""

    metric: str
    rows: tuple[ResultRow, ...]


def read_results(path: Path) -> tuple[ResultRow, ...]:
    """Read the rows of a file.

    Raises:
        ProblemError: it cannot be read, or a line is wrong.
    """
    return read_result_table(path).rows


def read_result_table(path: Path) -> ResultTable:
    """Read a file with the name of its metric.

    Raises:
        ProblemError: it cannot be read, or a line is wrong.
    """
    return parse_results(read_text(path, (path.name, "")), path.name)


def parse_results(text: str, file: str) -> ResultTable:
    """Parse the text of a file; `file` is its name in errors.

    Raises:
        ProblemError: the header or a line is wrong.
    """
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    metric = _metric(lines[0], file)
    rows = [_row(line, (file, f"line {number}")) for number, line in enumerate(lines[1:], start=2) if line.strip()]
    return ResultTable(metric=metric, rows=tuple(rows))


def _metric(header: str, file: str) -> str:
    cells = header.split("\t")
    wanted = [column in (cell, "METRIC") for cell, column in zip(cells, _COLUMNS, strict=False)]
    if len(cells) != len(_COLUMNS) or not all(wanted) or not cells[1].strip():
        hint = "the first line names the columns, separated by tabs"
        raise ProblemError(file, "line 1", found=show(header), expected=" ".join(_COLUMNS), hint=hint)
    return cells[1]


def _row(line: str, where: tuple[str, str]) -> ResultRow:
    cells = line.split("\t", maxsplit=len(_COLUMNS) - 1)
    if len(cells) != len(_COLUMNS):
        raise ProblemError(*where, found=f"{len(cells)} columns", expected=f"{len(_COLUMNS)}, separated by tabs")
    commit, value, memory, word, description = (cell.strip() for cell in cells)
    if not commit:
        raise ProblemError(*where, found="no commit", expected="a commit's id or a name")
    status = _status(word, where)
    if status == "crash":
        return ResultRow(commit=commit, value=None, memory_gb=None, status=status, description=description)
    return ResultRow(
        commit=commit,
        value=_number(value, "the metric", where),
        memory_gb=_number(memory, "memory_gb", where) if memory else None,
        status=status,
        description=description,
    )


def _status(word: str, where: tuple[str, str]) -> Status:
    for status in _STATUSES:
        if word == status:
            return status
    hint = did_you_mean(word, _STATUSES)
    raise ProblemError(*where, found=f"the status {word!r}", expected=one_of(_STATUSES), hint=hint)


def _number(text: str, name: str, where: tuple[str, str]) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ProblemError(*where, found=f"{text!r} for {name}", expected="a finite number")
    return value


def write_results(rows: Iterable[ResultRow], metric: str) -> str:
    """Return the text of a file, as autoresearch writes it."""
    lines = ["\t".join(("commit", metric, *_COLUMNS[2:]))]
    lines += [_line(row) for row in rows]
    return "\n".join(lines) + "\n"


def _line(row: ResultRow) -> str:
    crashed = row.status == "crash"
    value = "0.000000" if crashed or row.value is None else _exact(row.value, 6)
    memory = "0.0" if crashed else "" if row.memory_gb is None else _exact(row.memory_gb, 1)
    return "\t".join((row.commit, value, memory, row.status, " ".join(row.description.split())))


def _exact(value: float, digits: int) -> str:
    short = f"{value:.{digits}f}"
    return short if float(short) == value else repr(value)
