"""`attack`: the whole attack suite against this machine's sandbox and evaluator."""

from __future__ import annotations

import re
from typing import Any

import click
from rich.console import Console

from consilience.core.errors import EXIT_DONE, EXIT_VERIFICATION, UsageError
from consilience.interfaces.cli import options
from consilience.interfaces.cli.output import emit, note, table, warn
from consilience.interfaces.text import number, one_line, printable
from consilience.node.attacking import AttackReport
from consilience.node.attacking import attack as try_attacks
from consilience.trials.attacks.model import Row, Verdict

_LEVELS = ("strong", "restricted")


@click.command()
@click.option("--only", default="", help="Numbers of attacks, such as 5,26.")
@click.option(
    "--execution",
    type=click.Choice(["both", "fresh", "fork"]),
    default="both",
    show_default=True,
    help="How candidates are started.",
)
@click.option(
    "--minimum-isolation",
    "minimum",
    type=click.Choice(_LEVELS),
    default="strong",
    show_default=True,
    help="The level that must be proved first.",
)
@options.with_json
def attack(only: str, execution: Any, minimum: Any, as_json: bool) -> int:  # noqa: FBT001  click's
    """Try every attack of the catalogue on this machine's sandbox and evaluator.

    Each is a small candidate that cheats: against the split evaluator, and beside it against an evaluator that
    imports the candidate. Exit code 3 if one gets through the split evaluator, or if an honest candidate beside it
    does not score exactly what it should.
    """
    report = try_attacks(_numbers(only), execution, minimum, options.places(), printable, _see)
    if report.lacks:
        warn(f"attacked fresh processes only: {report.lacks}")
    data = {
        "level": report.level,
        "executions": report.executions,
        "attacks": len(report.rows),
        "through": report.through,
        "through_in_process": report.through_in_process,
        "rows": report.rows,
    }
    emit(data, lambda console: _show(console, report), as_json=as_json)
    return EXIT_VERIFICATION if report.through else EXIT_DONE


def _numbers(text: str) -> list[int]:
    """Read the numbers.

    Raises:
        UsageError: something else was given.
    """
    if not re.fullmatch(r"(\s*\d+\s*(,\s*\d+\s*)*)?", text):
        raise UsageError(f"--only {text!r}: not a list of numbers", hint="give numbers such as --only 5,26")
    return [int(word) for word in text.split(",") if word.strip()]


def _see(row: Row) -> None:
    if not row.held:
        note(f"attack {row.number} ({row.name}) got through")


def _show(console: Console, report: AttackReport) -> None:
    made = table("", "#>", "attack", *(f"split, {way}" for way in report.executions), "in-process", "detail")
    for row in report.rows:
        ends = {verdict.execution: "held" if verdict.held else "THROUGH" for verdict in row.split}
        cells = [ends.get(way, "-") for way in report.executions]
        beside = "-" if row.in_process is None else "held" if row.in_process.held else "through"
        made.add_row(str(row.number), row.name, *cells, beside, _detail(row))
    console.print(made)
    total = len(report.rows)
    console.print(
        f"{report.through} of {total} attacks got through the split evaluator at level {report.level}; "
        f"{report.through_in_process} of {total} through an evaluator that imports the candidate"
    )


def _detail(row: Row) -> str:
    """Say what got through, or what became of the attack's trial."""
    broken = [finding.what for verdict in row.split for finding in verdict.findings]
    if broken:
        return one_line("; ".join(dict.fromkeys(broken)), 160)
    return one_line(", ".join(dict.fromkeys(_end(verdict) for verdict in row.split)), 160)


def _end(verdict: Verdict) -> str:
    return verdict.failure or f"scored {number(verdict.score)}"
