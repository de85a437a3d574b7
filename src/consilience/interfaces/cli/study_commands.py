"""`board`, `show`, `diff`, `apply`, `export`, `replay`: looking at a study and taking results home."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click
import msgspec
from rich.console import Console

from consilience.core.bodies import ArtifactApplied
from consilience.core.errors import EXIT_DONE, EXIT_VERIFICATION
from consilience.core.untrusted import escape_json
from consilience.interfaces.cli import options
from consilience.interfaces.cli.output import emit
from consilience.interfaces.cli.showing import show_board, show_diff, show_summary, show_trial
from consilience.interfaces.text import one_line
from consilience.node import reports
from consilience.node.applying import Applied
from consilience.node.applying import apply as apply_candidate
from consilience.node.exchanging import JOURNAL_LINES, export_journal
from consilience.node.exporting import export as export_trials
from consilience.node.jws_export import export_jws
from consilience.node.packing import write_pack
from consilience.node.upkeep import open_session


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
@click.option("--jws", is_flag=True, help="TRIAL is the beginning of any event's id: print it as a complete JWS.")
@options.with_study
def show(trial: str, jws: bool, folder: str, state: str, as_json: bool) -> int:  # noqa: FBT001  click's
    """Show everything about TRIAL (its number, or the beginning of a candidate's or event's id)."""
    with options.open_reader(folder, state) as reader:
        if jws:
            made = export_jws(reader.journal.event(trial))
            shown = msgspec.json.encode(made).decode()
            emit(made, lambda console: console.print(escape_json(shown), soft_wrap=True), as_json=as_json)
            return EXIT_DONE
        report = reports.trial(reader, trial)
    emit(report, lambda console: show_trial(console, report), as_json=as_json)
    return EXIT_DONE


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
@click.argument("destination")
@click.option(
    "--what",
    type=click.Choice(["trials", "journal"]),
    help="Trials as rows, or the journal's signed events; by default the journal for a file named journal.jsonl.",
)
@options.with_study
def export(destination: str, what: Literal["trials", "journal"] | None, folder: str, state: str, as_json: bool) -> int:  # noqa: FBT001  click's
    """Write the study to DESTINATION.

    The trials: .csv, .jsonl, .parquet, or .tsv in autoresearch's form. The journal itself: journal.jsonl. Where results
    come from: prov.json. All that a third party needs to check it offline: audit-pack/, or any other name that ends
    with a slash.
    """
    path = Path(destination)
    if (what or ("journal" if path.name == JOURNAL_LINES else "trials")) == "journal":
        written = export_journal(options.state_of(folder, state), path)
        text = one_line(f"{written.events} events and {written.blobs} blobs in {path}", 0)
        emit(written, lambda console: console.print(text), as_json=as_json)
        return EXIT_DONE
    with options.open_reader(folder, state) as reader:
        rows = write_pack(reader, path) if destination.endswith("/") else export_trials(reader, path)
    rows_are = "events" if path.is_dir() else "records"
    data = {"file": str(path), "rows": rows}
    emit(data, lambda console: console.print(one_line(f"{rows} {rows_are} in {path}", 0)), as_json=as_json)
    return EXIT_DONE


@click.command()
@click.option(
    "--to", "position", type=click.IntRange(min=0), help="Fold up to this local position; everything by default."
)
@options.with_study
def replay(position: int | None, folder: str, state: str, as_json: bool) -> int:  # noqa: FBT001  click's
    """Fold the journal again from event 0 and show the state it leads to.

    Where a snapshot of the views is kept, it is compared: exit code 3 when it shows anything else.
    """
    with options.open_reader(folder, state, position, replay=True) as reader:
        found, ranking = reports.summary(reader), reports.board(reader)
        count = reader.count
        fault = reader.kept_fault() if position is None else ""

    def show_state(console: Console) -> None:
        console.print(f"state after {count} events from event 0:")
        show_summary(console, found, "")
        show_board(console, ranking, 5)
        if fault:
            console.print(f"NOT THE SAME: {one_line(fault, 0)}; `consilience compact` removes it", soft_wrap=True)

    emit({"summary": found, "board": ranking, "snapshot_fault": fault}, show_state, as_json=as_json)
    return EXIT_VERIFICATION if fault else EXIT_DONE
