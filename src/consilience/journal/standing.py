"""The fold that knows of excision: views get events that stand, and are told of those that were withdrawn.

Rules:
    1. A view that does nothing about withdrawn events never sees them. One that has `apply_withdrawn` is told:
       what was spent, numbered or tried stays so, though the result no longer counts.
    2. An event that rests on withdrawn ones is withdrawn as it comes: one look at its references, none where
       nothing was excised.
    3. A new excision, or one taken back, changes what came before: the fold is then `stale`, and is to be made
       again from the first event.

Data flow: events in canonical order + Excisions -> `fold_standing` -> views; Journal.append -> StandingFold -> views.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

from consilience.core.bodies_journal import ExcisionWithdrawn, ResultExcised
from consilience.core.events import Event
from consilience.journal.excision import NO_EXCISIONS, Excisions, rests_on
from consilience.journal.view import View


@runtime_checkable
class FoldedWithdrawn(Protocol):
    """**Protocol:** a view that withdrawn events leave something in."""

    def apply_withdrawn(self, event: Event, excision: str) -> None:
        """Take one more event that the `result.excised` event of this id withdrew."""


class StandingFold:
    """Views behind excision. It is itself a view, to be followed by a journal."""

    stale = False

    def __init__(self, views: Sequence[View]) -> None:
        self.restart(views, (), NO_EXCISIONS)

    def restart(self, views: Sequence[View], events: Iterable[Event], excisions: Excisions) -> None:
        """Fold all events into new views. It is not stale then: the excisions among them are known."""
        self.views = tuple(views)
        self._stated = excisions.stated
        self._places = {excision.event: place for place, excision in enumerate(excisions.stated)}
        self._withdrawn = dict(excisions.withdrawn)
        self._told = tuple(view for view in self.views if isinstance(view, FoldedWithdrawn))
        for event in events:
            self.apply(event)
        self.stale = False

    @property
    def excisions(self) -> Excisions:
        """What was known of excisions when this fold began, with all that has come to rest on what they withdrew."""
        return Excisions(stated=self._stated, withdrawn=self._withdrawn)

    def apply(self, event: Event) -> None:
        """Take one more event, in canonical order."""
        excision = self._withdrawn_by(event) if self._withdrawn else ""
        if excision:
            self._withdrawn[event.id] = excision
            for told in self._told:
                told.apply_withdrawn(event, excision)
            return
        self.stale |= isinstance(event.body, ResultExcised | ExcisionWithdrawn)
        for view in self.views:
            view.apply(event)

    def _withdrawn_by(self, event: Event) -> str:
        """Return the excision that withdrew an event: of several the first, as `excisions_of` has it."""
        mine = self._withdrawn.get(event.id)
        if mine:
            return mine
        found = {self._withdrawn[name] for name in rests_on(event) if name in self._withdrawn}
        return min(found, key=self._places.__getitem__, default="")


def fold_standing(views: Sequence[View], events: Iterable[Event], excisions: Excisions) -> StandingFold:
    """Fold events into new views, and return the fold to go on with."""
    made = StandingFold(())
    made.restart(views, events, excisions)
    return made
