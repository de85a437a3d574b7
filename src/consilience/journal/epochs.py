"""Epochs: which closed stretch of a hive's history each event belongs to, by the word of the hive's witnesses.

Rules:
    1. An event's epoch is the first by which two thirds of the witnesses cover it. Not covered yet: provisional.
    2. A witness covers a head only where the head lies before its own closing: nobody covers what he lacks.
    3. A witness is a DID that the genesis names; what devices and agents close that it certified for that
       (`witness`) is closed by it, once.
    4. Pure, and monotone along causes: an event's epoch is never before that of what it builds on.

Data flow: `epoch.closed` events -> here -> `journal.order`.

Cost: each witness's walk looks at an event once, whatever the number of its closings.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from consilience.core.bodies import EpochClosed, HiveFounded
from consilience.core.events import Event
from consilience.journal.causality import causes, walk
from consilience.journal.operators import OperatorOf


def epochs(
    held: Mapping[str, Event], depth: Mapping[str, int], counted: Mapping[str, Event], operator_of: OperatorOf
) -> dict[str, int]:
    """Return the epoch of every covered event.

    Args:
        held: all events, for the walks along causes.
        depth: the causal depth of the hive's own.
        counted: those that no quarantine leaves out; only their closings count.
        operator_of: names a DID's operator.
    """
    witnesses = _witnesses(counted, depth)
    quorum = max(1, -(-2 * len(witnesses) // 3))
    closings: dict[str, list[Event]] = defaultdict(list)
    for event in counted.values():
        if isinstance(event.body, EpochClosed) and event.body.epoch > 0:
            operator = operator_of(event.fields.author)
            if operator in witnesses:
                closings[operator].append(event)
    firsts: dict[str, list[int]] = defaultdict(list)
    for group in closings.values():
        for name, epoch in _covered(held, depth, group):
            firsts[name].append(epoch)
    return {name: sorted(found)[quorum - 1] for name, found in firsts.items() if len(found) >= quorum}


def _witnesses(counted: Mapping[str, Event], depth: Mapping[str, int]) -> frozenset[str]:
    """Return whom the genesis names; intake lets in one genesis for a hive, the first in causal order counts."""
    founded = [event for event in counted.values() if isinstance(event.body, HiveFounded)]
    first = min(founded, key=lambda e: (depth[e.id], e.fields.author, e.fields.feed, e.id), default=None)
    return frozenset(first.body.witnesses) if first else frozenset()


def _covered(held: Mapping[str, Event], depth: Mapping[str, int], closings: list[Event]) -> Iterable[tuple[str, int]]:
    """Yield each event that one witness covers, with the first epoch in which it does."""
    before: set[str] = set()
    heads: dict[str, list[str]] = {}
    for event in sorted(closings, key=lambda e: (depth[e.id], e.id)):
        walk(held, causes(event), before)
        heads[event.id] = [head for head in event.body.heads if head in before]
    covered: set[str] = set()
    for event in sorted(closings, key=lambda e: (e.body.epoch, depth[e.id], e.id)):
        for name in walk(held, heads[event.id], covered):
            yield name, event.body.epoch
