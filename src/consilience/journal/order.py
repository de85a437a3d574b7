"""Canonical fold order: the one order in which every node folds the same set of events.

Rules:
    1. Order is (epoch, causal depth, author, feed, seq); neither arrival nor any clock takes part.
    2. A feed counts up to its first gap or fork; what comes after waits, or is proof against its author.
    3. An event whose causes are not here yet is held back.

Source: DESIGN of epochs: an event's epoch is the first whose `epoch.closed` events, from two thirds of the
hive's witnesses (a founder alone is its own witness), cover it; events not yet covered come last.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable

from consilience.core.bodies import EpochClosed, HiveFounded
from consilience.core.events import Event

_QUORUM = 2 / 3


def canonical_order(events: Iterable[Event]) -> list[Event]:
    """Return the events of one hive that can be folded, in canonical order."""
    feeds = [_unforked(feed) for feed in _feeds(events)]
    if len(feeds) == 1 and not any(event.fields.after for event in feeds[0]):
        return feeds[0]  # epoch and depth never fall along one feed, so seq alone is the order
    held = {event.id: event for feed in feeds for event in feed}
    depths = _depths(held)
    epochs = _epochs(held, depths)
    provisional = max(epochs.values(), default=0) + 1

    def place(event: Event) -> tuple[int, int, str, str, int]:
        fields = event.fields
        return (epochs.get(event.id, provisional), depths[event.id], fields.author, fields.feed, fields.seq)

    return sorted((held[name] for name in depths), key=place)


def _feeds(events: Iterable[Event]) -> list[list[Event]]:
    feeds: dict[tuple[str, str], dict[str, Event]] = defaultdict(dict)
    for event in events:
        feeds[event.fields.author, event.fields.feed][event.id] = event
    return [sorted(feed.values(), key=lambda event: event.fields.seq) for feed in feeds.values()]


def _unforked(feed: list[Event]) -> list[Event]:
    """Return the feed up to its first gap or to the first seq that two events claim."""
    claimed = [event.fields.seq for event in feed]
    for place, seq in enumerate(claimed):
        forked = place + 1 < len(claimed) and claimed[place + 1] == seq
        if seq != place or forked:
            return feed[:place]
    return feed


def _depths(held: dict[str, Event]) -> dict[str, int]:
    """Return the causal depth of every event whose causes are all held; iterative, for long feeds."""
    depths: dict[str, int] = {}
    missing: set[str] = set()
    for start in held:
        stack = [start]
        while stack:
            name = stack[-1]
            if name in depths or name in missing:
                stack.pop()
                continue
            causes = _causes(held[name])
            if any(cause not in held or cause in missing for cause in causes):
                missing.add(name)
            elif waiting := [cause for cause in causes if cause not in depths]:
                stack.extend(waiting)
            else:
                depths[name] = 1 + max((depths[cause] for cause in causes), default=-1)
    return depths


def _causes(event: Event) -> tuple[str, ...]:
    prev = event.fields.prev
    return event.fields.after if prev is None else (prev, *event.fields.after)


def _epochs(held: dict[str, Event], depths: dict[str, int]) -> dict[str, int]:
    witnesses = _witnesses(held.values())
    quorum = max(1, math.ceil(len(witnesses) * _QUORUM))
    covered_by: dict[tuple[str, int], set[str]] = defaultdict(set)
    closings = [e for e in held.values() if isinstance(e.body, EpochClosed) and e.id in depths]
    for event in sorted(closings, key=lambda e: (e.body.epoch, depths[e.id])):
        if event.fields.author in witnesses:
            for name in _ancestors(held, event.body.heads):
                covered_by[name, event.body.epoch].add(event.fields.author)
    epochs: dict[str, int] = {}
    for (name, epoch), authors in sorted(covered_by.items(), key=lambda item: item[0][1]):
        if len(authors) >= quorum:
            epochs.setdefault(name, epoch)
    return epochs


def _witnesses(events: Iterable[Event]) -> frozenset[str]:
    named = [event.body.witnesses for event in events if isinstance(event.body, HiveFounded)]
    return frozenset(witness for group in named for witness in group)


def _ancestors(held: dict[str, Event], heads: Iterable[str]) -> set[str]:
    found: set[str] = set()
    stack = [head for head in heads if head in held]
    while stack:
        name = stack.pop()
        if name not in found:
            found.add(name)
            stack.extend(cause for cause in _causes(held[name]) if cause in held)
    return found
