"""How reports look on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from consilience.interfaces.cli.output import table
from consilience.interfaces.text import (
    counts,
    duration,
    held,
    number,
    one_line,
    printable,
    quarantine_lines,
    signed,
    weaknesses,
)
from consilience.journal.views.leaderboard import BoardRow
from consilience.journal.views.trials import TrialRow
from consilience.node.repeats import Repeat
from consilience.node.reports import BoardReport, Summary, TrialReport

_SHORT = 10
_NARROW = 100  # columns of a terminal
_RANKING = (
    *("place>", "trial>", "candidate", "mean>", "bound>", "runs>", "failed>"),
    *("verdict", "operator", "isolation"),
)
_MOST_CHANGES = 20  # of an environment that are worth showing
_DIFF_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


def show_summary(console: Console, found: Summary, difference: str) -> None:
    """Print how a study stands, with the diff of its best candidate."""
    unit = f" {one_line(found.unit, 20)}" if found.unit else ""
    floor = "deterministic" if found.deterministic else f"noise floor {number(found.noise_floor)}"
    made = table("", "", "")
    made.show_header = False
    made.add_row("problem", f"{one_line(found.name)} ({found.direction} {one_line(found.metric)})")
    made.add_row("baseline", f"{number(found.baseline)}{unit} ({floor})")
    named = f"trial {found.best_trial}" if found.best_trial else "the baseline"
    made.add_row("best", f"{number(found.best)}{unit}, {named}, mean of {found.best_runs} run(s)")
    made.add_row("gain", f"{signed(found.gain)}{unit}{_in_floors(found)}")
    made.add_row("trials", f"{found.trials}: {counts(found.outcomes)}")
    made.add_row("verdicts", counts(found.verdicts))
    if found.excised:
        made.add_row("excised", f"{found.excised} events do not count: consilience board")
    made.add_row("used", f"{duration(found.wall_ms)} of time, {duration(found.cpu_ms)} CPU in trials")
    made.add_row("state", f"{found.state}: {one_line(found.message, 300)}" if found.message else found.state)
    console.print(made)
    if difference:
        console.print(f"\nchange of trial {found.best_trial} against the baseline:")
        show_diff(console, difference)
    console.print(f"\n{found.events} signed events. Check them: consilience verify")
    if found.verdicts.get("escalated"):
        console.print("Gains wait for you: consilience board, then consilience apply TRIAL")
    elif found.best_trial:
        console.print("Take the best home: consilience apply")


def _in_floors(found: Summary) -> str:
    if found.deterministic or not found.noise_floor or found.gain is None:
        return ""
    return f" ({found.gain / found.noise_floor:.1f} times the noise floor)"


def show_diff(console: Console, difference: str) -> None:
    """Print a unified diff in colour."""
    for line in difference.removesuffix("\n").split("\n"):
        console.print(Text(printable(line), style=_DIFF_COLOURS.get(line[:1], "")))


def show_board(console: Console, report: BoardReport, top: int) -> None:
    """Print one ranking for each comparability key, and foreign records apart."""
    for key, rows in report.rankings.items():
        title = f"{one_line(report.name)}: {report.direction} {one_line(report.metric)}, comparability {key[:_SHORT]}"
        apart = report.quarantined.get(key, [])
        if rows or not apart:
            _show_ranking(console, title, rows, top)
        if apart:
            _show_quarantine(console, apart, top)
        _show_legend(console, [*rows[:top], *apart[:top]])
    if len(report.rankings) > 1:
        console.print("Results under different comparability keys are not ranked together.")
    if report.excised:
        _show_excised(console, report, top)
    if report.records:
        _show_records(console, report, top)
    for line in quarantine_lines(report.authors_in_quarantine):
        console.print(line, soft_wrap=True)
    if not report.rankings and not report.records:
        console.print("nothing has been measured yet")


def _show_ranking(console: Console, title: str, rows: list[BoardRow], top: int) -> None:
    is_narrow = console.width < _NARROW  # then what `show` tells too is left out
    held_alike = {_held(row) for row in rows[:top]} if is_narrow else set()
    left_out = {"candidate", "operator"} if is_narrow else set()
    left_out |= {"isolation"} if len(held_alike) == 1 else set()
    made = table("", *(head for head in _RANKING if head not in left_out))
    for row in rows[:top]:
        made.add_row(*(cell for head, cell in zip(_RANKING, _ranked(row), strict=True) if head not in left_out))
    console.print(title, soft_wrap=True)
    console.print(made)
    if "isolation" in left_out:
        console.print(f"isolation of each: {held_alike.pop()}")
    if len(rows) > top:
        console.print(f"... and {len(rows) - top} more (--top {len(rows)})")


def _ranked(row: BoardRow) -> tuple[str, ...]:
    """Return the cells of `_RANKING`."""
    named = (str(row.place), str(row.trial), row.candidate[:_SHORT])
    figures = (number(row.mean), number(row.bound), str(row.runs), str(row.failures))
    return (*named, *figures, _verdict(row), one_line(row.operator, 40), _held(row))


def _show_quarantine(console: Console, rows: list[BoardRow], top: int) -> None:
    title = f"QUARANTINED, not ranked: {len(rows)} beyond the bound. See each: consilience show TRIAL"
    console.print(title, soft_wrap=True)
    made = table("", "trial>", "candidate", "verdict", "isolation", "why")
    for row in rows[:top]:
        made.add_row(str(row.trial), row.candidate[:_SHORT], row.verdict, _held(row), one_line(row.implausible, 120))
    console.print(made)


def _show_excised(console: Console, report: BoardReport, top: int) -> None:
    by = dict.fromkeys((row.excision, row.reason) for row in report.excised)
    candidates = len({row.events[0] for row in report.excised})
    title = f"EXCISED, not counted: {len(report.excised)} trials of {candidates} candidates"
    console.print(title, soft_wrap=True)
    for excision, reason in list(by)[:top]:
        numbers = [row.trial for row in report.excised if row.excision == excision]
        which = f"trial {numbers[0]}" if len(numbers) == 1 else f"{len(numbers)} trials from trial {min(numbers)} on"
        console.print(f"  {which} by {excision[:_SHORT]}: {one_line(reason, 160)}", soft_wrap=True)


def _held(row: BoardRow) -> str:
    return held(row.isolation) if row.isolation else "-"


def _show_legend(console: Console, rows: list[BoardRow]) -> None:
    """Say what the stars mean, once for each reason."""
    lines = dict.fromkeys(line for row in rows if row.isolation for line in weaknesses(row.isolation))
    for line in lines:
        console.print(f"* {line}", soft_wrap=True)


def _verdict(row: BoardRow) -> str:
    return f"{row.verdict} (breaks a constraint)" if row.violates else row.verdict


def _show_records(console: Console, report: BoardReport, top: int) -> None:
    sign = -1.0 if report.direction == "maximize" else 1.0
    scored = [record for record in report.records if record.value is not None]
    ranked = sorted(scored, key=lambda record: (sign * (record.value or 0.0), record.row))
    statuses: dict[str, int] = {}
    for record in report.records:
        statuses[record.status] = statuses.get(record.status, 0) + 1
    title = f"foreign records (not verified here): {len(report.records)} rows, {counts(statuses)}"
    made = table(title, "place>", "commit", f"{one_line(report.records[0].metric, 40)}>", "status", "description")
    for place, record in enumerate(ranked[:top], start=1):
        made.add_row(
            str(place), one_line(record.label, 12), number(record.value), record.status, one_line(record.description)
        )
    console.print(made)


def show_trial(console: Console, report: TrialReport) -> None:
    """Print everything about one candidate."""
    console.print(_trial_table(report))
    _show_others(console, report.others)
    if report.repeats:
        console.print()
        show_repeats(console, report.repeats)
    for title, text in (("feedback", report.feedback), ("log", report.log)):
        if text:
            console.print(f"\n{title} (untrusted text):")
            console.print(Text(printable(text)))


def _trial_table(report: TrialReport) -> Table:
    row = report.trial
    made = table("", "", "")
    made.show_header = False
    made.add_row("trial", f"{row.number} ({row.purpose}, seed {row.seed})")
    made.add_row("candidate", row.candidate)
    made.add_row("operator", _on_target(row.operator, report.target))
    made.add_row("change", one_line(row.change, 160))
    made.add_row("reason", one_line(report.reason, 160))
    made.add_row("predicted", report.predicted or "-")
    made.add_row("novelty", number(report.novelty))
    made.add_row("line", " -> ".join(str(number_) for number_ in report.line))
    _add_outcome(made, row)
    if report.excised:
        made.add_row("EXCISED", one_line(report.excised, 300))
    if report.verdict is not None:
        made.add_row("verdict", _marked(report.verdict.body.verdict))
        for reason in report.verdict.body.reasons:
            made.add_row("", one_line(reason, 200))
    made.add_row("events", f"{row.proposed_event[:16]} {row.started_event[:16]} {row.finished_event[:16]}")
    return made


def _marked(verdict: str) -> str:
    return f"{verdict} (QUARANTINED: never promoted, never built on)" if verdict == "implausible" else verdict


def _on_target(operator: str, target: str) -> str:
    return f"{one_line(operator, 40)} on {one_line(target)}" if target else one_line(operator, 40)


def _add_outcome(made: Table, row: TrialRow) -> None:
    if row.failure is not None:
        made.add_row("outcome", f"{row.failure.reason}: {one_line(row.failure.message, 160)}")
    else:
        made.add_row("outcome", row.status)
    for name, value in sorted(row.metrics.items()):
        made.add_row(f"  {one_line(name, 40)}", number(value))
    used = row.resources
    made.add_row("used", f"{used.wall_ms} ms, {used.cpu_ms} ms CPU, {used.memory_kb // 1024} MB")
    if row.isolation is not None:
        made.add_row("isolation", held(row.isolation))
        for line in weaknesses(row.isolation):
            made.add_row("", f"* {line}")
    made.add_row("environment", row.environment[:16])


def show_repeats(console: Console, repeats: list[Repeat]) -> None:
    """Print each re-run beside the trial that it repeats, what differs, and the environment where that differs."""
    is_narrow = console.width < _NARROW
    heads = ("trial>", "again>") if is_narrow else ("trial>", "again as>", "seed>")
    made = table("re-runs", *heads, "metric", "then>", "now>", "difference>", "noise>", "")
    for repeat in repeats:
        named = (str(repeat.trial), str(repeat.number), str(repeat.seed))[: len(heads)]
        if not repeat.metrics:
            ended = (repeat.before or "a score", repeat.after or "a score")
            made.add_row(*named, "outcome", *ended, "-", "-", "equal" if repeat.same else "DIFFERS")
        for one in repeat.metrics:
            values = (number(one.before), number(one.after), signed(one.difference), number(one.allowed))
            agreed = "DIFFERS" if one.agreement == "differs" else str(one.agreement)
            agreement = agreed.removesuffix(" noise") if is_narrow else agreed
            made.add_row(*named, one_line(one.metric, 40), *values, agreement)
            named = ("",) * len(heads)
    console.print(made)
    for repeat in repeats:
        if not repeat.same:
            console.print(f"trial {repeat.trial} DIFFERS: {one_line(repeat.reason, 400)}", soft_wrap=True)
    changes = dict.fromkeys(line for repeat in repeats for line in repeat.environment)
    for line in list(changes)[:_MOST_CHANGES]:
        console.print(f"environment: {one_line(line, 160)}", soft_wrap=True)
    if len(changes) > _MOST_CHANGES:
        console.print(f"... and {len(changes) - _MOST_CHANGES} more differences of the environment (--json has all)")


def _show_others(console: Console, others: list[TrialRow]) -> None:
    if not others:
        return
    made = table("\nother runs of this candidate", "trial>", "purpose", "seed>", "status", "metrics")
    for row in others:
        metrics = ", ".join(f"{one_line(name, 20)} {number(value)}" for name, value in sorted(row.metrics.items()))
        made.add_row(str(row.number), row.purpose, str(row.seed), row.status, one_line(metrics, 100))
    console.print(made)
