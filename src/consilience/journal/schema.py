"""The tables of a journal's file, by format: how a new file is made, an older one upgraded, a wrong one told.

Rules:
    1. A new file is made by the steps of every format in turn, so it equals an upgraded one to the letter.
    2. An upgrade is one transaction: a kill leaves the old format or the new one, whole.
    3. Nothing is written to a file before it is known to be ours.

Formats:
    1  events as signed, blobs by the hash of their bytes
    2  blobs have a salt (name = SHA-256 of salt and bytes; empty for those that may never be erased), and events are
       found by hive and by author in order of arrival

Data flow: file -> `format_of` -> `make` or `upgrade` -> Store.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from consilience.core.errors import DamagedError, NewerFormatError
from consilience.journal.refusals import MEND_DAMAGED

APPLICATION_ID = 0x434F4E53  # "CONS": `file` and other tools can tell what this is
FORMAT_VERSION = 2

_FORMAT_1 = (
    """CREATE TABLE event (
    position INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    hive TEXT NOT NULL,
    author TEXT NOT NULL,
    feed TEXT NOT NULL,
    seq INTEGER NOT NULL,
    kind TEXT NOT NULL,
    payload BLOB NOT NULL,
    jws TEXT NOT NULL
) STRICT""",
    "CREATE INDEX event_by_feed ON event (hive, feed, seq)",
    "CREATE INDEX event_by_kind ON event (kind, position)",
    "CREATE TABLE blob (name TEXT PRIMARY KEY, data BLOB NOT NULL) STRICT",
    "CREATE TRIGGER event_no_update BEFORE UPDATE ON event BEGIN SELECT RAISE(ABORT, 'events are append-only'); END",
    "CREATE TRIGGER event_no_delete BEFORE DELETE ON event BEGIN SELECT RAISE(ABORT, 'events are append-only'); END",
    "CREATE TRIGGER blob_no_update BEFORE UPDATE ON blob BEGIN SELECT RAISE(ABORT, 'blobs never change'); END",
)
_FORMAT_2 = (
    "ALTER TABLE blob ADD COLUMN salt BLOB NOT NULL DEFAULT x''",
    "CREATE INDEX event_by_hive ON event (hive)",  # SQLite adds the position to every index
    "CREATE INDEX event_by_author ON event (author)",
)
_STEPS = {1: _FORMAT_1, 2: _FORMAT_2}
_SHAPE = "SELECT type || ' ' || name || ' ' || coalesce(sql, '') FROM sqlite_master ORDER BY 1"


def format_of(connection: sqlite3.Connection, path: Path) -> int:
    """Return the format of an open file; 0 for an empty one. Reads only.

    Raises:
        NewerFormatError: a later version wrote it.
        DamagedError: it is no journal.
    """
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if application == APPLICATION_ID and version > FORMAT_VERSION:
        raise NewerFormatError(
            f"{path} has format {version}, this version knows up to {FORMAT_VERSION}",
            hint="upgrade consilience: pip install --upgrade consilience",
        )
    if application == APPLICATION_ID and version >= 1:
        return version
    if version or application or tables:
        hint = f"name another folder with --state, or {MEND_DAMAGED}"
        raise DamagedError(f"{path} is not a consilience journal but another program's SQLite file", hint=hint)
    return 0


def upgrade(connection: sqlite3.Connection, version: int) -> None:
    """Bring the file from `version` (0: empty) to this format, in one transaction."""
    if version == FORMAT_VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in range(version + 1, FORMAT_VERSION + 1):
            for statement in _STEPS[step]:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version={FORMAT_VERSION}")
        connection.execute("COMMIT")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def schema_faults(connection: sqlite3.Connection, version: int) -> list[str]:
    """Compare tables, indexes and triggers with what the format has: a missing trigger is a fault."""
    here = {text for (text,) in connection.execute(_SHAPE)}
    fresh = sqlite3.connect(":memory:")
    try:
        for step in range(1, version + 1):
            for statement in _STEPS[step]:
                fresh.execute(statement)
        wanted = {text for (text,) in fresh.execute(_SHAPE)}
    finally:
        fresh.close()
    return [f"the schema differs at {' '.join(text.split()[:2])}" for text in sorted(here ^ wanted)]
