"""Canonical dumps of a study, so that two states can be compared to the byte."""

import signal
import subprocess
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from consilience.core.events import Event
from consilience.journal.kinds import BY_NAME
from consilience.journal.views.run_state import RunStateView
from consilience.journal.views.trials import TrialsView
from consilience.node.reading import StudyReader
from consilience.search.state import SearchState

# What a clock or a processor decides; and nothing else.
MEASURED = {"at", "resources", "spent", "wall_ms", "cpu_ms"}


def plain(value: Any) -> Any:
    """Return any view, private fields included, as what JSON can hold; order of entries is kept."""
    if isinstance(value, msgspec.Struct):
        fields = {name: plain(getattr(value, name)) for name in value.__struct_fields__}
        return {"type": type(value).__name__, **fields}
    if isinstance(value, Counter | Mapping):
        return [[plain(name), plain(item)] for name, item in value.items()]
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return _plain_object(value)


def _plain_object(value: Any) -> Any:
    if isinstance(value, float):
        return repr(value)  # NaN and infinity too, to the last bit
    if not hasattr(value, "__dict__"):
        return value
    return {"type": type(value).__name__, **{name: plain(item) for name, item in vars(value).items()}}


def views(state: SearchState, run_state: RunStateView, trials: TrialsView) -> bytes:
    """Return the views that a session holds, to the last private field."""
    return msgspec.json.encode([plain(state), plain(run_state), plain(trials)])


def folded(state: Path, to: int | None = None) -> bytes:
    """Return the same views of a fold from event 0."""
    reader = StudyReader.open(state, to=to)
    try:
        return views(reader.search, reader.run_state, reader.trials)
    finally:
        reader.close()


def story(state: Path) -> list[Any]:
    """Return every event in order, without keys, ids and what was measured; references become places.

    What identities say of themselves is all keys, and is left out.
    """
    reader = StudyReader.open(state)
    try:
        events = [event for event in reader.events if event.fields.hive == reader.hive]
        places = {event.id: place for place, event in enumerate(events)}
        authors = {event.fields.author for event in events}
        return [_told(event, places, authors) for event in events]
    finally:
        reader.close()


def _told(event: Event, places: dict[str, int], authors: set[str]) -> Any:
    def told(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: told(item) for name, item in value.items() if name not in MEASURED}
        if isinstance(value, list | tuple):
            return [told(item) for item in value]
        if isinstance(value, str):
            return f"event {places[value]}" if value in places else "author" if value in authors else value
        return value

    salted = BY_NAME[event.fields.kind].erasable  # names of texts are drawn by chance
    body = {name: bool(item) if name in salted else item for name, item in event.fields.body.items()}
    return [event.fields.kind, told(body)]


def stop_after(process: subprocess.Popen[str], lines: int, number: signal.Signals) -> str:
    """Wait for some lines of `run --json`, send a signal, and return everything that was printed."""
    assert process.stdout is not None
    seen = "".join(process.stdout.readline() for _ in range(lines))
    process.send_signal(number)
    rest, _ = process.communicate(timeout=60)
    return seen + rest
