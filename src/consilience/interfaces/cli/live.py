"""The live face of a run: a moving status on a terminal, plain lines elsewhere, JSON Lines on request.

Rules:
    1. Everything is on stderr but JSON Lines, which are data.
    2. Only acknowledged events are shown.

Data flow: events after commit + session -> here -> terminal.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from consilience.core.bodies import NoiseMeasured, PhaseSwitched, TrialFinished, VerdictReached
from consilience.core.events import Event
from consilience.interfaces.cli.output import print_json, stderr
from consilience.interfaces.text import counts, duration, number, one_line, signed
from consilience.node.session import Session

_PLAIN_EVERY_SECONDS = 10.0
_REFRESH_PER_SECOND = 8


class Face(Protocol):
    """**Protocol:** what shows a run."""

    def __enter__(self) -> Self:
        """Start showing."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop showing."""

    def see(self, event: Event) -> None:
        """Show one acknowledged event."""


def choose_face(session: Session, *, as_json: bool, quiet: bool) -> Face:
    """Return the face that fits: JSON Lines, moving, plain or silent."""
    if as_json:
        return JsonFace(session)
    console = stderr()
    if quiet:
        return SilentFace()
    return MovingFace(session, console) if console.is_terminal else PlainFace(session, console)


class SilentFace:
    """Shows nothing."""

    def __enter__(self) -> Self:
        """Start."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""

    def see(self, event: Event) -> None:
        """Show nothing."""


class JsonFace(SilentFace):
    """One line of JSON for each trial, verdict and switch."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def see(self, event: Event) -> None:
        """Print the event."""
        line = _json_line(self._session, event)
        if line is not None:
            print_json(line)


class PlainFace(SilentFace):
    """A line for each promotion and switch, and a status line now and then."""

    def __init__(self, session: Session, console: Console) -> None:
        self._session = session
        self._console = console
        self._status = Status(session)
        self._told = time.monotonic()

    def see(self, event: Event) -> None:
        """Print what is worth a line."""
        told = tell(self._session, event)
        now = time.monotonic()
        if told:
            self._console.print(told, soft_wrap=True)
        elif now - self._told > _PLAIN_EVERY_SECONDS:
            self._told = now
            self._console.print(self._status.line(), soft_wrap=True)


class MovingFace(SilentFace):
    """A status that moves in place below the lines of what was found."""

    def __init__(self, session: Session, console: Console) -> None:
        self._session = session
        self._status = Status(session)
        self._live = Live(console=console, refresh_per_second=_REFRESH_PER_SECOND, transient=True)

    def __enter__(self) -> Self:
        """Start moving."""
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the terminal as it was."""
        self._live.stop()

    def see(self, event: Event) -> None:
        """Update the status."""
        told = tell(self._session, event)
        if told:
            self._live.console.print(told)
        bar = Table.grid(expand=False)  # a bar by itself ends no line, and would swallow the text below it
        bar.add_row(self._status.bar())
        self._live.update(Group(bar, Text(self._status.line())))


class Status:
    """The figures of the status line."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._start = time.monotonic()
        self._trials_before = session.state.budget.spent.trials

    def line(self) -> str:
        """Return best so far, rate, outcomes, budget left and phase on one line."""
        state = self._session.state
        spent = state.budget.spent
        rate = (spent.trials - self._trials_before) / max(time.monotonic() - self._start, 1e-9)
        parts = [f"{self._best()}", f"{spent.trials} trials ({rate:.1f}/s)"]
        parts += [counts(dict(self._session.run_state.outcomes.most_common(4))), self._left(), state.governor.phase]
        return " | ".join(part for part in parts if part)

    def bar(self) -> ProgressBar:
        """Return the share of the tightest budget that is used."""
        return ProgressBar(total=1.0, completed=self._used(), width=60)

    def _best(self) -> str:
        state = self._session.state
        if state.incumbent is None or not state.incumbent.scores or state.baseline is None:
            return "measuring the baseline"
        gain = state.problem.objective.gain(state.incumbent.mean, state.baseline.mean)
        return f"best {state.problem.objective.metric} {number(state.incumbent.mean)} (gain {signed(gain)})"

    def _left(self) -> str:
        budget = self._session.state.budget
        trials, wall_ms = budget.remaining("trials"), budget.remaining("wall_ms")
        left = [
            f"{trials} trials" if trials is not None else "",
            duration(max(wall_ms, 0)) if wall_ms is not None else "",
        ]
        return f"{', '.join(part for part in left if part)} left" if any(left) else ""

    def _used(self) -> float:
        budget = self._session.state.budget
        shares = [
            1.0 - (budget.remaining(amount) or 0) / total
            for amount in ("trials", "wall_ms", "cpu_ms")
            if (total := getattr(budget.total, amount))
        ]
        return min(max(shares, default=0.0), 1.0)


def tell(session: Session, event: Event) -> str:
    """Return a line about an event that people want to see, "" for the others."""
    metric = session.state.problem.objective.metric
    match event.body:
        case NoiseMeasured() as body:
            floor = "deterministic" if body.deterministic else f"noise floor {number(body.deviation)}"
            return f"baseline {metric} {number(body.mean)}, {floor}"
        case VerdictReached() as body if body.verdict == "implausible":
            row = session.trials.candidates[body.candidate]
            change = one_line(row.hypothesis.change, 70)
            return f"QUARANTINED as implausible: {one_line(' '.join(body.reasons), 160)}; by {change}"
        case VerdictReached() as body if body.verdict in {"promoted", "escalated"}:
            candidate = session.trials.candidates[body.candidate]
            gain = signed(body.figures.get("gain"))
            change = one_line(candidate.hypothesis.change, 70)
            return f"{body.verdict}: {metric} {number(body.figures.get('mean'))} ({gain}) by {change}"
        case PhaseSwitched() as body:
            return f"now {body.phase}: {one_line(body.reason, 160)}"
    return ""


def _json_line(session: Session, event: Event) -> dict[str, Any] | None:
    match event.body:
        case TrialFinished() as body:
            row = session.trials.rows[body.started]
            metric = session.state.problem.objective.metric
            fields = {"number": row.number, "candidate": row.candidate, "operator": row.operator, "seed": row.seed}
            return {
                "type": "trial",
                "event": event.id,
                **fields,
                "status": row.status,
                "score": body.metrics.get(metric),
                "reason": body.failure.reason if body.failure else None,
                "isolation": body.isolation,
            }
        case VerdictReached() as body:
            return {"type": "verdict", "event": event.id, "verdict": body.verdict, "reasons": body.reasons}
        case PhaseSwitched() as body:
            return {"type": "phase", "event": event.id, "phase": body.phase, "reason": body.reason}
    return None
