"""The beliefs view: what each author holds to be true in a hive, from which evidence, and how strongly by now.

Rules:
    1. A piece of evidence counts once, however often it is named; named on both sides it counts against.
    2. Evidence fades with the events of its hive that came after it, never with a clock: folding the same
       events again gives the same strengths.
    3. Events that are excised must not be folded: a belief that rests on them falls with them.

Data flow: belief.held, and the number of events of its hive -> here -> `node.beliefs`, `journal.views.soul`.
"""

from __future__ import annotations

import math
from collections import defaultdict

from msgspec import Struct

from consilience.core.bodies_identity import BeliefHeld, BeliefType
from consilience.core.events import Event

PRIOR_FOR, PRIOR_AGAINST = 4.0, 1.0
"""Beta prior, as if four pieces of evidence had spoken for and one against: a belief starts at 0.8, one piece against
it makes 0.67, two make 0.57. So one candidate alone, which may have cheated, does not overturn a belief."""

HALF_LIFE_EVENTS = 2000
"""Events of the hive after which evidence counts half: some 600 trials, of three events each and their verdicts. So
what was doubted long ago is tried again."""


class BeliefRow(Struct, frozen=True, kw_only=True):
    """One belief as it stands.

    Attributes:
        strength: Beta mean of prior and faded evidence, 0 to 1.
        supports, contradicts: the events that speak for and against.
        weight_for, weight_against: what they count by now.
        age: events of the hive since the latest evidence.
        events: the `belief.held` events behind it.
    """

    hive: str
    author: str
    type: BeliefType
    subject: str
    strength: float
    supports: tuple[str, ...]
    contradicts: tuple[str, ...]
    weight_for: float
    weight_against: float
    age: int
    events: tuple[str, ...]


_Key = tuple[str, str, BeliefType, str]


class _Held:
    """Evidence by event id, with the number of events that its hive had when it was first named."""

    def __init__(self) -> None:
        self.supports: dict[str, int] = {}
        self.contradicts: dict[str, int] = {}
        self.events: list[str] = []

    def add(self, event: Event, body: BeliefHeld, now: int) -> None:
        self.events.append(event.id)
        for name in body.supports:
            self.supports.setdefault(name, now)
        for name in body.contradicts:
            self.contradicts.setdefault(name, now)


class BeliefsView:
    """Fold of the beliefs in any number of hives; each hive's events in canonical order."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = defaultdict(int)
        self._held: dict[_Key, _Held] = defaultdict(_Held)

    def apply(self, event: Event) -> None:
        """Take one more event."""
        hive = event.fields.hive
        self._counts[hive] += 1
        body = event.body
        if isinstance(body, BeliefHeld):
            self._held[hive, event.fields.author, body.type, body.subject].add(event, body, self._counts[hive])

    def rows(self, author: str) -> list[BeliefRow]:
        """Return an author's beliefs, ordered by hive, type and subject."""
        return [self._row(key, self._held[key]) for key in sorted(self._held) if key[1] == author]

    def find(self, author: str, belief: BeliefType, subject: str) -> BeliefRow | None:
        """Return an author's belief about a subject, None where nothing was held yet."""
        return next((row for row in self.rows(author) if (row.type, row.subject) == (belief, subject)), None)

    def _row(self, key: _Key, held: _Held) -> BeliefRow:
        hive, author, belief, subject = key
        now = self._counts[hive]
        supports = {name: at for name, at in held.supports.items() if name not in held.contradicts}
        weight_for = sum(_faded(now - at) for at in supports.values())
        weight_against = sum(_faded(now - at) for at in held.contradicts.values())
        named = [*supports.values(), *held.contradicts.values()]
        return BeliefRow(
            hive=hive,
            author=author,
            type=belief,
            subject=subject,
            strength=strength(weight_for, weight_against),
            supports=tuple(supports),
            contradicts=tuple(held.contradicts),
            weight_for=weight_for,
            weight_against=weight_against,
            age=now - max(named, default=now),
            events=tuple(held.events),
        )


def strength(weight_for: float, weight_against: float) -> float:
    """Return the mean of the Beta distribution that the prior and this evidence make."""
    return (PRIOR_FOR + weight_for) / (PRIOR_FOR + PRIOR_AGAINST + weight_for + weight_against)


def _faded(age: int) -> float:
    return math.pow(0.5, age / HALF_LIFE_EVENTS)
