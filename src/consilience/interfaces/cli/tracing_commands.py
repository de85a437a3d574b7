"""`why` and `excise`: the events behind a number, and taking results back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from msgspec import structs
from rich.console import Console
from rich.text import Text

from consilience.core.errors import EXIT_DONE, UsageError
from consilience.interfaces.cli import options
from consilience.interfaces.cli.output import emit
from consilience.interfaces.cli.showing import show_board
from consilience.interfaces.text import one_line
from consilience.node import reports
from consilience.node.excising import ExcisionReport, carry_out, plan_excision, plan_taking_back
from consilience.node.reading import StudyReader
from consilience.node.telling import Told
from consilience.node.upkeep import open_session, own_did, own_events
from consilience.node.why import WhyReport
from consilience.node.why import why as ask_why

_SHORT = 10
_MOST_LINES = 20  # of one group of spending; --json has all
_LONGEST_LINE = 400
_TOP = 5


@click.command()
@click.argument("name", metavar="TRIAL|METRIC|FIGURE")
@options.with_study
def why(name: str, folder: str, state: str, as_json: bool) -> int:  # noqa: FBT001  click's
    """Print the chain of events behind a number.

    TRIAL is a number, or the beginning of a candidate's or event's id. FIGURE is best, score, gain, baseline, noise
    or budget. A METRIC is that of the incumbent. --json has whole ids.
    """
    with options.open_reader(folder, state) as reader:
        report = ask_why(reader, name)
    emit(report, lambda console: _show_why(console, report), as_json=as_json)
    return EXIT_DONE


def _show_why(console: Console, report: WhyReport) -> None:
    console.print(one_line(report.answer, _LONGEST_LINE), soft_wrap=True)
    for told in report.tree:
        _show_told(console, told, 1)
    console.print(
        f"{len(report.events)} events. Read them: consilience log --json. Prove one: consilience prove ID",
        soft_wrap=True,
    )


def _show_told(console: Console, told: Told, depth: int) -> None:
    mark = f" [EXCISED by {told.excised[:_SHORT]}]" if told.excised else ""
    names = " ".join(name[:_SHORT] for name in told.events)
    line = f"{'  ' * depth}{one_line(told.text, _LONGEST_LINE)}{mark}"
    console.print(Text(f"{line}  <{names}>" if names else line), soft_wrap=True)
    shown = told.below[:_MOST_LINES] if told.kind == "trials" else told.below
    for below in shown:
        _show_told(console, below, depth + 1)
    if len(shown) < len(told.below):
        console.print(f"{'  ' * (depth + 1)}... and {len(told.below) - len(shown)} more (--json has all)")


@click.command()
@click.argument("name", metavar="EVENT", required=False)
@click.option("--reason", default="", help="Why; needed, and kept for ever.")
@click.option("--withdraw", "excision", default="", help="Take back the excision whose event's id begins so.")
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@click.option("--key", help="Key file.")
@options.with_study
def excise(name: str | None, folder: str, state: str, as_json: bool, **flags: Any) -> int:  # noqa: FBT001  click's
    """Withdraw a result and all that rests on it; nothing is deleted, and it can be taken back.

    EVENT is a trial's number or the beginning of a candidate's id, for the candidate with all that was built on it;
    or the beginning of an event's id, for that event. Of the baseline, a trial's number means that trial alone.
    """
    excision, reason = flags["excision"], flags["reason"]
    if bool(name) == bool(excision):
        raise UsageError("give either EVENT or --withdraw EXCISION", hint="see: consilience excise --help")
    loaded = options.load(folder, options.Layout())
    settings = options.resolve_settings(loaded, {"state": state or None, "key": flags["key"]})
    with options.open_reader(folder, state) as reader:
        author = own_did(settings, options.places(), options.passphrase())
        reader.suppose_carried(own_events(settings, options.places(), author) if author else ())
        prepare, what = (plan_taking_back, excision) if excision else (plan_excision, name or "")
        plan = prepare(reader, what, reason, author)
        read = structs.replace(loaded, problem=reader.problem)  # the event belongs where the result is
    report = plan.preview
    if not flags["dry_run"]:
        with open_session(read, settings, options.places(), options.passphrase()) as session:
            written = carry_out(plan, session)
        report = _afterwards(written, options.state_of(folder, state))
    emit(report, lambda console: _show_excision(console, report), as_json=as_json)
    return EXIT_DONE


def _afterwards(report: ExcisionReport, state: Path) -> ExcisionReport:
    """Return the report with the board as it is now."""
    with StudyReader.open(state, report.before.problem) as reader:
        return structs.replace(report, after=reports.board(reader), best_after=reports.best_trial(reader))


def _show_excision(console: Console, report: ExcisionReport) -> None:
    count = sum(changed.count for changed in report.changed)
    done = "come back" if report.returns else "withdrawn"
    would = done if report.event else f"would {'come back' if report.returns else 'be withdrawn'}"
    console.print(f"{report.what}: {one_line(report.reason, _LONGEST_LINE)}", soft_wrap=True)
    console.print(f"{count} events {would}:", soft_wrap=True)
    for changed in report.changed:
        console.print(f"  {changed.count:>5} {changed.kind}")
    console.print("\nthe board before:")
    show_board(console, report.before, _TOP)
    console.print(f"\nthe board {'after' if report.event else 'as it would be'}:")
    show_board(console, report.after, _TOP)
    console.print(f"\nbest: {_best(report.best_before)} -> {_best(report.best_after)}")
    if report.event and not report.returns:
        console.print(f"Take it back: consilience excise --withdraw {report.event[:16]} --reason WHY", soft_wrap=True)
    if not report.event:
        console.print("Nothing was written (--dry-run).")


def _best(trial: int | None) -> str:
    return "nothing" if trial is None else f"trial {trial}"
