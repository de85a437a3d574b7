"""`log`: the signed events as they are, by kind, author and position, also while a run writes them.

Rules:
    1. One event, one line; `--json` has all of it. Nothing is folded, so a long journal is shown at once; only where
       something was excised are all events read, for the marks.
    2. `--follow` goes on until Ctrl-C (exit code 130) and prints each event when it is durable.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec import Struct
from rich.console import Console
from rich.text import Text

from consilience.core.errors import EXIT_DONE
from consilience.core.events import Event
from consilience.identity.key_files import describe
from consilience.interfaces.cli import options
from consilience.interfaces.cli.output import emit, note, print_json, stdout
from consilience.interfaces.text import one_line, quarantine_lines
from consilience.journal.browsing import Choice
from consilience.journal.excision import Excisions
from consilience.node.browsing import EventLog

_ME = "me"
_MILLISECONDS = 1000
_BODY, _LEAST_BODY, _BEFORE_BODY = 110, 20, 58  # columns of the body of an event, and of what stands before it


class _Wanted(Struct, frozen=True, kw_only=True):
    """The flags that choose events."""

    kind: str
    author: str
    since: int
    tail: int | None
    follow: bool


@click.command()
@click.option("--kind", default="", help="Only kinds that match, such as trial.* or the beginning trial.")
@click.option("--author", default="", help="Only of this DID, or the one that begins so; me is your own.")
@click.option("--since", type=click.IntRange(min=0), default=0, help="Only from this local position on.")
@click.option("--tail", type=click.IntRange(min=1), help="Only the last N.")
@click.option("--follow", is_flag=True, help="Go on with new events as they are committed, until Ctrl-C.")
@options.with_study
def log(folder: str, state: str, as_json: bool, **chosen: Any) -> int:  # noqa: FBT001  click's
    """Print the events, oldest first."""
    wanted = _Wanted(**chosen)
    events = options.open_log(folder, state)
    try:
        author = _own_did() if wanted.author == _ME else wanted.author
        choice = events.choice(kind=wanted.kind, author=author, since=wanted.since)
        if wanted.follow:
            _follow(events, choice, wanted.tail, as_json=as_json)
        found = events.latest(choice, wanted.tail)
        excisions = events.excisions()
        for line in quarantine_lines(events.quarantined()):
            note(line)
    finally:
        events.close()
    data = [_event_data(place, event, excisions) for place, event in found] if as_json else []
    emit(data, lambda console: _show(console, found, excisions), as_json=as_json)
    if not found:
        note(
            "no event is like that; `consilience log --tail 20` shows kinds and positions, `consilience verify` authors"
        )
    return EXIT_DONE


def _follow(events: EventLog, choice: Choice, tail: int | None, *, as_json: bool) -> None:
    """Print what is there and what comes, for ever; JSON is one object for each line."""
    console, excisions = stdout(), events.excisions()
    if tail is not None:
        found = events.latest(choice, tail)
        choice = msgspec.structs.replace(choice, since=found[0][0] if found else events.next_position())
    for place, event in events.follow(choice):
        if as_json:
            print_json(_event_data(place, event, excisions))
        else:
            _show(console, [(place, event)], excisions)
            console.file.flush()


def _own_did() -> str:
    stated = options.resolve_settings(None, {}).value("key")
    return describe(Path(stated).expanduser() if stated else options.places().key).first_did


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


def _show(console: Console, events: list[tuple[int, Event]], excisions: Excisions) -> None:
    room = min(_BODY, max(console.width - _BEFORE_BODY, _LEAST_BODY))
    for place, event in events:
        at = datetime.fromtimestamp(event.fields.at / _MILLISECONDS, UTC).strftime("%Y-%m-%d %H:%M:%S")
        body = one_line(msgspec.json.encode(event.fields.body).decode(), room)
        kind = f"{one_line(event.fields.kind, 40):<18} {_mark(event, excisions)}"
        console.print(Text(f"{place:>6} {event.id[:10]} {at} {kind}{body}"), soft_wrap=True)
