"""A view: what every fold of events is to whoever feeds it.

Rules:
    1. Equal events in canonical order give equal states; no view reads a clock, chance or the order of arrival.

Data flow: events in canonical order -> `fold` -> view.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

from consilience.core.events import Event


class View(Protocol):
    """**Protocol:** a fold of events. The state is what `apply` left behind; equal events give equal states."""

    def apply(self, event: Event) -> None:
        """Take one more event, in canonical order. Must ignore kinds that it does not know."""


AnyView = TypeVar("AnyView", bound=View)


def fold(view: AnyView, events: Iterable[Event]) -> AnyView:
    """Apply every event to a new view and return it."""
    for event in events:
        view.apply(event)
    return view
