"""Looking through a journal's events as they are, and waiting for new ones while somebody writes.

Rules:
    1. Nothing is folded (but where something was excised) and nothing is locked: the writer never waits for a reader.
    2. What is new is what was committed: SQLite's `data_version` changes with each commit of another connection.

Data flow: state folder -> EventLog -> `consilience log`.

Source: https://sqlite.org/pragma.html#pragma_data_version.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from msgspec.structs import replace

from consilience.core.bodies_journal import ResultExcised
from consilience.core.errors import NotFoundError, UsageError
from consilience.core.events import Event
from consilience.journal.acting import excisions_in
from consilience.journal.browsing import Choice, authors_named, following, latest
from consilience.journal.excision import NO_EXCISIONS, Excisions
from consilience.journal.feed import Row, read_event
from consilience.journal.quarantine import Proof
from consilience.journal.queries import hive_authors, identity_hives, rare_rows
from consilience.journal.reader import JournalReader
from consilience.node.reading import find_hive
from consilience.node.verifying import fresh_keys, ring_of

_POLL_SECONDS = 0.2  # how late a followed event is shown; each poll is one PRAGMA


class EventLog:
    """The events of one study, with those of the identities that signed them."""

    def __init__(self, journal: JournalReader, hive: str) -> None:
        self._journal = journal
        store = journal.store
        self._hives = tuple(dict.fromkeys((hive, *identity_hives(store, hive_authors(store, hive)))))

    @classmethod
    def open(cls, state: Path, problem: str = "") -> EventLog:
        """Open the journal in a state folder at the hive of a problem, or at the one that was founded last.

        Raises:
            NotFoundError: no journal, or no such problem in it.
        """
        journal = JournalReader.open(state)
        journal.keys = fresh_keys
        try:
            journal.check_tail(ring_of(journal.store))
            return cls(journal, find_hive(journal, state, problem)[0])
        except BaseException:
            journal.close()
            raise

    def choice(self, *, kind: str = "", author: str = "", since: int = 0) -> Choice:
        """Return what to look for; `author` is a DID or its beginning.

        Raises:
            NotFoundError: no such author in this study.
            UsageError: several.
        """
        chosen = Choice(hives=self._hives, kind=kind, since=since)
        if not author:
            return chosen
        found = authors_named(self._journal.store, self._hives, author)
        if not found:
            raise NotFoundError(f"no author {author!r} in this study", hint="`consilience verify` lists the authors")
        if len(found) > 1:
            raise UsageError(f"{len(found)} authors begin with {author!r}", hint="give more of the DID")
        return replace(chosen, author=found[0])

    def latest(self, choice: Choice, count: int | None) -> list[tuple[int, Event]]:
        """Return the latest events with their local positions, oldest first; None is all."""
        return [_event(row) for row in latest(self._journal.store, choice, count)]

    def follow(self, choice: Choice) -> Iterator[tuple[int, Event]]:
        """Yield events from `choice.since` on as they are committed, for ever."""
        store = self._journal.store
        seen = -1
        while True:
            version = store.select("PRAGMA data_version")[0][0]
            if version != seen:
                for row in following(store, choice):
                    yield _event(row)
                    choice = replace(choice, since=row.position + 1)
                seen = version
            time.sleep(_POLL_SECONDS)

    def next_position(self) -> int:
        """Return the local position that the next event will have."""
        return self._journal.store.count()

    def excisions(self) -> Excisions:
        """Return what was excised in this study. Reads its events only where something was."""
        store, hive = self._journal.store, self._hives[0]
        if not rare_rows(store, hive, ResultExcised):
            return NO_EXCISIONS
        return excisions_in(self._journal.events(hive), self._journal.keys)

    def quarantined(self) -> tuple[Proof, ...]:
        """Return why authors of this study are in quarantine."""
        return self._journal.proofs(self._hives[0])

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()


def _event(row: Row) -> tuple[int, Event]:
    return row.position, read_event(row.payload, row.jws)
