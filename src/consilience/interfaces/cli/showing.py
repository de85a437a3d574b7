"""How reports look on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from consilience.core.outcome import Isolation
from consilience.interfaces.cli.output import table
from consilience.interfaces.text import counts, duration, number, one_line, printable, signed
from consilience.journal.views.leaderboard import BoardRow
from consilience.journal.views.trials import TrialRow
from consilience.node.reports import BoardReport, Summary, TrialReport

_SHORT = 10
_DIFF_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


def held(isolation: Isolation) -> str:
    """Say how candidates are held, in few words."""
    return f"{isolation.level} ({isolation.domain}{', gpu' if isolation.gpu else ''})"


def show_summary(console: Console, found: Summary, difference: str) -> None:
    """Print how a study stands, with the diff of its best candidate."""
    unit = f" {found.unit}" if found.unit else ""
    floor = "deterministic" if found.deterministic else f"noise floor {number(found.noise_floor)}"
    made = table("", "", "")
    made.show_header = False
    made.add_row("problem", f"{printable(found.name)} ({found.direction} {found.metric})")
    made.add_row("baseline", f"{number(found.baseline)}{unit} ({floor})")
    made.add_row("best", f"{number(found.best)}{unit}, trial {found.best_trial}, mean of {found.best_runs} run(s)")
    made.add_row("gain", f"{signed(found.gain)}{unit}{_in_floors(found)}")
    made.add_row("trials", f"{found.trials}: {counts(found.outcomes)}")
    made.add_row("verdicts", counts(found.verdicts))
    made.add_row("used", f"{duration(found.wall_ms)} of time, {duration(found.cpu_ms)} CPU in trials")
    made.add_row("state", f"{found.state}: {printable(found.message)}" if found.message else found.state)
    console.print(made)
    if difference:
        console.print(f"\nchange of trial {found.best_trial} against the baseline:")
        show_diff(console, difference)
    console.print(f"\n{found.events} signed events. Check them: consilience verify")
    if found.verdicts.get("escalated"):
        console.print("Gains wait for you: consilience board, then consilience apply TRIAL")
    else:
        console.print("Take the best home: consilience apply")


def _in_floors(found: Summary) -> str:
    if found.deterministic or not found.noise_floor or found.gain is None:
        return ""
    return f" ({found.gain / found.noise_floor:.1f} times the noise floor)"


def show_diff(console: Console, difference: str) -> None:
    """Print a unified diff in colour."""
    for line in difference.splitlines():
        console.print(Text(printable(line), style=_DIFF_COLOURS.get(line[:1], "")))


def show_board(console: Console, report: BoardReport, top: int) -> None:
    """Print one ranking for each comparability key, and foreign records apart."""
    for key, rows in report.rankings.items():
        title = f"{printable(report.name)}: {report.direction} {report.metric}, comparability {key[:_SHORT]}"
        _show_ranking(console, title, rows, top)
    if len(report.rankings) > 1:
        console.print("Results under different comparability keys are not ranked together.")
    if report.records:
        _show_records(console, report, top)
    if not report.rankings and not report.records:
        console.print("nothing has been measured yet")


def _show_ranking(console: Console, title: str, rows: list[BoardRow], top: int) -> None:
    made = table(title, "place>", "trial>", "candidate", "mean>", "bound>", "runs>", "failed>", "verdict", "operator")
    for row in rows[:top]:
        figures = (number(row.mean), number(row.bound), str(row.runs), str(row.failures))
        made.add_row(str(row.place), str(row.trial), row.candidate[:_SHORT], *figures, _verdict(row), row.operator)
    console.print(made)
    if len(rows) > top:
        console.print(f"... and {len(rows) - top} more (--top {len(rows)})")


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
    made = table(title, "place>", "commit", f"{report.records[0].metric}>", "status", "description")
    for place, record in enumerate(ranked[:top], start=1):
        made.add_row(
            str(place), one_line(record.label, 12), number(record.value), record.status, one_line(record.description)
        )
    console.print(made)


def show_trial(console: Console, report: TrialReport) -> None:
    """Print everything about one candidate."""
    row = report.trial
    made = table("", "", "")
    made.show_header = False
    made.add_row("trial", f"{row.number} ({row.purpose}, seed {row.seed})")
    made.add_row("candidate", row.candidate)
    made.add_row("operator", f"{row.operator} on {one_line(report.target)}" if report.target else row.operator)
    made.add_row("change", one_line(row.change, 160))
    made.add_row("reason", one_line(report.reason, 160))
    made.add_row("predicted", report.predicted or "-")
    made.add_row("novelty", number(report.novelty))
    made.add_row("line", " -> ".join(str(number_) for number_ in report.line))
    _add_outcome(made, row)
    if report.verdict is not None:
        made.add_row("verdict", report.verdict.body.verdict)
        for reason in report.verdict.body.reasons:
            made.add_row("", one_line(reason, 200))
    made.add_row("events", f"{row.proposed_event[:16]} {row.started_event[:16]} {row.finished_event[:16]}")
    console.print(made)
    _show_others(console, report.others)
    for title, text in (("feedback", report.feedback), ("log", report.log)):
        if text:
            console.print(f"\n{title} (untrusted text):")
            console.print(Text(printable(text)))


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
    made.add_row("environment", row.environment[:16])


def _show_others(console: Console, others: list[TrialRow]) -> None:
    if not others:
        return
    made = table("\nother runs of this candidate", "trial>", "purpose", "seed>", "status", "metrics")
    for row in others:
        metrics = ", ".join(f"{one_line(name, 20)} {number(value)}" for name, value in sorted(row.metrics.items()))
        made.add_row(str(row.number), row.purpose, str(row.seed), row.status, one_line(metrics, 100))
    console.print(made)
