"""The causal chain of an event: all that it follows from, and all that is known about each cause.

Rules:
    1. Back: what an event rests on or mentions (`journal.kinds`), and the decisions it was made under: genesis,
       settings, run and noise floor, each the latest before it.
    2. Forth: the accounts of an event (a trial's outcome, a candidate's trials and verdict, an excision), never what
       was built on it.
    3. Withdrawn events are part of the story; who shows it marks them.
    4. Pure, and linear in the number of events.

Data flow: events in canonical order + ids -> `causal_chain` -> `node.why`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from consilience.core.bodies import HiveFounded, NoiseMeasured, RunStarted, StudyConfigured
from consilience.core.events import Event
from consilience.journal.kinds import BY_NAME, references

DECISIONS: tuple[type[Any], ...] = (HiveFounded, StudyConfigured, RunStarted, NoiseMeasured)
"""What later events are made under, without naming it."""


class Causes:
    """The links between one hive's events, both ways."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._events = {event.id: event for event in events}
        self._accounts: dict[str, list[str]] = defaultdict(list)
        self._under: dict[str, tuple[str, ...]] = {}
        for event in events:
            for name in _named(event, account=True):
                self._accounts[name].append(event.id)
        self._note_decisions(events)

    def _note_decisions(self, events: Sequence[Event]) -> None:
        """Note what each event was made under; of runs the one of its own feed."""
        latest: dict[tuple[type[Any], str], str] = {}
        for event in events:
            feed = event.fields.feed
            under = (latest.get((kind, feed if kind is RunStarted else "")) for kind in DECISIONS)
            self._under[event.id] = tuple(name for name in under if name)
            if isinstance(event.body, DECISIONS):
                latest[type(event.body), feed if isinstance(event.body, RunStarted) else ""] = event.id

    def behind(self, event: str) -> tuple[str, ...]:
        """Return what an event follows from directly, and the accounts of it."""
        made = self._events[event]
        found = (*self._under[event], *_named(made), *self._accounts.get(event, ()))
        return tuple(name for name in dict.fromkeys(found) if name in self._events and name != event)


def causal_chain(events: Sequence[Event], targets: Iterable[str]) -> list[Event]:
    """Return the targets with all that they follow from, in canonical order.

    Args:
        events: of one hive, in canonical order.
        targets: ids of events; those that are not here are left out.
    """
    causes = Causes(events)
    held = {event.id for event in events}
    queue = [target for target in dict.fromkeys(targets) if target in held]
    found = set(queue)
    for name in queue:
        fresh = [cause for cause in causes.behind(name) if cause not in found]
        found.update(fresh)
        queue.extend(fresh)
    return [event for event in events if event.id in found]


def _named(event: Event, *, account: bool = False) -> tuple[str, ...]:
    """Return the events that one names: all of them, or the one that it is an account of."""
    kind = BY_NAME.get(event.fields.kind)
    if kind is None or event.body is None:
        return ()
    if account:
        return references(event.body, (kind.account_of,)) if kind.account_of else ()
    return references(event.body, (*kind.rests_on, *kind.mentions))
