"""`run`, `init`, `doctor`, `config`: from a folder to a running study."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import click
from rich.console import Console

from consilience.core.errors import EXIT_DONE, EXIT_ENVIRONMENT, EXIT_INTERRUPTED, UsageError
from consilience.core.problem import problem_id
from consilience.domains.catalogue import builtin_names, copy_builtin
from consilience.interfaces.cli import options, secrets
from consilience.interfaces.cli.live import choose_face
from consilience.interfaces.cli.output import emit, note, print_json, table, warn
from consilience.interfaces.cli.showing import show_summary
from consilience.interfaces.text import held, one_line, printable
from consilience.node import reports
from consilience.node.doctor import examine
from consilience.node.findings import Finding
from consilience.node.reading import StudyReader
from consilience.node.running import Run
from consilience.node.upkeep import import_results
from consilience.problems.template import write_template

_RESULTS = "results.tsv"


@click.command()
@click.argument("folder", default=".", type=click.Path())
@click.argument("evaluator", required=False, type=click.Path())
@click.option("--trials", help="Total trials of the study (not: more).")
@click.option("--wall", "wall_seconds", help="Total time, such as 90s, 15m, 8h.")
@click.option("--cpu", "cpu_seconds", help="Total CPU time of trials.")
@click.option("--seed", help="Seed of every random choice.")
@click.option("--minimum-isolation", help="strong, restricted, wasm or none: below it nothing runs.")
@click.option("--execution", help="fresh, fork or auto: how candidates are started.")
@click.option("--bound", help="Best score that can be true; what is beyond it is quarantined. none takes it away.")
@click.option("--durability", help="full or normal.")
@click.option("--key", help="Key file.")
@click.option("--state", help="Folder of the journal.")
@click.option("--unsafe-no-sandbox", "unsafe", is_flag=True, help="Run candidates without a sandbox. Journalled.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@options.with_layout
@options.with_json
def run(folder: str, evaluator: str | None, unsafe: bool, quiet: bool, as_json: bool, **flags: Any) -> int:  # noqa: FBT001  click's
    """Improve the problem in FOLDER until its budget is spent. The same command resumes.

    FOLDER holds a problem.toml, or OpenEvolve's initial_program.py and evaluator.py, or autoresearch's
    train.py. Two files, as openevolve-run takes them, work as well. Ctrl-C drains; twice stops at once.
    """
    layout = options.take_layout(flags)
    loaded = options.load(_folder(folder, evaluator), layout)
    settings = options.resolve_settings(loaded, flags)
    with (
        secrets.telling_of_new_keys(secrets.places_of(flags).key, quiet=quiet),
        Run.open(loaded, settings, options.places(), unsafe=unsafe, passphrase=options.passphrase()) as work,
    ):
        if work.session.missing:
            warn(work.session.missing)
        _import_results(work, loaded.root)
        face = choose_face(work.session, as_json=as_json, quiet=quiet)
        work.session.observers.append(face.see)
        with _draining(work):
            work.start()
            if not quiet:
                _launch(work, as_json=as_json)
            with face:
                reason = work.work()
        state = work.session.folder
    return _finish(state, problem_id(loaded.problem), reason, as_json=as_json)


def _folder(folder: str, evaluator: str | None) -> str:
    if evaluator is None:
        return folder
    program = Path(folder)
    if program.parent.resolve() != Path(evaluator).parent.resolve() or program.stem != "initial_program":
        hint = "put both into one folder, the program as initial_program.*, the evaluator as evaluator.py"
        raise UsageError(f"{folder} and {evaluator} are not a problem's two files", hint=hint)
    return str(program.parent)


def _import_results(work: Run, root: Path) -> None:
    """Take in an autoresearch folder's earlier results, once."""
    path = root / _RESULTS
    if work.session.loaded.problem.evaluator.kind == "command" and path.is_file():
        imported = import_results(work.session, path)
        if not imported.known:
            note(f"imported {imported.rows} rows of {_RESULTS} as foreign records")


def _launch(work: Run, *, as_json: bool) -> None:
    isolation = work.isolation
    problem = work.session.loaded.problem
    if as_json:
        line = {"type": "launch", "v": 1, "problem": problem_id(problem), "isolation": isolation}
        print_json({**line, "state": str(work.session.folder), "execution": work.choice})
        return
    trials = work.session.state.budget.spent.trials
    resumed = f", resuming after {trials} trials" if trials else ""
    note(f"{problem.name}: isolation {held(isolation)}{resumed}")
    if work.choice.reason:
        note(work.choice.reason)


