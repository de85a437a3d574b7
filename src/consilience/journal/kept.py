"""Comparing a kept snapshot with a fold from the first event: does the file show what the events say?

Rules:
    1. A snapshot's sums find damage, not forgery: whoever can write the file can write its sums. Only a fold from
       the first event tells.
    2. Every cell and every row of every view is compared, one at a time.
    3. What would not be believed anyway (damaged, of other code or another journal) shows nothing, and so no lie.

Data flow: views/HIVE.db + Fold from the first event -> `kept_difference` -> `consilience replay`.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

import msgspec

from consilience.journal.folding import Fold
from consilience.journal.snapshots import Source, open_kept
from consilience.journal.table_file import StateDamagedError
from consilience.journal.tables import KeptView, Lists


def kept_difference(source: Source, made: Fold) -> str:
    """Return which view of the kept snapshot is not what its events come to; "" where all are, or none is kept.

    Args:
        source: of the snapshot, up to where `made` is folded.
        made: the views folded from the first event.
    """
    kept = open_kept(source)
    if kept is None:
        return ""
    try:
        if kept.fold.progress.events != made.progress.events:
            return ""  # a run went on meanwhile
        return next((name for name in made.views if _differs(kept.fold.views[name], made.views[name])), "")
    except StateDamagedError:
        return ""
    finally:
        kept.close()


def _differs(one: KeptView, other: KeptView) -> bool:
    return any(a != b for a, b in zip_longest(_parts(one), _parts(other)))


def _parts(view: KeptView) -> Iterator[bytes]:
    """Yield all that a view holds, piece by piece, as the bytes that would be kept."""
    for cell in sorted(view.cells):
        yield msgspec.msgpack.encode([cell, operator.attrgetter(cell)(view)])
    for name in sorted({*view.tables, *view.lists}):
        held: Any = getattr(view, name)
        for key in held:
            yield msgspec.msgpack.encode([name, key, list(held[key]) if isinstance(held, Lists) else held[key]])
