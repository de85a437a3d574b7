"""`board`, `show`, `log`, `diff`, `apply`, `export`, `replay`: looking at a study and taking results home."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.text import Text

from consilience.core.bodies import ArtifactApplied
from consilience.core.errors import EXIT_DONE
from consilience.core.events import Event
from consilience.interfaces.cli import options
from consilience.interfaces.cli.output import emit
from consilience.interfaces.cli.showing import show_board, show_diff, show_summary, show_trial
from consilience.interfaces.text import one_line
from consilience.journal.excision import Excisions
from consilience.node import reports
from consilience.node.applying import Applied
from consilience.node.applying import apply as apply_candidate
from consilience.node.exporting import export as export_trials
from consilience.node.upkeep import open_session

_MILLISECONDS = 1000
_BODY, _LEAST_BODY, _BEFORE_BODY = 110, 20, 58  # columns of the body of an event, and of what stands before it


@click.command()
@click.option("--top", type=click.IntRange(min=1), default=15, show_default=True, help="Rows to show.")
@options.with_study
def board(top: int, folder: str, state: str, as_json: bool) -> int:  # noqa: FBT001  click's
    """Rank the candidates; never across comparability keys."""
    with options.open_reader(folder, state) as reader:
        report = reports.board(reader)
    emit(report, lambda console: show_board(console, report, top), as_json=as_json)
    return EXIT_DONE


@click.command()
@click.argument("trial")
@options.with_study
def show(trial: str, folder: str, state: str, as_json: bool) -> int:  # noqa: FBT001  click's
    """Show everything about TRIAL (its number, or the beginning of a candidate's or event's id)."""
    with options.open_reader(folder, state) as reader:
        report = reports.trial(reader, trial)
    emit(report, lambda console: show_trial(console, report), as_json=as_json)
    return EXIT_DONE


@click.command()
@click.option("--kind", default="", help="Only kinds that begin so, such as trial.")
@click.option("--since", type=click.IntRange(min=0), default=0, help="Only from this place in the fold on.")
@click.option("--tail", type=click.IntRange(min=1), help="Only the last N.")
@options.with_study
def log(kind: str, since: int, tail: int | None, folder: str, state: str, as_json: bool) -> int:  # noqa: FBT001  click's
    """Print the events, oldest first."""
    with options.open_reader(folder, state) as reader:
        numbered = list(enumerate(reader.events))[since:]
        excisions = reader.excisions
    chosen = [(place, event) for place, event in numbered if event.fields.kind.startswith(kind)]
    chosen = chosen[-tail:] if tail else chosen
    data = [_event_data(place, event, excisions) for place, event in chosen] if as_json else []
    emit(data, lambda console: _show_events(console, chosen, excisions), as_json=as_json)
    return EXIT_DONE


def _event_data(place: int, event: Event, excisions: Excisions) -> dict[str, Any]:
    excised, stated = excisions.of(event.id), excisions.named(event.id)
    marks: dict[str, Any] = {"excised": {"by": excised.event, "reason": excised.reason}} if excised else {}
    if stated is not None:
        marks = {"excision": {"in_force": stated.in_force, "refused": stated.refused, "taken_back": stated.taken_back}}
    return {"place": place, "id": event.id, "jws": event.jws, **msgspec.to_builtins(event.fields), **marks}


def _mark(event: Event, excisions: Excisions) -> str:
    """Say what excision has to do with an event."""
    excised, stated = excisions.of(event.id), excisions.named(event.id)
    if excised is not None:
        return f"[EXCISED by {excised.event[:10]}: {one_line(excised.reason, 40)}] "
    if stated is not None and not stated.in_force:
        return f"[NO EFFECT: {one_line(stated.refused or 'taken back', 120)}] "
    return ""


def _show_events(console: Console, events: list[tuple[int, Event]], excisions: Excisions) -> None:
    room = min(_BODY, max(console.width - _BEFORE_BODY, _LEAST_BODY))  # one event, one line; --json has all of it
    for place, event in events:
        at = datetime.fromtimestamp(event.fields.at / _MILLISECONDS, UTC).strftime("%Y-%m-%d %H:%M:%S")
        body = one_line(msgspec.json.encode(event.fields.body).decode(), room)
        kind = f"{one_line(event.fields.kind, 40):<18} {_mark(event, excisions)}"
        console.print(Text(f"{place:>6} {event.id[:10]} {at} {kind}{body}"), soft_wrap=True)


@click.command()
@click.argument("trial")
@click.option("--baseline", is_flag=True, help="Against the baseline instead of the parent.")
@options.with_study
def diff(trial: str, baseline: bool, folder: str, state: str, as_json: bool) -> int:  # noqa: FBT001  click's
    """Show what TRIAL's candidate changed."""
    with options.open_reader(folder, state) as reader:
        text = reports.diff(reader, trial, against_baseline=baseline)
        events = reports.diff_events(reader, trial, against_baseline=baseline)
    emit({"diff": text, "events": events}, lambda console: show_diff(console, text), as_json=as_json)
    return EXIT_DONE


@click.command()
@click.argument("trial", required=False)
@click.option("--branch", default="", help="Commit to this new branch instead of the working tree.")
@options.with_study
def apply(trial: str | None, branch: str, folder: str, state: str, as_json: bool) -> int:  # noqa: FBT001  click's
    """Take the best candidate, or TRIAL's, home: into the working tree or a new branch."""
    loaded = options.load(folder, options.Layout())
    with options.open_reader(folder, state) as reader:
        row = reader.trial(trial) if trial else reader.incumbent()
        applied = apply_candidate(reader, loaded.root, row, branch)
    settings = options.resolve_settings(loaded, {"state": state or None})
    read = msgspec.structs.replace(loaded, problem=reader.problem)  # the event belongs where the result is
    with open_session(read, settings, options.places(), options.passphrase()) as session:
        session.append(ArtifactApplied(proposed=applied.proposed, target=applied.target, commit=applied.commit))
        session.commit()
    emit(applied, lambda console: console.print(_applied(applied)), as_json=as_json)
    return EXIT_DONE


def _applied(applied: Applied) -> str:
    where = f"branch {one_line(applied.target)} ({applied.commit[:10]})" if applied.commit else "the working tree"
    return f"trial {applied.trial} is in {where}: {one_line(', '.join(applied.files), 0)}"


@click.command()
@click.argument("destination", type=click.Path(path_type=Path))
@options.with_study
def export(destination: Path, folder: str, state: str, as_json: bool) -> int:  # noqa: FBT001  click's
    """Write the trials to DESTINATION: .csv, .jsonl, .parquet, or .tsv in autoresearch's form."""
    with options.open_reader(folder, state) as reader:
        rows = export_trials(reader, destination)
    data = {"file": str(destination), "rows": rows}
    emit(data, lambda console: console.print(one_line(f"{rows} rows in {destination}", 0)), as_json=as_json)
    return EXIT_DONE


@click.command()
@click.option(
    "--to", "position", type=click.IntRange(min=0), help="Fold up to this local position; everything by default."
)
@options.with_study
def replay(position: int | None, folder: str, state: str, as_json: bool) -> int:  # noqa: FBT001  click's
    """Fold the journal again from event 0 and show the state it leads to."""
    with options.open_reader(folder, state, position, replay=True) as reader:
        found, ranking = reports.summary(reader), reports.board(reader)
        count = reader.count

    def show_state(console: Console) -> None:
        console.print(f"state after {count} events from event 0:")
        show_summary(console, found, "")
        show_board(console, ranking, 5)

    emit({"summary": found, "board": ranking}, show_state, as_json=as_json)
    return EXIT_DONE
