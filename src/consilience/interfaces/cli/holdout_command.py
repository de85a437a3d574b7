"""`trial holdout`: one counted question to the holdout."""

from __future__ import annotations

from typing import Any

import click
from rich.console import Console

from consilience.core.errors import EXIT_DONE, EXIT_FAILED
from consilience.interfaces.cli import options
from consilience.interfaces.cli.output import emit, table
from consilience.interfaces.text import held, number, one_line
from consilience.node.holdout import HoldoutReport, ask_holdout


@click.command(name="holdout")
@click.argument("trial_name", metavar="TRIAL")
@click.option("--unsafe-no-sandbox", "unsafe", is_flag=True, help="Without a sandbox.")
@options.with_layout
@options.with_study
def holdout(trial_name: str, folder: str, state: str, as_json: bool, **flags: Any) -> int:  # noqa: FBT001  click's
    """Ask the holdout about the candidate of TRIAL; each question counts, and past the policy's number is refused.

    TRIAL is its number, or the beginning of its candidate's or event's id. The question is journalled and moves no
    score. Exit code 1: it was refused, or the candidate failed on the holdout (which counts too).
    """
    unsafe = flags.pop("unsafe")
    loaded = options.load(folder, options.take_layout(flags))
    settings = options.resolve_settings(loaded, {"state": state or None})
    passphrase = options.passphrase()
    report = ask_holdout(loaded, settings, options.places(), trial_name, unsafe=unsafe, passphrase=passphrase)
    emit(report, lambda console: _show(console, report), as_json=as_json)
    return EXIT_FAILED if report.failure else EXIT_DONE


def _show(console: Console, report: HoldoutReport) -> None:
    made = table("", "", "")
    made.show_header = False
    made.add_row("candidate", f"{report.candidate[:16]} of trial {report.asked}")
    if report.failure:
        made.add_row("failed", f"{report.failure.reason}: {one_line(report.failure.message, 160)}")
    made.add_row(f"{one_line(report.metric, 40)} on the holdout", number(report.score))
    made.add_row("in the search", number(report.development))
    for name, value in sorted(report.metrics.items()):
        if name != report.metric:
            made.add_row(f"  {one_line(name, 40)}", number(value))
    made.add_row("questions", f"{report.used} asked, {report.left} left")
    made.add_row("trial", f"{report.trial}, {held(report.isolation)}")
    console.print(made)
