"""Browsing: rows of chosen hives, kinds and authors by local position, found by index, newest or oldest first.

Rules:
    1. Reads rows, never folds: what is excised, left out or unknown is shown like all else.
    2. The latest few rows of a journal of a million are found without reading the others, for each kind by its index.
    3. A name of kinds is a glob (``trial.*``) or the beginning of one (``trial.``).

Data flow: Store -> `latest`, `following` -> `consilience log`.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from fnmatch import fnmatchcase
from itertools import islice

from msgspec import Struct

from consilience.journal.feed import COLUMNS, Row, stored_row
from consilience.journal.store import Store

_GLOB = frozenset("*?[")
_STEP = 256  # rows of one look: a reader holds no transaction open between two


class Choice(Struct, frozen=True, kw_only=True):
    """Which rows: of these hives, from position `since` on, of kinds and of authors that are named so; "" is all."""

    hives: tuple[str, ...]
    kind: str = ""
    author: str = ""
    since: int = 0


def kinds_named(store: Store, name: str) -> list[str] | None:
    """Return the kinds in a journal that a glob or beginning names, sorted; None for all of them."""
    if not name:
        return None
    pattern = name if _GLOB.intersection(name) else f"{name}*"
    found: list[str] = []
    last = ""
    while rows := store.select("SELECT kind FROM event WHERE kind > ? ORDER BY kind LIMIT 1", (last,)):
        last = rows[0][0]
        found.append(last)
    return [kind for kind in found if fnmatchcase(kind, pattern)]


def authors_named(store: Store, hives: tuple[str, ...], name: str) -> list[str]:
    """Return the authors in these hives whose DID begins with `name`, with or without ``did:key:``, sorted."""
    found: set[str] = set()
    last = ""
    while rows := store.select("SELECT author FROM event WHERE author > ? ORDER BY author LIMIT 1", (last,)):
        last = rows[0][0]
        if name and (last.startswith(name) or last.removeprefix("did:key:").startswith(name)):
            found.add(last)
    query = "SELECT 1 FROM event WHERE author = ? AND hive = ? LIMIT 1"
    return sorted(a for a in found if any(store.select(query, (a, hive)) for hive in hives))


def latest(store: Store, choice: Choice, count: int | None) -> list[Row]:
    """Return the latest `count` of the chosen rows (None: all), oldest first."""
    found = _merged(store, choice, newest_first=count is not None)
    return list(reversed(list(islice(found, count)))) if count is not None else list(found)


def following(store: Store, choice: Choice) -> Iterator[Row]:
    """Yield the chosen rows, oldest first, as many as there are now."""
    yield from _merged(store, choice, newest_first=False)


def _merged(store: Store, choice: Choice, *, newest_first: bool) -> Iterator[Row]:
    kinds = kinds_named(store, choice.kind)
    streams = [_rows(store, choice, kind, newest_first) for kind in ([None] if kinds is None else kinds)]
    chosen = heapq.merge(*streams, key=lambda row: -row.position if newest_first else row.position)
    return (row for row in chosen if _matches(row, choice))


def _matches(row: Row, choice: Choice) -> bool:
    return row.hive in choice.hives and choice.author in {"", row.author}


def _rows(store: Store, choice: Choice, kind: str | None, newest_first: bool) -> Iterator[Row]:  # noqa: FBT001
    """Yield rows of one kind or author by its index, or all by position; the rest is sorted out by the caller."""
    column, value = ("kind", kind) if kind is not None else ("author", choice.author)
    narrowed = f" AND {column} = ?" if value else ""
    sign, order = ("<", "DESC") if newest_first else (">", "ASC")
    query = (
        f"SELECT {COLUMNS} FROM event WHERE position >= ? AND position {sign} ?{narrowed} "  # noqa: S608  constants
        f"ORDER BY position {order} LIMIT {_STEP}"
    )
    place = store.count() if newest_first else choice.since - 1
    while True:
        values = (choice.since, place, value) if value else (choice.since, place)
        rows = store.select(query, values)
        for found in rows:
            yield stored_row(found)
        if len(rows) < _STEP:
            return
        place = rows[-1][0]
