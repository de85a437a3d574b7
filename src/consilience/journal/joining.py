"""Ranges of a journal joined in order: what a range cannot know of itself, and the first fault by position.

Rules:
    1. A range is taken up and forgotten; memory grows with feeds, not with ranges.
    2. Gaps between ranges, and feeds that do not go on, are faults at the row where they show.

Data flow: `checking.Passed` of each range, in order -> `join` -> `verify`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from consilience.journal.checking import Fault, FeedKey, Opening, Passed, missing_before
from consilience.journal.feed import FeedHead, check_head


def join(ranges: Iterable[Passed]) -> Passed:
    """Link ranges, in order, to one another; stop at the first fault."""
    whole = Passed()
    for part in ranges:
        fault = _first_fault(whole, part)
        for key, head in part.heads.items():
            if key not in whole.heads or head.seq > whole.heads[key].seq:  # lower where a branch goes on
                whole.heads[key] = head
        whole.built_on |= part.built_on
        whole.events += _rows_before(fault, part)
        if fault is not None:
            whole.fault = fault
            break
        whole.next = part.next if part.first else whole.next
    return whole


def _rows_before(fault: Fault | None, part: Passed) -> int:
    """Return how many rows of a range held before the fault; positions have no gaps up to there."""
    if fault is None or fault.position < 0 or part.first is None:
        return part.events
    return min(part.events, fault.position - part.first.position)


def _first_fault(whole: Passed, part: Passed) -> Fault | None:
    """Return what is wrong first: a gap before the range, a feed that does not go on, or its own fault."""
    if part.first is not None and part.first.position != whole.next:
        first = part.first
        what = missing_before(whole.next)
        return Fault(what=what, position=first.position, event=first.event, feed=first.feed, seq=first.seq)
    found = [*_broken_links(whole.heads, part.opened), *([part.fault] if part.fault else [])]
    return min(found, key=lambda fault: fault.position, default=None)


def _broken_links(heads: Mapping[FeedKey, FeedHead], opened: Mapping[FeedKey, Opening]) -> Iterator[Fault]:
    for key, opening in opened.items():
        hive, author, feed = key
        head = heads.get(key) or FeedHead(hive=hive, author=author, feed=feed)
        what = check_head(head, opening.before)
        if what and not opening.branches:
            seq = opening.before.seq + 1
            yield Fault(what=what, position=opening.position, event=opening.event, feed=feed, seq=seq)
