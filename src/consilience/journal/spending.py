"""The spending feed: the one feed of an author in a hive whose events may spend.

Rules:
    1. Its first event says so. An author has one in each hive; a second is equivocation, so none is ever opened while
       one is known, wherever it was written.
    2. Only the device that holds its mark extends it, and only from where the mark stands (`journal.device`). The
       device notes which feed it is beside its marks, so that a restored journal opens no second one.

Data flow: Journal.open_spending -> `SpendingFeed.claim` -> Journal.spend.
"""

from __future__ import annotations

from pathlib import Path

from consilience.core.canonical import sha256_hex
from consilience.core.errors import JournalError
from consilience.journal.device import FeedMark, claim_feed
from consilience.journal.feed import FeedHead
from consilience.journal.queries import own_heads
from consilience.journal.store import Store

_DIGITS = 16
_HINT = "spend on the device that opened it, or import its newest journal here first"


class SpendingFeed:
    """The feed as it is written: where it stands, and this device's mark."""

    def __init__(self, head: FeedHead, mark: FeedMark) -> None:
        self.head = head
        self._mark = mark

    @classmethod
    def claim(cls, store: Store, entered: FeedHead, marks: Path) -> SpendingFeed:
        """Take up the author's spending feed in the hive that was entered, or a new one where there is none.

        Raises:
            JournalError: there is one that this device may not extend.
        """
        hive, author = entered.hive, entered.author
        heads = own_heads(store, hive, author, spending=True)
        whole = {feed: head.seq for feed, head in heads.items() if head is not None}
        note = marks / "spending" / f"{hive}-{sha256_hex(author.encode())[:_DIGITS]}"
        known = _read(note)
        if not heads and known:
            whole = {known: -1}  # opened and never committed: its mark says so, else it is refused below
        if len(heads) > 1 or len(whole) < len(heads):
            raise JournalError("there are two spending feeds, or the one forks: its author spends no more here")
        mark = claim_feed(marks, whole, f"{hive} {store.path.resolve()}")
        if whole and mark.feed not in whole:
            mark.release()
            (marks / mark.feed).unlink(missing_ok=True)
            raise JournalError("the spending feed is written elsewhere, or this copy of it is older", hint=_HINT)
        _write(note, mark.feed)
        return cls(heads.get(mark.feed) or FeedHead(hive=hive, author=author, feed=mark.feed), mark)

    def move(self) -> None:
        """Remember how far the journal holds the feed."""
        self._mark.move(self.head.seq)

    def release(self) -> None:
        """Let go of the feed."""
        self._mark.release()


def _read(note: Path) -> str:
    return note.read_text() if note.is_file() else ""


def _write(note: Path, feed: str) -> None:
    """Remember which feed spends, before it has an event: an older copy of the journal may not hold it."""
    try:
        note.parent.mkdir(exist_ok=True, mode=0o700)
        note.write_text(feed)
    except OSError as error:
        raise JournalError(f"cannot note the spending feed in {note}: {error}", hint="make it writable") from error
