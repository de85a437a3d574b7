"""`verify`, `import`, `cancel`, `backup`, `gc`, `compact`, `anew`: care of the journal."""

from __future__ import annotations

from pathlib import Path

import click

from consilience.core.errors import EXIT_DONE, EXIT_VERIFICATION, ProblemError
from consilience.core.ports import LoadedProblem
from consilience.core.problem import Direction
from consilience.interfaces.cli import options
from consilience.interfaces.cli.output import emit, warn
from consilience.interfaces.text import counts, one_line, printable, quarantine_lines
from consilience.node import compacting, exchanging, upkeep
from consilience.node.places import state_folder


@click.command()
@click.option("--jobs", default=1, type=click.IntRange(min=1), help="Processes that share the work.")
@options.with_study
def verify(jobs: int, folder: str, state: str, as_json: bool) -> int:  # noqa: FBT001  click's
    """Check every hash, signature, link and blob; name the first bad event (exit code 3)."""
    report = upkeep.verify(_place_of(folder, state), options.places(), jobs)
    feeds = f"{report.feeds} feed{'s' * (report.feeds != 1)}"
    holds = f"{report.events} events in {feeds}, {report.blobs} blobs: every hash, signature and link holds"
    holds += f"; {report.erased} texts were erased, each by a tombstone of who may" if report.erased else ""
    text = f"NOT VERIFIED: {printable(str(report.fault))}" if report.fault else holds
    authors = f"signed by {', '.join(report.authors)}" if report.authors else ""
    lines = "\n".join(line for line in (text, authors, *quarantine_lines(report.quarantined)) if line)
    emit(report, lambda console: console.print(lines, soft_wrap=True), as_json=as_json)
    return EXIT_VERIFICATION if report.fault else EXIT_DONE


@click.command(name="import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--direction", type=click.Choice(["maximize", "minimize"]), help="Which way the metric is better.")
@options.with_study
def import_(file: Path, direction: Direction | None, folder: str, state: str, as_json: bool) -> int:  # noqa: FBT001  click's
    """Take in another's journal (.jsonl or .db), or an autoresearch results.tsv as foreign records.

    A journal is checked event by event and taken in whole or not at all. Foreign records are shown, never ranked.
    """
    if exchanging.is_journal(file):
        return _import_journal(file, folder, state, as_json=as_json)
    upkeep.check_results(file)  # before a study is begun for it: a file that is no log leaves nothing behind
    loaded = _problem_for(file, Path(folder), direction)
    settings = options.resolve_settings(loaded, {"state": state or None})
    with upkeep.open_session(loaded, settings, options.places(), options.passphrase()) as session:
        imported = upkeep.import_results(session, file)
    verb = "already there" if imported.known else "imported"
    text = f"{imported.rows} rows of {one_line(imported.metric)} {verb}: {counts(imported.statuses)}"
    emit(imported, lambda console: console.print(text), as_json=as_json)
    return EXIT_DONE


def _import_journal(file: Path, folder: str, state: str, *, as_json: bool) -> int:
    stated = options.resolve_settings(None, {"state": state or None}).value("state")
    taken = exchanging.import_journal(state_folder(Path(folder), stated), file)
    text = f"{taken.new} of {taken.events} events were new, {taken.blobs} blobs with them: every one holds"
    lines = "\n".join([text, *quarantine_lines(taken.quarantined)])
    emit(taken, lambda console: console.print(lines, soft_wrap=True), as_json=as_json)
    for hive in taken.beside:
        warn(
            f"hive {hive[:10]} is kept and not shown: this journal had begun the problem before; to go on with it, "
            "import it into a copy of the problem's folder that has not been run"
        )
    return EXIT_DONE


def _problem_for(file: Path, folder: Path, direction: Direction | None) -> LoadedProblem:
    """Return the folder's problem, or one that holds nothing but the log."""
    try:
        return options.load(str(folder), options.Layout())
    except ProblemError:
        if (folder / "problem.toml").exists():
            raise
        return upkeep.log_problem(file, folder.resolve(), direction)


@click.command()
@click.argument("trial", required=False, type=int)
@options.with_study
def cancel(trial: int | None, folder: str, state: str, as_json: bool) -> int:  # noqa: FBT001  click's
    """Stop a live run at once, or release what a dead one left in flight; TRIAL names one."""
    path = options.state_of(folder, state)
    stopped = upkeep.stop_running(path)
    cancelled = 0
    if not stopped:
        loaded = options.load(str(path.parent if not state else folder), options.Layout())
        settings = options.resolve_settings(loaded, {"state": state or None})
        with upkeep.open_session(loaded, settings, options.places(), options.passphrase()) as session:
            cancelled = upkeep.cancel(session, trial)
    text = f"stopped the run (process {stopped})" if stopped else f"{cancelled} trials cancelled, their budget is free"
    emit({"stopped": stopped, "cancelled": cancelled}, lambda console: console.print(text), as_json=as_json)
    return EXIT_DONE


@click.command()
@click.argument("destination", type=click.Path(path_type=Path))
@options.with_study
def backup(destination: Path, folder: str, state: str, as_json: bool) -> int:  # noqa: FBT001  click's
    """Copy the journal to DESTINATION, consistently, also during a run."""
    size = upkeep.backup(options.state_of(folder, state), destination)
    text = one_line(f"{size} bytes in {destination}", 0)
    emit({"file": str(destination), "bytes": size}, lambda console: console.print(text), as_json=as_json)
    return EXIT_DONE


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@options.with_study
def gc(dry_run: bool, folder: str, state: str, as_json: bool) -> int:  # noqa: FBT001  click's
    """Remove blobs that nothing names, and what dead runs left behind. Events always stay."""
    found = upkeep.collect_garbage(options.state_of(folder, state), dry_run=dry_run)
    verb = "would go" if dry_run else "removed"
    text = f"{found.blobs} blobs ({found.bytes} bytes) and {found.folders} work folders {verb}"
    emit(found, lambda console: console.print(text), as_json=as_json)
    return EXIT_DONE


@click.command()
@options.with_study
def compact(folder: str, state: str, as_json: bool) -> int:  # noqa: FBT001  click's
    """Give disk space back: log, free pages, snapshots of views. Every event and blob stays."""
    found = compacting.compact(options.state_of(folder, state))
    text = f"{found.before} bytes before, {found.after} after ({found.snapshots} were snapshots of views)"
    emit(found, lambda console: console.print(text), as_json=as_json)
    return EXIT_DONE


@click.command()
@options.with_study
def anew(folder: str, state: str, as_json: bool) -> int:  # noqa: FBT001  click's
    """Set a lost or damaged journal aside, so that the next run starts without it. Nothing is deleted."""
    found = compacting.start_anew(_own_place(folder, state), options.places())
    where = f"the old journal is in {found.kept}" if found.kept else "there was no file to keep"
    text = one_line(f"{where}; the next run starts anew", 0)
    emit(found, lambda console: console.print(text), as_json=as_json)
    return EXIT_DONE


def _place_of(folder: str, state: str) -> Path:
    """Return the state folder that a command means: the folder's own where this device wrote it, be it gone or not."""
    own = _own_place(folder, state)
    return own if compacting.was_written(own, options.places()) else options.state_of(folder, state)


def _own_place(folder: str, state: str) -> Path:
    stated = options.resolve_settings(None, {"state": state or None}).value("state")
    return state_folder(Path(folder), stated)
