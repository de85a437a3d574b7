"""How far views are folded, and whether more events may simply be folded on top.

Rules:
    1. On top of what is folded may come only an event that builds on all of it: whatever canonical order is, it
       never puts an effect before its cause. Anything else may belong somewhere in between: a refold tells.
    2. Where the events before did not all build on one another, a closed epoch may sort them anew.
    3. An excision, or its withdrawal, changes what came before.
    4. Pure.

Data flow: event -> `follows`, `after` -> Progress -> `journal.snapshots`.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from consilience.core.bodies import EpochClosed
from consilience.core.bodies_journal import ExcisionWithdrawn, ResultExcised
from consilience.core.events import Event
from consilience.journal.feed import FeedHead


class Progress(Struct, frozen=True, kw_only=True):
    """Where a fold of one hive stands.

    Attributes:
        position: local position of the last event of the hive that is folded; all before it are, too.
        event: the id of the event there.
        events: how many are folded, those of identities and excised ones included.
        heads: where each feed stands.
        tips: ids of events that no other one builds on.
        chained: whether each event of the hive built on all before it.
    """

    position: int = -1
    event: str = ""
    events: int = 0
    heads: dict[str, FeedHead] = {}
    tips: tuple[str, ...] = ()
    chained: bool = True

    def follows(self, event: Event) -> bool:
        """Tell whether an event comes after everything that is folded, and changes nothing about its order."""
        if not set(self.tips) <= _causes(event):
            return False
        if isinstance(event.body, ResultExcised | ExcisionWithdrawn):
            return False
        return self.chained or not isinstance(event.body, EpochClosed)

    def beside(self, event: Event) -> Progress:
        """Return where the fold stands after one more event of an identity: those come before all of the hive."""
        return replace(self, events=self.events + 1, heads=self._heads_after(event))

    def after(self, event: Event) -> Progress:
        """Return where the fold stands after one more event."""
        causes = _causes(event)
        return replace(
            self,
            events=self.events + 1,
            heads=self._heads_after(event),
            tips=(*(tip for tip in self.tips if tip not in causes), event.id),
            chained=self.chained and set(self.tips) <= causes,
        )

    def _heads_after(self, event: Event) -> dict[str, FeedHead]:
        fields = event.fields
        head = FeedHead(hive=fields.hive, author=fields.author, feed=fields.feed, seq=fields.seq, id=event.id)
        return {**self.heads, f"{fields.hive} {fields.author} {fields.feed}": head}


def _causes(event: Event) -> set[str]:
    return {*event.fields.after, *([event.fields.prev] if event.fields.prev else [])}
