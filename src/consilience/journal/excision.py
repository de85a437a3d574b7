"""Excision: which events still stand once results were withdrawn, with all that rests on them.

Rules:
    1. Nothing is deleted: an excised event stays in the journal and is only left out of the views.
    2. What rests on an excised event (`journal.kinds`) is excised with it; what only mentions it is not.
    3. An author may excise own results. What is never excised: facts about identities, feeds and the journal.
    4. Pure: the same events give the same answer, whatever order they came in.

Data flow: events in canonical order -> `standing_events` -> views.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from consilience.core.bodies_journal import ExcisionWithdrawn, ResultExcised
from consilience.core.events import Event
from consilience.journal.kinds import BY_NAME, references


def standing_events(events: Sequence[Event]) -> list[Event]:
    """Return the events whose effect stands, in the order given."""
    excised = excised_events(events)
    return [event for event in events if event.id not in excised] if excised else list(events)


def excised_events(events: Sequence[Event]) -> frozenset[str]:
    """Return the ids of the events that were withdrawn, descendants included."""
    targets = _targets(events)
    return frozenset(_descendants(events, targets)) if targets else frozenset()


def _targets(events: Iterable[Event]) -> set[str]:
    """Return what own excisions that were not taken back name."""
    authors = {event.id: event.fields.author for event in events}
    excisions = {event.id: event for event in events if isinstance(event.body, ResultExcised)}
    for event in events:
        if isinstance(event.body, ExcisionWithdrawn) and authors.get(event.body.excision) == event.fields.author:
            excisions.pop(event.body.excision, None)
    return {e.body.target for e in excisions.values() if authors.get(e.body.target) == e.fields.author}


def _descendants(events: Iterable[Event], targets: set[str]) -> set[str]:
    found = set(targets)
    for event in events:  # causes come first in canonical order, so one pass finds all
        kind = BY_NAME.get(event.fields.kind)
        if kind is not None and event.body is not None and found.intersection(references(event.body, kind.rests_on)):
            found.add(event.id)
    return found
