"""`trial run` and `rerun`: running a candidate by hand, and running a recorded trial again."""

from __future__ import annotations

from typing import Any, get_args

import click
from rich.console import Console

from consilience.core.errors import EXIT_DONE, EXIT_FAILED, EXIT_VERIFICATION
from consilience.core.outcome import IsolationLevel
from consilience.core.study import ExecutionPolicy
from consilience.interfaces.cli import options
from consilience.interfaces.cli.holdout_command import holdout
from consilience.interfaces.cli.output import emit, note, table
from consilience.interfaces.cli.showing import show_repeats
from consilience.interfaces.text import held, number, one_line, signed, weaknesses
from consilience.node.adhoc import AdhocReport, AdhocTrial, AdhocWish, run_adhoc
from consilience.node.rerunning import RerunReport
from consilience.node.rerunning import rerun as rerun_trial

_LARGEST_SEED = 2**31 - 1
_NARROW = 100  # columns of a terminal


@click.group()
def trial() -> None:
    """Run a candidate by hand, or ask the holdout about it."""


trial.add_command(holdout)


@trial.command(name="run")
@click.argument("candidate")
@click.option("--isolation", type=click.Choice(get_args(IsolationLevel)), help="Hold it at exactly this level.")
@click.option("--seeds", "count", type=click.IntRange(min=1, max=10_000), help="Over this many of the study's seeds.")
@click.option("--seed", "seeds", type=click.IntRange(0, _LARGEST_SEED), multiple=True, help="Over this seed; repeat.")
@click.option(
    "--execution",
    type=click.Choice(get_args(ExecutionPolicy)),
    default="auto",
    show_default=True,
    help="Demand a new process for each trial, or one forked from a warm process.",
)
@click.option("--unsafe-no-sandbox", "unsafe", is_flag=True, help="Without a sandbox.")
@options.with_layout
@options.with_study
def run(candidate: str, folder: str, state: str, as_json: bool, **flags: Any) -> int:  # noqa: FBT001  click's
    """Run CANDIDATE over some seeds, outside the study: nothing is journalled.

    CANDIDATE is a trial's number, the beginning of a candidate's id, a file in the place of the artifact's, a
    folder with all of its files, or `baseline`.
    """
    loaded = options.load(folder, options.take_layout(flags))
    settings = options.resolve_settings(loaded, {"state": state or None})
    wish = AdhocWish(
        candidate=candidate,
        isolation=flags["isolation"] or "",
        count=flags["count"] or 0,
        seeds=flags["seeds"],
        execution=flags["execution"],
        unsafe=flags["unsafe"],
    )
    report = run_adhoc(loaded, wish, settings, options.places(), _progress)
    emit(report, lambda console: _show_adhoc(console, report), as_json=as_json)
    return EXIT_DONE if report.complete else EXIT_FAILED


def _progress(done: AdhocTrial) -> None:
    failure = done.outcome.failure
    note(f"seed {done.seed}: {failure.reason if failure else number(done.score)}")


def _show_adhoc(console: Console, report: AdhocReport) -> None:
    metric = one_line(report.metric, 40)
    others = () if console.width < _NARROW else ("other metrics",)  # --json has them
    figures = (f"{metric}>", *others, "wall ms>", "CPU ms>", "MB>", "isolation", "failure")
    console.print(f"{one_line(report.source)}, candidate {report.candidate[:10]}", soft_wrap=True)
    made = table("", "seed>", *figures)
    for done in report.trials:
        used = done.outcome.resources
        measured = (str(used.wall_ms), str(used.cpu_ms), str(used.memory_kb // 1024))
        score = f"{number(done.score)}{' IMPLAUSIBLE' if done.implausible else ''}"
        shown = (_others(report, done),) if others else ()
        made.add_row(str(done.seed), score, *shown, *measured, held(done.outcome.isolation), _failure(done))
    console.print(made)
    _show_totals(console, report)
    notes = [f"* {line}" for done in report.trials for line in weaknesses(done.outcome.isolation)]
    notes += [f"implausible: {one_line(done.implausible, 160)}" for done in report.trials if done.implausible][:1]
    for line in dict.fromkeys(notes):
        console.print(line, soft_wrap=True)
    console.print("Ad-hoc trials are no results of the study: nothing was journalled.")


def _others(report: AdhocReport, done: AdhocTrial) -> str:
    others = [(name, value) for name, value in sorted(done.outcome.metrics.items()) if name != report.metric]
    return ", ".join(f"{one_line(name, 20)} {number(value)}" for name, value in others)[:80]


def _failure(done: AdhocTrial) -> str:
    failure = done.outcome.failure
    return f"{failure.reason}: {one_line(failure.message, 100)}" if failure else ""


def _show_totals(console: Console, report: AdhocReport) -> None:
    unit = f" {one_line(report.unit, 20)}" if report.unit else ""
    scores = sum(done.score is not None for done in report.trials)
    console.print(
        f"mean {number(report.mean)}{unit} over {scores} of {len(report.trials)}, spread {number(report.spread)}"
    )
    found = report.comparison
    if found is not None:
        over = f"over {found.pairs} common seeds" if found.pairs else "without a common seed"
        is_noise = found.clearance == "within the noise floor" and found.floor
        floor = f"{found.clearance} of {number(found.floor)}" if is_noise else found.clearance
        console.print(
            f"gain {signed(found.gain)}{unit} against the baseline's {number(found.baseline)} {over}: {floor}"
        )


@click.command()
@click.argument("trial_name", metavar="TRIAL")
@click.option("--unsafe-no-sandbox", "unsafe", is_flag=True, help="Without a sandbox, where the trial had none.")
@options.with_layout
@options.with_study
def rerun(trial_name: str, folder: str, state: str, as_json: bool, **flags: Any) -> int:  # noqa: FBT001  click's
    """Run TRIAL again with its recorded seed; exit code 3 when it differs beyond the noise.

    TRIAL is its number or the beginning of an event's id; a candidate's id means all of its trials. Metrics that
    never moved over the baseline's seeds must be equal, others within the noise floor. The outcome is journalled
    as evidence; it moves no score.
    """
    unsafe = flags.pop("unsafe")
    loaded = options.load(folder, options.take_layout(flags))
    settings = options.resolve_settings(loaded, {"state": state or None})
    passphrase = options.passphrase()
    report = rerun_trial(loaded, trial_name, settings, options.places(), passphrase=passphrase, unsafe=unsafe)
    emit(report, lambda console: _show_rerun(console, report), as_json=as_json)
    return EXIT_DONE if report.same else EXIT_VERIFICATION


def _show_rerun(console: Console, report: RerunReport) -> None:
    show_repeats(console, report.repeats)
    count = len(report.repeats)
    differing = sum(not repeat.same for repeat in report.repeats)
    console.print(f"{count - differing} of {count} bear the record out" if differing else "the record is borne out")
