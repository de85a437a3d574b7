"""Excision: which results were withdrawn, by which excision, and so which events still stand.

Rules:
    1. Nothing is deleted: an excised event stays in the journal; views are told that it was withdrawn.
    2. What rests on an excised result (`journal.kinds`) is excised with it; what only mentions it is not. Only
       kinds that the registry calls results are ever excised.
    3. An excision without authority (`journal.authority`) has no effect, on any node.
    4. Pure: the same events give the same answer, whatever order they came in.
    5. Without an excision all this costs one look at each event.

Data flow: events in canonical order -> `excisions_of` -> Excisions -> `journal.standing` -> views.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from consilience.core.bodies_journal import ExcisionWithdrawn, ResultExcised
from consilience.core.canonical import hash_value
from consilience.core.events import Event
from consilience.journal.authority import ActsFor, Authority
from consilience.journal.kinds import BY_NAME, references


class Excision(Struct, frozen=True, kw_only=True):
    """An excision as its event states it.

    Attributes:
        event: the `result.excised` event.
        author: who excised.
        target: the result that it names.
        reason: in the author's words; untrusted.
        refused: why it has no effect; "" where it has.
        taken_back: the `excision.withdrawn` event that took it back; "" for none.
    """

    event: str
    author: str
    target: str
    reason: str
    refused: str = ""
    taken_back: str = ""

    @property
    def in_force(self) -> bool:
        """Whether it has an effect."""
        return not (self.refused or self.taken_back)


class Excisions(Struct, frozen=True, kw_only=True):
    """What excision has come to: every one in canonical order, and by withdrawn event the one that did it."""

    stated: tuple[Excision, ...] = ()
    withdrawn: Mapping[str, str] = {}

    @property
    def in_force(self) -> tuple[Excision, ...]:
        """Those that have an effect."""
        return tuple(excision for excision in self.stated if excision.in_force)

    def of(self, event: str) -> Excision | None:
        """Return the excision that withdrew an event, None where it stands."""
        name = self.withdrawn.get(event, "")
        return self.named(name) if name else None

    def named(self, event: str) -> Excision | None:
        """Return the excision that a `result.excised` event states."""
        return next((excision for excision in self.stated if excision.event == event), None)

    def without(self, events: Sequence[Event]) -> list[Event]:
        """Return the events that stand, in the order given."""
        return [event for event in events if event.id not in self.withdrawn] if self.withdrawn else list(events)


NO_EXCISIONS = Excisions()


def excisions_of(events: Sequence[Event], acts_for: ActsFor | None = None) -> Excisions:
    """Return what was withdrawn among the events of one hive.

    Args:
        events: in canonical order: the policy in force at an excision's place decides over it.
        acts_for: see `journal.authority`.
    """
    if not any(isinstance(event.body, ResultExcised) for event in events):
        return NO_EXCISIONS
    stated = _stated(events, acts_for or {})
    below = results_below(events)
    withdrawn: dict[str, str] = {}
    for excision in stated:
        if excision.in_force:
            for name in descendants(below, excision.target):
                withdrawn.setdefault(name, excision.event)
    return Excisions(stated=stated, withdrawn=withdrawn)


def excision_digest(excisions: Excisions) -> str:
    """Name the excisions in force: with the same events, equal digests mean equal withdrawn events; "" for none."""
    names = sorted(excision.event for excision in excisions.in_force)
    return hash_value(names) if names else ""


def results_below(events: Iterable[Event]) -> dict[str, list[str]]:
    """Return by event the results that rest on it directly. Order plays no part: an effect may precede its cause."""
    below: dict[str, list[str]] = defaultdict(list)
    for event in events:
        for name in rests_on(event):
            below[name].append(event.id)
    return below


def descendants(below: Mapping[str, Sequence[str]], target: str) -> list[str]:
    """Return a result with all that rests on it, nearest first; `below` is of `results_below`."""
    found = {target}
    queue = [target]
    for name in queue:
        for child in below.get(name, ()):
            if child not in found:
                found.add(child)
                queue.append(child)
    return queue


def rests_on(event: Event) -> tuple[str, ...]:
    """Return what a result rests on; nothing for what is no result, or not known here."""
    kind = BY_NAME.get(event.fields.kind)
    return references(event.body, kind.rests_on) if kind and kind.result and event.body is not None else ()


def taking_back_fault(excision: Excision, maker: str, author: str, authority: Authority) -> str:
    """Return why this author may not take an excision back, "" where it may.

    Args:
        excision: in question.
        maker: the author of the excised result.
        author: who takes it back.
        authority: at that place of the fold.
    """
    by_role = not authority.owns(excision.author, maker) and authority.is_member(author)
    if authority.owns(author, excision.author) or by_role:
        return ""
    return f"it was made by {excision.author}: only its author may take it back, or a role for what a role excised"


def _stated(events: Sequence[Event], acts_for: ActsFor) -> tuple[Excision, ...]:
    """Return every excision with what has become of it."""
    held = {event.id: event for event in events}
    authority = Authority(acts_for=acts_for)
    found: dict[str, Excision] = {}
    takings: list[tuple[Event, Authority]] = []
    for event in events:
        if isinstance(event.body, ResultExcised):
            found[event.id] = _excision(event, event.body, held.get(event.body.target), authority)
        elif isinstance(event.body, ExcisionWithdrawn):
            takings.append((event, authority))
        else:
            authority = authority.after(event)
    for event, then in takings:
        _take_back(found, held, event, then)
    return tuple(found.values())


def _excision(event: Event, body: ResultExcised, target: Event | None, authority: Authority) -> Excision:
    author = event.fields.author
    refused = "its target is not here" if target is None else authority.fault(author, target)
    return Excision(event=event.id, author=author, target=body.target, reason=body.reason, refused=refused)


def _take_back(found: dict[str, Excision], held: Mapping[str, Event], event: Event, authority: Authority) -> None:
    excision = found.get(event.body.excision)
    if excision is None or not excision.in_force:
        return
    maker = held[excision.target].fields.author
    if not taking_back_fault(excision, maker, event.fields.author, authority):
        found[excision.event] = replace(excision, taken_back=event.id)
