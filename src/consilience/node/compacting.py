"""Room on disk and new beginnings: give back what a journal's file no longer needs, or set the file aside.

Rules:
    1. No event and no blob that an event names is touched; what was set aside can be read where it lies.
    2. Both need the writer's lock: a run keeps them out.
    3. Snapshots of views are derived; dropping them costs time, never facts.

Data flow: state folder -> here -> sizes, or the place where the old journal is.
"""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from consilience.core.errors import NotFoundError
from consilience.journal.device import marks_of
from consilience.journal.reader import JOURNAL_NAME
from consilience.journal.snapshots import FOLDER
from consilience.journal.store import Store
from consilience.node.places import UserPlaces
from consilience.node.upkeep import alone

_WITH_LOG = ("", "-wal", "-shm", "-journal")  # SQLite's files beside its file


class Compacted(Struct, frozen=True, kw_only=True):
    """Bytes of the journal with its log, and of snapshots, before and after."""

    before: int
    after: int
    snapshots: int


class Anew(Struct, frozen=True, kw_only=True):
    """Where the old journal is now ("" when there was none), and how many marks were forgotten."""

    kept: str
    marks: int


def compact(state: Path) -> Compacted:
    """Move the log into the journal's file, give its free pages back, and drop snapshots of views.

    Raises:
        LockedError: a run is writing the journal.
        JournalError: it is being read, or the disk has no room for the copy that SQLite makes.
    """
    path = state / JOURNAL_NAME
    if not path.exists():
        raise NotFoundError(f"no journal at {path}", hint="`consilience run` makes one")
    with alone(state):
        before = _bytes(path)
        store = Store.open(path)
        try:
            store.compact()
        finally:
            store.close()
        snapshots = sum(path.stat().st_size for path in _snapshots(state))
        _remove_snapshots(state)
        return Compacted(before=before + snapshots, after=_bytes(path), snapshots=snapshots)


def start_anew(state: Path, places: UserPlaces) -> Anew:
    """Set the journal aside, whatever state it is in, and forget this device's marks of it.

    Its feeds are never extended again, for their marks are gone, so nothing can be signed twice.

    Raises:
        NotFoundError: there is no such folder.
        LockedError: a run is writing it.
    """
    path = state / JOURNAL_NAME
    marks = marks_of(places.marks, path)
    if not state.parent.is_dir():
        raise NotFoundError(f"no folder {state.parent}", hint="name the problem's folder with -p")
    if not marks and not _bytes(path):
        return Anew(kept="", marks=0)
    state.mkdir(parents=True, exist_ok=True)
    with alone(state):
        kept = _set_aside(path)
        _remove_snapshots(state)
        for feed in marks:
            (places.marks / feed).unlink()
    return Anew(kept=kept, marks=len(marks))


def was_written(state: Path, places: UserPlaces) -> bool:
    """Tell whether this device wrote a journal in a state folder, wherever that is now."""
    return bool(marks_of(places.marks, state / JOURNAL_NAME))


def _set_aside(path: Path) -> str:
    there = [path.with_name(path.name + end) for end in _WITH_LOG if path.with_name(path.name + end).exists()]
    if not there:
        return ""
    number = 1
    while (path.parent / f"old-{number}").exists():
        number += 1
    folder = path.parent / f"old-{number}"
    folder.mkdir()
    for file in there:
        file.rename(folder / file.name)
    return str(folder)


def _bytes(path: Path) -> int:
    files = (path.with_name(path.name + end) for end in _WITH_LOG)
    return sum(file.stat().st_size for file in files if file.exists())


def _snapshots(state: Path) -> list[Path]:
    return sorted((state / FOLDER).glob("*.db*"))  # with their logs; the locks beside them stay


def _remove_snapshots(state: Path) -> None:
    for path in _snapshots(state):
        path.unlink(missing_ok=True)
