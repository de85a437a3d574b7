"""Carrying journals from machine to machine: one file of lines out, and another's file or journal in.

Rules:
    1. What comes in is checked event by event; all of a file is taken in, or nothing.
    2. Taking in is a union: the same file again changes nothing, and the order of files does not matter.
    3. No key is needed: nothing is signed.

Data flow: journal.db -> `export_journal` -> journal.jsonl -> `import_journal` -> another journal.db.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from consilience.core.bodies import HiveFounded
from consilience.core.errors import ConsilienceError, NotFoundError, UsageError
from consilience.core.ports import Verifier
from consilience.journal.device import WriterLock
from consilience.journal.exchange import Item, items, lines, parts, read_lines
from consilience.journal.feed import read_event
from consilience.journal.gathering import all_proofs
from consilience.journal.intake import Intake
from consilience.journal.journal import LOCK_NAME
from consilience.journal.kinds import kind_named
from consilience.journal.quarantine import Proof
from consilience.journal.reader import JOURNAL_NAME
from consilience.journal.store import Store
from consilience.node.durable import draft_of
from consilience.node.places import hide_from_git
from consilience.node.verifying import fresh_keys, ring_of

JOURNAL_LINES = "journal.jsonl"  # a file of this name holds a journal, where other .jsonl files hold trials
_SQLITE = b"SQLite format 3\x00"  # https://sqlite.org/fileformat.html, section 1.3


class Exported(Struct, frozen=True, kw_only=True):
    """What was written."""

    file: str
    events: int
    blobs: int
    bytes: int


class TakenIn(Struct, frozen=True, kw_only=True):
    """What was taken in: `events` are those in the file, `new` those that were not here before.

    `authors` signed the new ones; `quarantined` are the proofs that the journal holds now. `beside` are the hives in
    the journal whose problem had another one first: they are kept, and the commands show the first.
    """

    events: int
    new: int
    blobs: int
    authors: tuple[str, ...]
    quarantined: tuple[Proof, ...]
    beside: tuple[str, ...] = ()


def export_journal(state: Path, destination: Path) -> Exported:
    """Write a journal as lines of JSON, also during a run; the file appears whole or not at all.

    Raises:
        NotFoundError: there is no journal.
        ConsilienceError: the file cannot be written.
    """
    store = Store.open(state / JOURNAL_NAME)
    temporary = draft_of(destination)
    counts = {"events": 0, "blobs": 0}

    def counted() -> Iterator[Item]:
        for item in items(store):
            counts["blobs" if isinstance(item, tuple) else "events"] += 1
            yield item

    try:
        with temporary.open("xb") as file:
            file.writelines(lines(counted()))
            size = file.tell()
        temporary.replace(destination)
    except OSError as error:
        raise ConsilienceError(
            f"cannot write {destination}: {error.strerror or error}", hint="name a writable place"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
        store.close()
    return Exported(file=str(destination), events=counts["events"], blobs=counts["blobs"], bytes=size)


def is_journal(path: Path) -> bool:
    """Tell whether a file is a journal to take in: lines of JSON by its name, or an SQLite file by its first bytes."""
    if path.suffix == ".jsonl":
        return True
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except OSError:
        return False


def import_journal(state: Path, path: Path) -> TakenIn:
    """Take another's journal into the one of a state folder, which is made when absent.

    Args:
        state: the folder of the journal that gains.
        path: lines of JSON (`export_journal`), or another's journal file.

    Raises:
        ForeignEventError: something in it does not hold; nothing was taken in.
        LockedError: a run is writing the journal.
        UsageError: it is this very journal.
    """
    if not path.exists():
        raise NotFoundError(f"no file {path}", hint="`consilience export journal.jsonl` writes one")
    if path.resolve() == (state / JOURNAL_NAME).resolve():
        raise UsageError(f"{path} is this journal itself", hint="name another's")
    with _items_of(path) as found, _writable(state) as store:
        return _take(store, found, ring_of(store))


def _take(store: Store, found: Iterator[Item], verifier: Verifier) -> TakenIn:
    intake = Intake(store, verifier, store.count())
    events = new = blobs = 0
    authors: set[str] = set()
    try:
        for rows, given in parts(found):
            taken = intake.take(rows, given, is_last=False)
            events += len(rows)
            new += len(taken.rows)
            blobs += taken.blobs
            authors.update(row.author for row in taken.rows)
        intake.take([], {}, is_last=True)
        store.commit()
    except BaseException:
        store.rollback()
        raise
    found_proofs = all_proofs(store, fresh_keys)
    return TakenIn(
        events=events,
        new=new,
        blobs=blobs,
        authors=tuple(sorted(authors)),
        quarantined=found_proofs,
        beside=_beside(store),
    )


def _beside(store: Store) -> tuple[str, ...]:
    """Return the hives whose problem had another hive first, in order of arrival."""
    first: dict[str, str] = {}
    later: list[str] = []
    for row in store.rows(kind=kind_named(HiveFounded)):
        body = read_event(row.payload, row.jws).body
        if isinstance(body, HiveFounded) and first.setdefault(body.problem, row.hive) != row.hive:
            later.append(row.hive)
    return tuple(later)


@contextmanager
def _items_of(path: Path) -> Iterator[Iterator[Item]]:
    if path.suffix == ".jsonl":
        with path.open("rb") as file:
            yield read_lines(file)
        return
    store = Store.open(path)
    try:
        yield items(store)
    finally:
        store.close()


@contextmanager
def _writable(state: Path) -> Iterator[Store]:
    try:
        state.mkdir(parents=True, exist_ok=True)
        hide_from_git(state)
    except OSError as error:
        raise ConsilienceError(f"cannot make {state}: {error}", hint="make it writable, or use --state") from error
    lock = WriterLock(state / LOCK_NAME)
    try:
        store = Store.open(state / JOURNAL_NAME, create=True)
        try:
            yield store
        finally:
            store.close()
    finally:
        lock.release()
