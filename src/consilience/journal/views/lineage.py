"""The lineage view: which candidate came from which, back to the baseline. No parent is ever a ghost.

Data flow: candidate.proposed -> here -> `show`, `diff`, `why`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from consilience.core.bodies import CandidateProposed
from consilience.core.events import Event
from consilience.journal.tables import Lists, Table


class LineageView:
    """Fold of parents. Candidates are named by the id of their `candidate.proposed` event.

    Excised ones keep their place in the lineage; `excised` has the excision of each.
    """

    folds = (CandidateProposed,)

    cells: ClassVar[Mapping[str, Any]] = {}
    tables: ClassVar[Mapping[str, Any]] = {"excised": str, "parents": tuple[str, ...]}
    lists: ClassVar[Mapping[str, Any]] = {"children": str}

    def __init__(self) -> None:
        self.excised: Table[str] = Table()
        self.parents: Table[tuple[str, ...]] = Table()
        self.children: Lists[str] = Lists()

    def apply(self, event: Event) -> None:
        """Take one more event."""
        if isinstance(event.body, CandidateProposed):
            self.parents[event.id] = event.body.parents
            for parent in event.body.parents:
                self.children.append(parent, event.id)

    def apply_withdrawn(self, event: Event, excision: str) -> None:
        """Take one more event that was excised."""
        self.apply(event)
        if isinstance(event.body, CandidateProposed):
            self.excised[event.id] = excision

    def line(self, proposed: str) -> tuple[str, ...]:
        """Return the line of first parents from the baseline down to one candidate."""
        line = [proposed]
        while parents := self.parents.get(line[-1]):
            line.append(parents[0])
        return tuple(reversed(line))

    def descendants(self, proposed: str) -> set[str]:
        """Return everything that was made from one candidate."""
        found: set[str] = set()
        stack = [proposed]
        while stack:
            for child in self.children.get(stack.pop(), ()):
                if child not in found:
                    found.add(child)
                    stack.append(child)
        return found
