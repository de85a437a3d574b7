"""One writer, any number of readers; restored copies and second devices never fork a feed."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from consilience.core.bodies import PhaseSwitched
from consilience.core.errors import DamagedError, JournalError, LockedError, NewerFormatError, NotFoundError
from consilience.identity.keys import EnvelopeVerifier, Identity
from consilience.journal.device import read_marks, writer_of
from consilience.journal.journal import LOCK_NAME, Journal
from consilience.journal.reader import JOURNAL_NAME, JournalReader
from consilience.journal.store import Store
from consilience.journal.verify import VerifyReport, verify_store
from consilience.testing.clocks import ManualClock

HIVE = "0" * 32
ME = Identity.generate()


def write(folder: Path, marks: Path, count: int) -> Journal:
    journal = Journal.create(folder, ME, ManualClock(0, 1))
    journal.enter(HIVE, marks)
    for n in range(count):
        journal.append(PhaseSwitched(phase="explore", figures={"n": n}, reason=""))
    journal.commit()
    return journal


def check(folder: Path, marks: Path) -> VerifyReport:
    store = Store.open(folder / JOURNAL_NAME)
    try:
        return verify_store(store, EnvelopeVerifier(), read_marks(marks))
    finally:
        store.close()


def test_a_second_writer_is_told_who_holds_the_journal(tmp_path: Path) -> None:
    journal = write(tmp_path / "a", tmp_path / "marks", 1)
    with pytest.raises(LockedError, match=r"process \d+"):
        Journal.create(tmp_path / "a", ME, ManualClock())
    assert writer_of(tmp_path / "a" / LOCK_NAME) > 0
    reader = JournalReader.open(tmp_path / "a")
    assert len(reader.events(HIVE)) == 1
    reader.close()
    journal.close()
    assert writer_of(tmp_path / "a" / LOCK_NAME) == 0


def test_what_was_not_committed_never_happened(tmp_path: Path) -> None:
    journal = write(tmp_path / "a", tmp_path / "marks", 2)
    journal.append(PhaseSwitched(phase="exploit", figures={}, reason=""))
    journal.close()
    again = Journal.create(tmp_path / "a", ME, ManualClock())
    assert [event.fields.seq for event in again.enter(HIVE, tmp_path / "marks")] == [0, 1]
    assert again.append(PhaseSwitched(phase="exploit", figures={}, reason="")).fields.seq == 2
    again.close()


def test_a_restored_backup_goes_on_in_a_new_feed_and_verifies(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    journal = write(tmp_path / "a", marks, 3)
    journal.store.copy_to(tmp_path / "backup.db")
    journal.append(PhaseSwitched(phase="exploit", figures={}, reason="lost"))
    journal.commit()
    journal.close()
    shutil.rmtree(tmp_path / "a")
    (tmp_path / "a").mkdir()
    (tmp_path / "backup.db").rename(tmp_path / "a" / JOURNAL_NAME)
    older = check(tmp_path / "a", marks).fault
    assert older is not None
    assert "older copy" in older.what
    write(tmp_path / "a", marks, 2).close()
    report = check(tmp_path / "a", marks)
    assert report.fault is None
    assert report.feeds == 2
    reader = JournalReader.open(tmp_path / "a")
    assert len(reader.events(HIVE)) == 5
    reader.close()


def test_a_journal_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no journal"):
        JournalReader.open(tmp_path)
    write(tmp_path / "a", tmp_path / "marks", 1).close()
    path = tmp_path / "a" / JOURNAL_NAME
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(NewerFormatError, match="format 99"):
        Store.open(path)
    path.write_bytes(b"this is no database, whatever its name says" * 100)
    with pytest.raises(DamagedError):
        Store.open(path)
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="cannot make"):
        Journal.create(tmp_path / "file" / "below", ME, ManualClock())
