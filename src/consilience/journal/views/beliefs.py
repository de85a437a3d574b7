"""The beliefs view: what each author holds to be true in a hive, from which evidence, and how strongly by now.

Rules:
    1. A piece of evidence counts once, however often it is named; named on both sides it counts against.
    2. Evidence fades with the events of its hive that came after it, never with a clock: folding the same
       events again gives the same strengths.
    3. Evidence that no belief names yet is pending. One winner that was measured again is one piece: the verdict on
       it, which rests on every one of its rechecks, so that withdrawing any of them withdraws the evidence.
    4. Events that are excised must not be folded: a belief that rests on them falls with them, and what else it
       rested on is pending again.

Data flow: belief.held, trial.*, verdict.reached, number of events -> here -> `node.beliefs`, `journal.views.soul`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from msgspec import Struct

from consilience.core.bodies import TrialCancelled, TrialFinished, TrialStarted, VerdictReached
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


class _Held(Struct):
    """Evidence by event id, with the number of events that its hive had when it was first named."""

    hive: str
    author: str
    type: BeliefType
    subject: str
    supports: dict[str, int] = {}
    contradicts: dict[str, int] = {}
    events: list[str] = []


class Evidence(Struct, frozen=True, kw_only=True):
    """Evidence that no belief names yet: verdicts on winners that fresh processes repeated, or did not."""

    supports: tuple[str, ...]
    contradicts: tuple[str, ...]


class _Pending(Struct):
    """A verdict that is evidence; `repeated` says for which side."""

    author: str
    repeated: bool


class BeliefsView:
    """Fold of the beliefs in any number of hives; each hive's events in canonical order."""

    cells: ClassVar[Mapping[str, Any]] = {
        "_counts": dict[str, int],
        "_held": dict[str, _Held],
        "_rechecks": dict[str, str],
        "_rechecked": dict[str, bool],
        "_pending": dict[str, _Pending],
    }
    tables: ClassVar[Mapping[str, Any]] = {}
    lists: ClassVar[Mapping[str, Any]] = {}

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._held: dict[str, _Held] = {}
        self._rechecks: dict[str, str] = {}  # started -> candidate
        self._rechecked: dict[str, bool] = {}  # candidates that were measured again and not judged yet
        self._pending: dict[str, _Pending] = {}

    def apply(self, event: Event) -> None:
        """Take one more event."""
        hive = event.fields.hive
        self._counts[hive] = self._counts.get(hive, 0) + 1
        match event.body:
            case TrialStarted(purpose="recheck") as body:
                self._rechecks[event.id] = body.proposed
            case TrialCancelled() as body:
                self._rechecks.pop(body.started, None)
            case TrialFinished() as body if body.started in self._rechecks:
                self._rechecked[self._rechecks.pop(body.started)] = True
            case VerdictReached() as body if self._rechecked.pop(body.candidate, False):
                repeated = body.verdict in ("promoted", "escalated")
                self._pending[event.id] = _Pending(author=event.fields.author, repeated=repeated)
            case BeliefHeld() as body:
                self._hold(event, body)

    def _hold(self, event: Event, body: BeliefHeld) -> None:
        hive, author = event.fields.hive, event.fields.author
        empty = _Held(hive=hive, author=author, type=body.type, subject=body.subject)
        held = self._held.setdefault(f"{hive}\n{author}\n{body.type}\n{body.subject}", empty)
        held.events.append(event.id)
        for names, kept in ((body.supports, held.supports), (body.contradicts, held.contradicts)):
            for name in names:
                kept.setdefault(name, self._counts[hive])
                self._pending.pop(name, None)

    def pending(self, author: str) -> Evidence:
        """Return an author's evidence that no belief names yet, in order of event."""
        mine = {name: each.repeated for name, each in self._pending.items() if each.author == author}
        return Evidence(
            supports=tuple(name for name, repeated in mine.items() if repeated),
            contradicts=tuple(name for name, repeated in mine.items() if not repeated),
        )

    def rows(self, author: str) -> list[BeliefRow]:
        """Return an author's beliefs, ordered by hive, type and subject."""
        return [self._row(self._held[key]) for key in sorted(self._held) if self._held[key].author == author]

    def find(self, author: str, belief: BeliefType, subject: str) -> BeliefRow | None:
        """Return an author's belief about a subject, None where nothing was held yet."""
        return next((row for row in self.rows(author) if (row.type, row.subject) == (belief, subject)), None)

    def _row(self, held: _Held) -> BeliefRow:
        now = self._counts[held.hive]
        supports = {name: at for name, at in held.supports.items() if name not in held.contradicts}
        weight_for = sum(_faded(now - at) for at in supports.values())
        weight_against = sum(_faded(now - at) for at in held.contradicts.values())
        named = [*supports.values(), *held.contradicts.values()]
        return BeliefRow(
            hive=held.hive,
            author=held.author,
            type=held.type,
            subject=held.subject,
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
