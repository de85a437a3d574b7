"""What this device remembers of its own feeds: a mark per feed, locked while it is written to.

Rules:
    1. A feed is extended only by the device that holds its mark, under the mark's lock, and only from at
       least where the mark stands. So a restored journal, a copy, a second terminal or a second laptop
       opens a new feed, and nobody ever signs two events with one seq.
    2. The mark is written after each commit; it may lag behind the journal (a crash), never lead it.

Data flow: Journal.open -> `claim_feed`; Journal.commit -> `FeedMark.move`.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from msgspec import Struct

from consilience.core.errors import DamagedError, EnvironmentLacksError, JournalError, LockedError

try:
    import fcntl
except ImportError:  # Windows: found when a journal is to be locked, not when this is imported
    fcntl = None  # type: ignore[assignment]


class FeedMark:
    """The lock and high-water mark of one feed on this device. `place` is the journal that the feed is in."""

    def __init__(self, feed: str, descriptor: int, seq: int, place: str) -> None:
        self.feed = feed
        self.seq = seq
        self._descriptor = descriptor
        self._place = place

    def move(self, seq: int) -> None:
        """Remember that the journal holds the feed up to `seq`.

        Raises:
            JournalError: the disk refused; the mark lags behind, which is harmless.
        """
        self.seq = seq
        try:
            os.pwrite(self._descriptor, f"{seq:020d} {self._place}\n".encode(), 0)
        except OSError as error:
            what = f"the events are safe, but the mark of feed {self.feed[:8]} cannot be kept: {error}"
            raise JournalError(what, hint="free some space where the marks are, and run again: it resumes") from error

    def release(self) -> None:
        """Let go of the feed."""
        os.close(self._descriptor)


class Mark(Struct, frozen=True, kw_only=True):
    """What a mark remembers: the last seq, the feed's hive, and the journal's path."""

    seq: int
    hive: str
    path: str


def read_marks(folder: Path) -> dict[str, Mark]:
    """Return what this device remembers of its feeds, by feed; marks that cannot be read are left out."""
    marks: dict[str, Mark] = {}
    for file in folder.iterdir() if folder.is_dir() else ():
        if not file.is_file():
            continue
        seq, _, place = file.read_text(errors="replace").strip().partition(" ")
        hive, _, path = place.partition(" ")
        if seq.isdecimal():
            marks[file.name] = Mark(seq=int(seq), hive=hive, path=path)
    return marks


def busy_feeds(folder: Path) -> list[str]:
    """Return the feeds of this device that some process is writing now."""
    return [file.name for file in sorted(folder.iterdir()) if file.is_file() and _is_locked(file)]


def _is_locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        _lock(descriptor)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def marks_of(folder: Path, journal: Path) -> dict[str, Mark]:
    """Return the marks of feeds that this device wrote into the journal at a path."""
    place = str(journal.resolve())
    return {feed: mark for feed, mark in read_marks(folder).items() if mark.path == place and mark.seq >= 0}


def refuse_lost(folder: Path, journal: Path) -> None:
    """Refuse a journal without events where this device has written some: it was emptied, or is gone.

    Raises:
        DamagedError: a mark says so.
    """
    written = sum(mark.seq + 1 for mark in marks_of(folder, journal).values())
    if written:
        raise DamagedError(
            f"{journal} is empty or gone, but this device wrote {written} events to it",
            hint="restore it from `consilience backup`, or `consilience anew` to start without it",
        )


def claim_feed(folder: Path, heads: dict[str, int], place: str) -> FeedMark:
    """Return a mark for a feed that this device may extend, or for a new one.

    Args:
        folder: where this device keeps its marks.
        place: the hive and the journal's path, for the mark.
        heads: the last seq of each of the author's feeds in this journal and hive.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for feed in sorted(heads):
            mark = _take(folder / feed, place, create=False)
            if mark is None:
                continue
            if mark.seq <= heads[feed]:
                return mark
            mark.release()
        created = _take(folder / secrets.token_hex(16), place, create=True)
    except OSError as error:
        raise JournalError(f"cannot keep feed marks in {folder}: {error}", hint="make it writable") from error
    if created is None:
        raise JournalError(f"cannot lock a new feed mark in {folder}")
    return created


def _take(path: Path, place: str, *, create: bool) -> FeedMark | None:
    """Open and lock a mark; None when it is absent or another process holds it."""
    flags = os.O_RDWR | (os.O_CREAT | os.O_EXCL if create else 0)
    try:
        descriptor = os.open(path, flags, 0o600)
    except FileNotFoundError:
        return None
    try:
        _lock(descriptor)
    except BlockingIOError:
        os.close(descriptor)
        return None
    text = os.pread(descriptor, 20, 0).strip()
    return FeedMark(path.name, descriptor, int(text) if text.isdigit() else -1, place)


def _lock(descriptor: int) -> None:
    """Lock a file for this process alone.

    Raises:
        BlockingIOError: another process has it.
        EnvironmentLacksError: this system has no such locks.
    """
    if fcntl is None:
        raise EnvironmentLacksError(
            "a journal needs Unix file locks, which Windows does not have",
            hint="run consilience in WSL 2 (Windows Subsystem for Linux)",
        )
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class WriterLock:
    """The lock that makes one process the writer of a journal file; the others may read."""

    def __init__(self, path: Path) -> None:
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise JournalError(f"cannot lock {path}: {error}", hint="make the folder writable") from error
        try:
            _lock(self._descriptor)
        except BlockingIOError:
            holder = os.pread(self._descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._descriptor)
            raise LockedError(
                f"another run (process {holder}) is writing {path.parent}",
                hint="wait for it, or stop it with Ctrl-C; `board`, `log` and `show` work meanwhile",
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Let other processes write."""
        os.close(self._descriptor)


def writer_of(path: Path) -> int:
    """Return the process that holds a writer's lock; 0 when nobody does."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return 0
    try:
        _lock(descriptor)
    except BlockingIOError:
        text = os.pread(descriptor, 32, 0).strip()
        return int(text) if text.isdigit() else 0
    else:
        return 0
    finally:
        os.close(descriptor)
