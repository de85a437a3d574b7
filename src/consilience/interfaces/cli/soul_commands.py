"""`soul`: an identity's own history, with the events behind everything that is shown."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click
from msgspec.structs import replace
from rich.console import Console
from rich.text import Text

from consilience.core.errors import EXIT_DONE, EXIT_VERIFICATION, NotFoundError
from consilience.interfaces.cli import options
from consilience.interfaces.cli.output import emit, table
from consilience.interfaces.text import number, one_line, signed
from consilience.journal.views.appraisal import Aftermath, Decision
from consilience.journal.views.beliefs import BeliefRow
from consilience.journal.views.soul import Soul
from consilience.node.places import UserPlaces
from consilience.node.reading import find_state
from consilience.node.soul_report import SoulReport, soul_report

_SHORT = 10
_MILLISECONDS = 1000


@click.command()
@click.argument("did", default="")
@click.option("--key", help="Key file whose identity is meant.")
@options.with_study
def soul(did: str, key: str | None, folder: str, state: str, as_json: bool) -> int:  # noqa: FBT001  click's
    """Show an identity's own history: genesis, keys, decisions with what became of them, beliefs.

    Reads the identity's own journal and, in a problem's folder or with -p, that study's. DID may be anybody whose
    events are in them, or the beginning of a DID; without it, the own identity is shown.
    """
    settings = options.resolve_settings(None, {"state": state or None, "key": key})
    report = soul_report(did, _places(settings.value("key")), _state(folder, settings.value("state")))
    emit(report, lambda console: _show(console, report), as_json=as_json)
    return EXIT_DONE if report.verified else EXIT_VERIFICATION


def _places(key: str) -> UserPlaces:
    places = options.places()
    return replace(places, key=Path(key).expanduser()) if key else places


def _state(folder: str, state: str) -> Path | None:
    """Return the study's state folder; None where there is no study here and none was asked for."""
    try:
        return find_state(Path(folder), state)
    except NotFoundError:
        if folder != "." or state:
            raise
        return None


def _show(console: Console, report: SoulReport) -> None:
    _show_identity(console, report.soul)
    for hive in [name for name in report.soul.hives if any(row.hive == name for row in report.soul.decisions)]:
        name = one_line(report.problems.get(hive, "a problem that is not here"))
        console.print(f"\ndecisions in {name} (hive {hive[:_SHORT]}), newest last:")
        for decision in report.soul.decisions:
            if decision.hive == hive:
                _show_decision(console, decision)
    if not report.soul.decisions:
        console.print("\nno decisions yet")
    if report.soul.beliefs:
        console.print("\nbeliefs:")
        for belief in report.soul.beliefs:
            _show_belief(console, belief)
    console.print()
    for journal in report.journals:
        text = f"NOT VERIFIED: {journal.fault}" if journal.fault else "every hash, signature and link holds"
        console.print(one_line(f"{journal.path}: {journal.events} events, {text}", 0), soft_wrap=True)


def _show_identity(console: Console, found: Soul) -> None:
    made = table("", "", "")
    made.show_header = False
    made.columns[1].overflow = "fold"
    made.add_row("identity", one_line(found.did, 0))
    genesis = found.genesis
    if genesis is None:
        made.add_row("genesis", "not in these journals")
    else:
        made.add_row("genesis", f"{genesis.body.origin} {_day(genesis.at)}, event {genesis.event[:_SHORT]}")
        made.add_row("lineage", one_line(", ".join(genesis.body.lineage), 0) or "none: a first key")
        made.add_row("ceiling", ", ".join(genesis.body.ceiling) or "nothing")
    made.add_row("controller", one_line(found.controller, 0) or "none")
    made.add_row("key", f"{one_line(found.key, 0)}{', the next one is promised' * bool(found.promise)}")
    for rotation in found.rotations:
        made.add_row("rotated", f"{_day(rotation.at)} to {one_line(rotation.key, 0)}, event {rotation.event[:_SHORT]}")
    for key in found.certified:
        state = f"revoked: {one_line(key.revoked)}" if key.revoked else f"may {', '.join(key.may) or 'nothing'}"
        named = f"{one_line(key.name, 40)} ({key.purpose}), {state}, event {key.events[-1][:_SHORT]}"
        made.add_row("certified", f"{named}\n{one_line(key.key, 0)}")
    if found.revoked:
        made.add_row("REVOKED", f"by event {found.revoked[:_SHORT]}")
    if found.quarantined:
        made.add_row("QUARANTINED", one_line(found.quarantined, 200))
    for event, reason in found.refused.items():
        made.add_row("refused", f"event {event[:_SHORT]}: {one_line(reason, 200)}")
    console.print(made)


def _show_decision(console: Console, row: Decision) -> None:
    mark = " (excised)" if row.excised else ""
    figures = [
        f"predicted {number(row.predicted.score)} ± {number(row.predicted.deviation)}" if row.predicted else "",
        f"observed {number(row.observed)}" if row.observed is not None else "",
        f"off by {signed(row.surprise)} deviations" if row.surprise is not None else "",
        f"gain {signed(row.figures['gain'])}" if "gain" in row.figures else "",
    ]
    line = f"  {row.event[:_SHORT]} {_day(row.at)} {row.name}{mark}: {', '.join(filter(None, figures))}".rstrip(": ")
    console.print(Text(line), soft_wrap=True)
    for reason in row.reasons:
        console.print(Text(f"      {one_line(reason, 160)}"), soft_wrap=True)
    for after in row.aftermath:
        console.print(Text(f"      {_after(after)}"), soft_wrap=True)


def _after(after: Aftermath) -> str:
    shown = [
        f"{name} {number(after.figures[name])}"
        for name in ("before", "after", "score", "gain")
        if name in after.figures
    ]
    words = ", ".join([*shown, *([one_line(after.text, 120)] if after.text else [])])
    return f"then {after.what}: {words} (event {after.event[:_SHORT]})"


def _show_belief(console: Console, row: BeliefRow) -> None:
    faded = f"{row.weight_for:.2f} for, {row.weight_against:.2f} against by now"
    counted = f"{len(row.supports)} for, {len(row.contradicts)} against ({faded}), {row.age} events ago"
    line = f"  {row.type} {row.strength:.2f}: evidence {counted}; evaluator {row.subject[:_SHORT]}, "
    console.print(Text(f"{line}event {row.events[-1][:_SHORT]}"), soft_wrap=True)


def _day(at: int) -> str:
    return datetime.fromtimestamp(at / _MILLISECONDS, UTC).strftime("%Y-%m-%d %H:%M")
