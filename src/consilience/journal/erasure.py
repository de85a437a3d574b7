"""Erasure: which texts may be taken away, who may do it, and taking their bytes out of the file.

Rules:
    1. Only blobs that events name in `erasable` fields alone can be erased; what any other field names is kept.
    2. The author of the first event here that names a blob may erase it, and so may an owner of that event's hive.
    3. The tombstone (`blobs.erased`) is durable before the bytes go; a crash in between is completed later.
    4. A blob that is absent without such a tombstone is a fault.

Data flow: events in order of arrival -> `ErasureView` -> `verify`, `node.retention`; names -> `erase_bytes` -> file.

Source for the bytes: https://sqlite.org/pragma.html, `secure_delete` and `wal_checkpoint`.
"""

from __future__ import annotations

import heapq
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import Struct

from consilience.core.bodies import HiveFounded
from consilience.core.bodies_journal import BlobsErased
from consilience.core.errors import JournalError
from consilience.core.events import Event
from consilience.journal.feed import read_event
from consilience.journal.kinds import BY_NAME, KINDS, kind_named, references, specification_blobs
from consilience.journal.store import Store

_WAIT_SECONDS = 10.0


class Use(Struct, frozen=True, kw_only=True):
    """An event that names an erasable blob."""

    event: str
    hive: str
    author: str
    at: int


class ErasureView:
    """Fold, in order of arrival, of who named which blob and who erased it."""

    def __init__(self) -> None:
        self.uses: dict[str, list[Use]] = defaultdict(list)
        self.kept: set[str] = set()
        self._owners: dict[str, tuple[str, ...]] = {}
        self._tombstones: dict[str, list[Event]] = defaultdict(list)

    def apply(self, event: Event) -> None:
        """Take one more event."""
        kind = BY_NAME.get(event.fields.kind)
        if kind is None or event.body is None:
            return
        if isinstance(event.body, HiveFounded):
            self._owners.setdefault(event.fields.hive, event.body.roles.get("owner", ()))
        if isinstance(event.body, BlobsErased):
            for name in event.body.blobs:
                self._tombstones[name].append(event)
        fields = event.fields
        use = Use(event=event.id, hive=fields.hive, author=fields.author, at=fields.at)
        for name in references(event.body, kind.erasable):
            self.uses[name].append(use)
        self.keep(references(event.body, tuple(name for name in kind.blobs if name not in kind.erasable)))

    def keep(self, names: Iterable[str]) -> None:
        """Protect blobs that are named elsewhere, such as by a specification."""
        self.kept.update(names)

    def refusal(self, name: str, author: str, hive: str) -> str:
        """Return "" when an author may erase a blob by a tombstone in a hive, else why not."""
        if name in self.kept:
            return "it is also an artifact, a specification or an environment, which are kept"
        if name not in self.uses:
            return "no event names it as a text that can be erased"
        first = self.uses[name][0]
        if hive != first.hive:
            return "its tombstone is in another hive"
        if author not in (first.author, *self._owners.get(hive, ())):
            return "it is another author's, and its hive has other owners"
        return ""

    def tombstone(self, name: str) -> Event | None:
        """Return the event by which a blob was erased by somebody who may; None when there is none."""
        for event in self._tombstones.get(name, ()):
            if not self.refusal(name, event.fields.author, event.fields.hive):
                return event
        return None

    def fault(self, name: str) -> str:
        """Return "" when a blob may be absent, else what is wrong."""
        if self.tombstone(name) is not None:
            return ""
        told = self._tombstones.get(name)
        if not told:
            return f"no blob {name[:12]}, and no tombstone says that it was erased"
        why = self.refusal(name, told[0].fields.author, told[0].fields.hive)
        return f"no blob {name[:12]}, and its tombstone {told[0].id[:12]} does not count: {why}"

    def erased(self) -> list[str]:
        """Return the blobs that were erased by somebody who may."""
        return sorted(name for name in self._tombstones if self.tombstone(name) is not None)


def read_erasures(store: Store) -> ErasureView:
    """Fold what a journal says of its blobs; reads only the kinds that name any.

    Raises:
        JournalError: an event or a specification cannot be read.
    """
    view = ErasureView()
    kinds = [kind.name for kind in KINDS if kind.blobs or kind.body in {HiveFounded, BlobsErased}]
    for row in heapq.merge(*(store.rows(kind=name) for name in kinds), key=lambda row: row.position):
        event = read_event(row.payload, row.jws)
        view.apply(event)
        if isinstance(event.body, HiveFounded) and event.body.specification:
            view.keep(specification_blobs(store.get(event.body.specification)))
    return view


def count_erased(store: Store) -> int:
    """Return how many texts are gone by a tombstone of somebody who may erase them."""
    if next(iter(store.rows(kind=kind_named(BlobsErased))), None) is None:
        return 0
    return sum(not store.has_blob(name) for name in read_erasures(store).erased())


def erased_text(events: Iterable[Event], name: str) -> str | None:
    """Return what stands for a text that is gone; None when no tombstone names it."""
    for event in events:
        if isinstance(event.body, BlobsErased) and name in event.body.blobs:
            return f"[erased: {event.body.rule}]"
    return None


def erase_bytes(path: Path, names: Sequence[str]) -> None:
    """Take blobs and their salts out of a journal's file, overwriting them, and empty the write-ahead log.

    The caller holds the writer's lock. What the file system or the disk keeps of overwritten blocks, and what is in
    backups, is beyond us.

    Raises:
        JournalError: the file cannot be written, or a reader keeps the log from being emptied.
    """
    connection = sqlite3.connect(path, isolation_level=None, timeout=_WAIT_SECONDS)
    try:
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA secure_delete=ON")
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("DELETE FROM blob WHERE name = ?", [(name,) for name in names])
        connection.execute("COMMIT")
        (is_busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.DatabaseError as error:
        raise JournalError(f"cannot erase from {path}: {error}", hint="give the command again: it completes") from error
    finally:
        connection.close()
    if is_busy:
        what = f"{path}-wal may still hold what was erased: another process reads the journal"
        raise JournalError(what, hint="end it and give the command again: it completes")
