"""What SQLite refused, in our words: who is at fault, and the mend.

Rules:
    1. Every error that names a file names it first; the cause is SQLite's own text.
    2. What the disk or the system refuses is a JournalError (exit code 1); what is wrong with the file itself is a
       DamagedError (exit code 3).

Source: SQLite's result codes, https://sqlite.org/rescode.html.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from consilience.core.errors import DamagedError, JournalError

MEND_DAMAGED = "restore the journal from `consilience backup`, or move it away and `consilience anew`"
_RESUME = "what was acknowledged is safe; {} and run again: it resumes"


def explain(path: Path, error: sqlite3.Error) -> JournalError:
    """Return our error for SQLite's."""
    name = getattr(error, "sqlite_errorname", "") or ""
    text = f"{error} ({name})" if name else str(error)
    if name.startswith("SQLITE_FULL"):
        return JournalError(f"cannot write {path}: the disk is full", hint=_RESUME.format("free some space"))
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")):
        hint = "make the folder and its file system writable, or name another folder with --state"
        return JournalError(f"cannot open or write {path}: {text}", hint=hint)
    if name.startswith("SQLITE_IOERR"):
        hint = _RESUME.format("check the disk (`dmesg`, `df`)")
        return JournalError(f"cannot read or write {path}: the disk failed: {text}", hint=hint)
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL")):
        return JournalError(f"{path} is held by another program", hint="close it and try again")
    if name.startswith("SQLITE_NOMEM"):
        return JournalError(f"cannot read or write {path}: no memory is left", hint=_RESUME.format("free some memory"))
    return DamagedError(f"{path}: {text}", hint=MEND_DAMAGED)