@contextmanager
def _draining(work: Run) -> Iterator[None]:
    """Ctrl-C once: finish the running trial. Twice, or SIGTERM: stop at once. Both leave a whole journal."""
    asked = False

    def stop(number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked or number == signal.SIGTERM:
            work.runner.interrupt()
            return
        asked = True
        work.runner.request_stop()
        note("stopping after the running trial; Ctrl-C again stops it too")

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _finish(state: Path, problem: str, reason: str, *, as_json: bool) -> int:
    with StudyReader.open(state, problem) as reader:
        found = reports.summary(reader)
        difference = reports.diff(reader, str(found.best_trial), against_baseline=True) if found.best_trial else ""
    code = EXIT_INTERRUPTED if reason == "drained" else EXIT_DONE
    if as_json:
        print_json({"type": "done", "v": 1, "exit_code": code, "summary": found})
    else:
        emit(found, lambda console: show_summary(console, found, difference), as_json=False)
    return code


@click.command()
@click.argument("folder", type=click.Path())
@click.option("--from", "source", default="", help=f"A built-in problem: {', '.join(builtin_names())}.")
@options.with_json
def init(folder: str, source: str, as_json: bool) -> int:  # noqa: FBT001  click's
    """Make a commented problem folder to edit."""
    destination = Path(folder)
    if source:
        copy_builtin(source, destination)
    else:
        write_template(destination)
    files = sorted(str(path) for path in destination.iterdir())

    def show(console: Console) -> None:
        console.print(f"made {one_line(folder, 0)}:")
        for path in files:
            console.print(f"  {one_line(path, 0)}")
        console.print(f"next: consilience run {one_line(folder, 0)}")

    emit({"folder": folder, "files": files}, show, as_json=as_json)
    return EXIT_DONE


@click.command()
@click.argument("folder", required=False, type=click.Path())
@click.option("--state", help="Folder of the journal.")
@click.option("--key", help="Key file.")
@options.with_layout
@options.with_json
def doctor(folder: str | None, as_json: bool, **flags: Any) -> int:  # noqa: FBT001  click's
    """Say what works here, what is missing and how to mend it; with FOLDER, what its baseline needs and was denied."""
    layout = options.take_layout(flags)
    loaded = options.load(folder, layout) if folder else None
    settings = options.resolve_settings(loaded, flags)
    findings = list(examine(loaded, settings, options.places(), options.passphrase()))
    emit(findings, lambda console: _show_findings(console, findings), as_json=as_json)
    return EXIT_ENVIRONMENT if any(finding.health == "failed" for finding in findings) else EXIT_DONE


def _show_findings(console: Console, findings: list[Finding]) -> None:
    made = table("", "", "what", "found")
    made.columns[-1].overflow = "fold"  # a path or line that is to be copied must be whole
    signs = {"ok": "ok", "warning": "!", "failed": "FAILED"}
    for finding in findings:
        made.add_row(signs[finding.health], finding.name, one_line(finding.found, 160))
        if finding.mend:
            made.add_row("", "", f"mend: {printable(finding.mend)}")
    console.print(made)


@click.command()
@click.argument("folder", required=False, type=click.Path())
@click.option("--show-origin", is_flag=True, help="Say where each value comes from.")
@options.with_json
def config(folder: str | None, show_origin: bool, as_json: bool) -> int:  # noqa: FBT001  click's
    """Print the settings in force: flag > CONSILIENCE_* > problem > user file > default."""
    here = folder or ("." if Path("problem.toml").is_file() else None)
    loaded = options.load(here, options.Layout()) if here else None
    settings = options.resolve_settings(loaded, {})

    def show(console: Console) -> None:
        made = table("", "setting", "value", *(["origin"] if show_origin else []), "meaning")
        for item in settings.resolved.values():
            value = "-" if item.value in (None, "") else one_line(str(item.value), 0)
            made.add_row(item.name, value, *([item.origin] if show_origin else []), item.meaning)
        console.print(made)

    emit(list(settings.resolved.values()), show, as_json=as_json)
    return EXIT_DONE
