"""Quarantine: proofs that an author signed two histories, and which of his events count for nothing since.

Rules:
    1. Proof is two events with one author, feed and seq; two spending feeds of one author in one hive; or what the
       view of keys reports (two rotations that follow one key event). Both events are kept: they are the proof.
    2. Of an author in quarantine there counts what lies before the proof in the history that he signed himself: the
       past that all events of the proof share (`prev`, `after`, and the `closes` of rotations). All else of his in the
       hive is left out, in whatever feed, and with it what rests on it. The genesis of a hive always counts.
    3. A proof in a hive holds in that hive; one in the identity's own hive holds everywhere. Facts about identities
       are never left out: signatures are checked by them. The operator's other keys are not touched.
    4. Pure and monotone: a function of the set of events; more proof never brings an event back.

Data flow: feeds of one hive with its identities' events -> `forks`, `spendings` -> `left_out` -> `journal.order`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Literal

from msgspec import Struct

from consilience.core.bodies import HiveFounded
from consilience.core.bodies_identity import KeyRotated
from consilience.core.bodies_journal import FeedOpened
from consilience.core.events import Event
from consilience.journal.causality import causes, walk

ProofReason = Literal["forked-feed", "two-spending-feeds", "two-rotations"]


class Proof(Struct, frozen=True, kw_only=True, order=True):
    """Why an author is in quarantine. `events` are the ids of two or more events that no honest author signs.

    `feed` and `seq` say where a feed forks; elsewhere they are "" and -1.
    """

    author: str
    reason: ProofReason
    hive: str
    events: tuple[str, ...]
    feed: str = ""
    seq: int = -1


class _Past(Struct, frozen=True, kw_only=True):
    """What an event says came before it: ids, and by feed the last seq that a rotation closes it at."""

    ids: set[str]
    closes: dict[str, int]

    def holds(self, event: Event) -> bool:
        return event.id in self.ids or event.fields.seq <= self.closes.get(event.fields.feed, -1)


def fork(feed: Sequence[Event]) -> Proof | None:
    """Return the proof of a feed's first fork, None where it has none. The feed is sorted by seq."""
    for earlier, later in pairwise(feed):
        if earlier.fields.seq == later.fields.seq:
            fields = earlier.fields
            twins = sorted(event.id for event in feed if event.fields.seq == fields.seq)
            return Proof(
                author=fields.author,
                reason="forked-feed",
                hive=fields.hive,
                events=tuple(twins),
                feed=fields.feed,
                seq=fields.seq,
            )
    return None


def spendings(first_events: Iterable[Event]) -> list[Proof]:
    """Return a proof for each author who opened two spending feeds in one hive, from the first events of feeds."""
    opened: dict[tuple[str, str], list[str]] = defaultdict(list)
    for event in first_events:
        if isinstance(event.body, FeedOpened) and event.body.spending:
            opened[event.fields.author, event.fields.hive].append(event.id)
    return [
        Proof(author=author, reason="two-spending-feeds", hive=hive, events=tuple(sorted(names)))
        for (author, hive), names in sorted(opened.items())
        if len(names) > 1
    ]


def rotations(identities: Iterable[Event], suspects: Iterable[str]) -> list[Proof]:
    """Return the proof against each identity whose key chain equivocates: its rotations that cannot all be honest."""
    made: dict[str, list[Event]] = {author: [] for author in suspects}
    for event in identities:
        if isinstance(event.body, KeyRotated) and event.fields.author in made:
            made[event.fields.author].append(event)
    found: list[Proof] = []
    for author, events in sorted(made.items()):
        followed = Counter(event.body.previous for event in events)
        twins = [event for event in events if followed[event.body.previous] > 1] or events
        names = tuple(sorted(event.id for event in twins))
        if len(names) > 1:
            found.append(Proof(author=author, reason="two-rotations", hive=twins[0].fields.hive, events=names))
    return found


def left_out(held: Mapping[str, Event], proofs: Iterable[Proof], hive_events: Iterable[Event]) -> set[str]:
    """Return the ids among a hive's events that do not count because their author is in quarantine (rule 2).

    `held` is everything that can lie before a proof; what rests on the events returned is for the caller to find.
    """
    pasts: dict[str, list[_Past]] = defaultdict(list)
    for proof in proofs:
        pasts[proof.author] += [_past(held, held[name]) for name in proof.events if name in held]
    return {
        event.id
        for event in hive_events
        if event.fields.author in pasts
        and not isinstance(event.body, HiveFounded)
        and not all(past.holds(event) for past in pasts[event.fields.author])
    }


def _past(held: Mapping[str, Event], event: Event) -> _Past:
    ids: set[str] = set()
    walk(held, causes(event), ids)
    closes: dict[str, int] = {}
    for name in (event.id, *ids):
        for feed, seq in (getattr(held[name].body, "closes", None) or {}).items():
            closes[feed] = max(seq, closes.get(feed, -1))
    return _Past(ids=ids, closes=closes)
