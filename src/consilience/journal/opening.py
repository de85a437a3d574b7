"""Checks of a journal's file before SQLite opens it: what would be overwritten, or taken for something else.

Rules:
    1. Nothing is written here.
    2. An emptied or vanished file beside a write-ahead log is damage: SQLite would delete the log and start anew.

Source of the header: https://sqlite.org/fileformat.html, section 1.3.
"""

from __future__ import annotations

from pathlib import Path

from consilience.core.errors import DamagedError, JournalError, NotFoundError
from consilience.journal.refusals import MEND_DAMAGED

_HEADER_BYTES = 100
_MAGIC = b"SQLite format 3\0"
_LARGEST_PAGE = 65536  # is written as 1, for it does not fit two bytes


def check_before_opening(path: Path, *, create: bool) -> None:
    """Check what is at the path.

    Raises:
        NotFoundError: nothing, and it is not to be made.
        DamagedError: it is empty where it was not, cut off, or no SQLite file.
    """
    try:
        size = path.stat().st_size if path.exists() else -1
        log = log_bytes(path)
        header = _read_header(path, size)
    except OSError as error:
        raise JournalError(f"cannot read {path}: {error}", hint="check that it is a file you may read") from error
    if size <= 0 and log:
        what = "is empty" if size == 0 else "is gone"
        hint = f"leave {path.name}-wal where it is, and {MEND_DAMAGED}"
        raise DamagedError(f"{path} {what}, but its write-ahead log is there", hint=hint)
    if size < 0 and not create:
        raise NotFoundError(f"no journal at {path}", hint="`consilience run` makes one")
    if size == 0 and not create:
        raise no_journal_yet(path)
    if size > 0 and not log_bytes(path, "-journal"):  # else SQLite first takes back what was being written
        _check_header(path, header, size, log)


def no_journal_yet(path: Path) -> NotFoundError:
    """Return the error for a file without tables: a first run that was killed, or a journal that was emptied."""
    hint = "`consilience run` makes one; where one has been, `consilience verify` says so, and a backup restores it"
    return NotFoundError(f"{path} is empty: it holds no journal", hint=hint)


def log_bytes(path: Path, end: str = "-wal") -> int:
    """Return the size of the write-ahead log, or another of SQLite's files, beside a journal's; 0 for none."""
    log = path.with_name(path.name + end)
    return log.stat().st_size if log.exists() else 0


def _read_header(path: Path, size: int) -> bytes:
    if size <= 0:
        return b""
    with path.open("rb") as file:
        return file.read(_HEADER_BYTES)


def _check_header(path: Path, header: bytes, size: int, log: int) -> None:
    if header[: len(_MAGIC)] != _MAGIC or len(header) < _HEADER_BYTES:
        raise DamagedError(f"{path} is not an SQLite file: its first bytes are wrong", hint=MEND_DAMAGED)
    page = int.from_bytes(header[16:18], "big")
    expected = int.from_bytes(header[28:32], "big") * (_LARGEST_PAGE if page == 1 else page)
    if size < expected and not log:  # with a log, pages may be in it that are not in the file yet
        raise DamagedError(f"{path} is cut off: {size} bytes of {expected}", hint=MEND_DAMAGED)
