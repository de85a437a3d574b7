"""Questions to a journal's file that an index answers at once, however long the journal is.

Rules:
    1. Only reads. Each answer takes one or a few look-ups for each feed, kind or identity, not for each event, but
       where a docstring says otherwise.
    2. Where feeds of two authors share an id, each answer still names one author.

Data flow: Store -> here -> Journal, intake, `log`, reports.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from consilience.core.bodies_identity import IdentityCreated, KeyCertified
from consilience.core.bodies_journal import FeedOpened
from consilience.core.events import Event, identity_hive
from consilience.journal.feed import FeedHead, Row, read_event
from consilience.journal.kinds import kind_named
from consilience.journal.store import Store


def all_hives(store: Store) -> list[str]:
    """Return the ids of the hives in a journal, sorted."""
    found: list[str] = []
    query = "SELECT hive FROM event WHERE hive > ? ORDER BY hive LIMIT 1"
    while rows := store.select(query, (found[-1] if found else "",)):
        found.append(rows[0][0])
    return found


def feed_ids(store: Store, hive: str) -> list[str]:
    """Return the ids of a hive's feeds, sorted."""
    found: list[str] = []
    query = "SELECT feed FROM event WHERE hive = ? AND feed > ? ORDER BY feed LIMIT 1"
    while rows := store.select(query, (hive, found[-1] if found else "")):
        found.append(rows[0][0])
    return found


def is_unforked(store: Store) -> bool:
    """Tell, by the last seq of each feed, whether no feed of the journal forks: feeds have no gaps (`journal.intake`).

    False also where two authors' feeds share an id, which no honest one does.
    """
    query = "SELECT seq FROM event WHERE hive = ? AND feed = ? ORDER BY seq DESC LIMIT 1"
    lasts = (store.select(query, (hive, feed))[0][0] for hive in all_hives(store) for feed in feed_ids(store, hive))
    return bool(sum(last + 1 for last in lasts) == store.count())


def feed_head(store: Store, hive: str, author: str, feed: str, *, unforked: bool) -> FeedHead | None:
    """Return where a feed stands, None where it is not here or forks: its events are counted, unless none forks."""
    query = "SELECT seq, id FROM event WHERE hive = ? AND feed = ? AND author = ? ORDER BY seq DESC LIMIT 1"
    rows = store.select(query, (hive, feed, author))
    if not rows or not (unforked or _count(store, hive, feed) == rows[0][0] + 1):
        return None
    return FeedHead(hive=hive, author=author, feed=feed, seq=rows[0][0], id=rows[0][1])


def _count(store: Store, hive: str, feed: str) -> int:
    return int(store.select("SELECT count(*) FROM event WHERE hive = ? AND feed = ?", (hive, feed))[0][0])


def feed_start(store: Store, hive: str, author: str, feed: str) -> Event | None:
    """Return a feed's first event."""
    query = "SELECT payload, jws FROM event WHERE hive = ? AND feed = ? AND seq = 0 AND author = ? ORDER BY id LIMIT 1"
    rows = store.select(query, (hive, feed, author))
    return read_event(bytes(rows[0][0]), rows[0][1]) if rows else None


def _is_spending(start: Event | None) -> bool:
    """Tell whether a feed that starts so may spend."""
    return start is not None and isinstance(start.body, FeedOpened) and start.body.spending


def own_heads(store: Store, hive: str, author: str, *, spending: bool) -> dict[str, FeedHead | None]:
    """Return where an author's feeds in a hive stand, of those that spend or of the others; None where one forks."""
    heads: dict[str, FeedHead | None] = {}
    unforked = is_unforked(store)
    for feed in feed_ids(store, hive):
        start = feed_start(store, hive, author, feed)
        if start is not None and _is_spending(start) == spending:
            heads[feed] = feed_head(store, hive, author, feed, unforked=unforked)
    return heads


def place_of(store: Store, event: str) -> tuple[str, str, str, int] | None:
    """Return hive, author, feed and seq of an event, None when it is not here."""
    rows = store.select("SELECT hive, author, feed, seq FROM event WHERE id = ?", (event,))
    return tuple(rows[0]) if rows else None


def identity_hives(store: Store, authors: Iterable[str]) -> list[str]:
    """Return the hives here of these authors and of whoever certified them, up to the operators, sorted."""
    known = {hive for hive, author in _created(store) if hive == identity_hive(author)}
    if not known:
        return []
    certifiers = _certifiers(store)
    found: set[str] = set()
    waiting = list(authors)
    seen: set[str] = set()
    while waiting:
        author = waiting.pop()
        if author not in seen:
            seen.add(author)
            found.add(identity_hive(author))
            waiting.extend(certifiers.get(author, ()))
    return sorted(found & known)


def _created(store: Store) -> list[tuple[str, str]]:
    query = "SELECT hive, author FROM event WHERE kind = ?"
    return [(hive, author) for hive, author in store.select(query, (kind_named(IdentityCreated),))]


def _certifiers(store: Store) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in store.rows(kind=kind_named(KeyCertified)):
        body = read_event(row.payload, row.jws).body
        if isinstance(body, KeyCertified):
            found.setdefault(body.key, []).append(row.author)
    return found


def rare_rows(store: Store, hive: str, body: type[Any]) -> list[Row]:
    """Return a hive's rows of a kind that is rare in every journal: found by kind, then sorted out by hive."""
    return [row for row in store.rows(kind=kind_named(body)) if row.hive == hive]


class Elsewhere:
    """Holds the events that are here, but in none of some hives. One look-up for each name that is asked for."""

    def __init__(self, store: Store, hives: Iterable[str]) -> None:
        self._store = store
        self._hives = frozenset(hives)
        self._known: dict[object, bool] = {}

    def __contains__(self, name: object) -> bool:
        if name not in self._known:
            place = place_of(self._store, str(name))
            self._known[name] = place is not None and place[0] not in self._hives
        return self._known[name]


def hive_authors(store: Store, hive: str) -> set[str]:
    """Return who writes in a hive: one look-up for each feed."""
    query = "SELECT author FROM event WHERE hive = ? AND feed = ? AND seq = 0"
    return {author for feed in feed_ids(store, hive) for (author,) in store.select(query, (hive, feed))}
