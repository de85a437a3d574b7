"""Format 2 and what a file may turn out to be: upgraded, older, empty, gone, cut off, foreign."""

import json
import shutil
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from consilience.core.bodies import PhaseSwitched
from consilience.core.bodies_journal import BlobsErased
from consilience.core.errors import DamagedError, JournalError, LockedError, NewerFormatError, NotFoundError
from consilience.identity.keys import EnvelopeVerifier, Identity
from consilience.journal import ranges
from consilience.journal.device import read_marks
from consilience.journal.journal import Journal
from consilience.journal.reader import JOURNAL_NAME, JournalReader
from consilience.journal.schema import FORMAT_VERSION
from consilience.journal.store import Store
from consilience.journal.verify import VerifyReport, verify_store
from consilience.node.compacting import compact, start_anew
from consilience.node.places import UserPlaces
from consilience.node.upkeep import verify
from consilience.testing.clocks import ManualClock

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "v1"
HIVE = "0" * 32
ME = Identity.generate()

sys.path.insert(0, str(ROOT / "scripts"))


def places(folder: Path) -> UserPlaces:
    return UserPlaces(
        key=folder / "key.json", marks=folder / "marks", settings=folder / "config.toml", cache=folder / "cache"
    )


def write(folder: Path, count: int = 4) -> Path:
    journal = Journal.create(folder / "state", ME, ManualClock(0, 1))
    try:
        journal.enter(HIVE, folder / "marks")
        for n in range(count):
            journal.append(PhaseSwitched(phase="explore", figures={"n": n}, reason="x" * 2000))
            journal.put(b"log %d" % n * 500)
        journal.commit()
    finally:
        journal.close()
    return folder / "state" / JOURNAL_NAME


def golden(folder: Path) -> Path:
    (folder / "state").mkdir()
    return Path(shutil.copy(GOLDEN / "journal.db", folder / "state" / JOURNAL_NAME))


def check(path: Path, **options: int) -> VerifyReport:
    store = Store.open(path)
    try:
        return verify_store(store, EnvelopeVerifier(), **options)
    finally:
        store.close()


def test_format_1_is_read_as_it_is(tmp_path: Path) -> None:
    path = golden(tmp_path)
    before = path.read_bytes()
    store = Store.open(path)
    assert store.version == 1
    assert verify_store(store, EnvelopeVerifier()).fault is None
    assert all(store.salt_of(name) == b"" for name in store.blob_names())
    store.close()
    assert path.read_bytes() == before


def test_writing_upgrades_format_1_and_it_replays_to_the_same(tmp_path: Path) -> None:
    from write_golden_journal import expected

    path = golden(tmp_path)
    before = list(rows(path))
    Journal.create(path.parent, ME, ManualClock()).close()
    store = Store.open(path)
    assert store.version == FORMAT_VERSION
    assert store.structure_faults() == [], "an upgraded file equals a new one"
    store.close()
    assert rows(path) == before
    assert check(path).fault is None
    assert expected(path.parent) == json.loads((GOLDEN / "expected.json").read_text())


def rows(path: Path) -> list[object]:
    reader = JournalReader.open(path.parent)
    try:
        return list(reader.store.rows())
    finally:
        reader.close()


def test_a_salted_blob_is_named_by_salt_and_bytes(tmp_path: Path) -> None:
    store = Store.open(tmp_path / JOURNAL_NAME, create=True)
    plain, salted = store.put(b"data"), store.put(b"data", salt=b"s" * 16)
    assert plain != salted
    assert store.put(b"data", salt=b"s" * 16) == salted
    assert store.get(plain) == store.get(salted) == b"data"
    assert (store.salt_of(plain), store.salt_of(salted), store.salt_of("0")) == (b"", b"s" * 16, None)
    store.close()


def test_erased_bytes_leave_the_file_and_verify_wants_a_tombstone(tmp_path: Path) -> None:
    from consilience.core.bodies import RecordImported

    secret = b"a secret that must go" * 50
    journal = Journal.create(tmp_path / "state", ME, ManualClock(0, 1))
    journal.enter(HIVE, tmp_path / "marks")
    name = journal.put(secret, salt=b"s" * 16)
    journal.append(
        RecordImported(
            source=name, row=0, label="", metric="m", value=None, memory_gb=None, status="keep", description=""
        )
    )
    journal.commit()
    journal.store.begin()
    journal.store.drop_blobs([name])
    journal.commit()
    path = journal.store.path
    assert "no blob" in str(check(path).fault)
    journal.append(BlobsErased(blobs=(name,), rule="test"))
    journal.commit()
    assert check(path).fault is None
    journal.store.compact()
    journal.close()
    assert all(secret[:20] not in file.read_bytes() for file in path.parent.iterdir())


@pytest.mark.parametrize("jobs", [1, 2])
def test_jobs_share_the_work_and_report_the_same(jobs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "RANGE_EVENTS", 5)
    path = write(tmp_path, 23)
    report = check(path, jobs=jobs)
    assert (report.events, report.feeds, report.blobs, report.fault) == (23, 1, 23, None)
    connection = sqlite3.connect(path)
    connection.execute("DROP TRIGGER event_no_update")
    connection.execute("UPDATE event SET jws = 'x' WHERE position IN (12, 20)")
    connection.execute("""CREATE TRIGGER event_no_update BEFORE UPDATE ON event \
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END""")
    connection.commit()
    connection.close()
    fault = check(path, jobs=jobs).fault
    assert fault is not None
    assert (fault.position, fault.what) == (12, "the signature is not a detached JWS")


def test_a_further_check_is_made_last(tmp_path: Path) -> None:
    store = Store.open(write(tmp_path))
    report = verify_store(store, EnvelopeVerifier(), checks=[lambda _: "", lambda _: "the checkpoint differs"])
    store.close()
    assert str(report.fault) == "the checkpoint differs"


@pytest.mark.parametrize("way", ["emptied", "gone"])
def test_a_lost_journal_is_told_and_never_silently_started_anew(way: str, tmp_path: Path) -> None:
    path = write(tmp_path)
    for file in path.parent.glob(f"{JOURNAL_NAME}*"):
        file.unlink()
    if way == "emptied":
        path.write_bytes(b"")
    with pytest.raises(NotFoundError):
        JournalReader.open(path.parent)
    with pytest.raises(DamagedError, match="this device wrote 4 events"):
        verify(path.parent, places(tmp_path))
    for _ in range(2):  # also once the file was made
        with pytest.raises(DamagedError, match="this device wrote 4 events") as told:
            write(tmp_path)
        assert "consilience anew" in told.value.hint
    found = start_anew(path.parent, places(tmp_path))
    assert found.marks == 1
    assert (Path(found.kept) / JOURNAL_NAME).exists()
    assert check(write(tmp_path)).events == 4
    assert len(read_marks(tmp_path / "marks")) == 1


def test_a_journal_set_aside_is_whole_and_its_feed_is_never_extended(tmp_path: Path) -> None:
    path = write(tmp_path)
    kept = Path(start_anew(path.parent, places(tmp_path)).kept) / JOURNAL_NAME
    assert check(kept).events == 4
    shutil.copy(kept, path)
    assert check(write(tmp_path)).feeds == 2
    assert start_anew(tmp_path / "elsewhere", places(tmp_path)).kept == "", "there was nothing to set aside"
    with pytest.raises(NotFoundError, match="no folder"):
        start_anew(tmp_path / "no" / "where", places(tmp_path))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda data: data[: len(data) // 2], "is cut off"),
        (lambda data: data[:50], "not an SQLite file"),
        (lambda data: bytes(len(data)), "not an SQLite file"),
        (lambda data: bytes(40), "not an SQLite file"),
    ],
)
@pytest.mark.parametrize("create", [False, True])
def test_a_spoilt_file_is_told_and_left_as_it_is(
    spoil: Callable[[bytes], bytes], words: str, create: bool, tmp_path: Path
) -> None:
    path = write(tmp_path)
    path.write_bytes(spoil(path.read_bytes()))
    before = path.read_bytes()
    with pytest.raises(DamagedError, match=words) as told:
        Store.open(path, create=create)
    assert "backup" in told.value.hint
    assert path.read_bytes() == before


@pytest.mark.parametrize("create", [False, True])
def test_a_foreign_file_is_told_and_left_as_it_is(create: bool, tmp_path: Path) -> None:
    path = tmp_path / JOURNAL_NAME
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (x)")
    connection.execute("PRAGMA user_version=2")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    with pytest.raises(DamagedError, match="another program's"):
        Store.open(path, create=create)
    assert path.read_bytes() == before


def test_a_log_without_its_file_is_not_deleted(tmp_path: Path) -> None:
    path = write(tmp_path)
    log = path.with_name(f"{JOURNAL_NAME}-wal")
    path.write_bytes(b"")
    log.write_bytes(b"frames")
    with pytest.raises(DamagedError, match="its write-ahead log is there"):
        Store.open(path, create=True)
    assert log.read_bytes() == b"frames"


def test_a_writer_refuses_a_file_without_its_triggers(tmp_path: Path) -> None:
    path = write(tmp_path)
    connection = sqlite3.connect(path)
    connection.execute("DROP TRIGGER event_no_update")
    connection.commit()
    connection.close()
    with pytest.raises(DamagedError, match="schema differs at trigger event_no_update"):
        Store.open(path, create=True)


def test_a_newer_format_is_refused_unread(tmp_path: Path) -> None:
    path = write(tmp_path)
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version={FORMAT_VERSION + 1}")
    connection.close()
    with pytest.raises(NewerFormatError, match=f"knows up to {FORMAT_VERSION}"):
        Store.open(path, create=True)


def test_after_a_refused_write_nothing_more_is_written(tmp_path: Path) -> None:
    path = write(tmp_path)
    journal = Journal.create(path.parent, ME, ManualClock(0, 1))
    journal.enter(HIVE, tmp_path / "marks")
    limit = sqlite_pages(journal)
    with pytest.raises(JournalError, match="disk is full"):
        fill(journal)
    lift(journal, limit)
    for again in (journal.commit, lambda: journal.append(PhaseSwitched(phase="exploit", figures={}, reason=""))):
        with pytest.raises(JournalError, match="disk is full"):
            again()
    journal.close()
    assert check(path).events == 4
    assert check(write(tmp_path, 1)).events == 5


def fill(journal: Journal) -> None:
    for _ in range(100):
        journal.append(PhaseSwitched(phase="exploit", figures={}, reason="x" * 3000))


def sqlite_pages(journal: Journal) -> int:
    """Let SQLite believe that the disk has room for a few more pages only."""
    connection = journal.store._connection
    pages = int(connection.execute("PRAGMA page_count").fetchone()[0])
    connection.execute(f"PRAGMA max_page_count={pages + 4}")
    return pages


def lift(journal: Journal, pages: int) -> None:
    journal.store._connection.execute(f"PRAGMA max_page_count={pages + 10_000}")


def test_compact_gives_space_back_and_touches_no_event(tmp_path: Path) -> None:
    path = write(tmp_path, 30)
    before = rows(path)
    store = Store.open(path, create=True)
    store.begin()
    store.drop_blobs([store.put(b"\x01" * 400_000)])
    store.commit()
    snapshot = path.parent / "views" / "hive.db"
    snapshot.parent.mkdir(exist_ok=True)
    snapshot.write_bytes(bytes(5000))
    with pytest.raises(LockedError):
        held(path.parent)
    found = compact(path.parent)
    store.close()
    assert found.before > found.after + 400_000
    assert found.snapshots == 5000
    assert not snapshot.exists()
    assert rows(path) == before
    assert check(path).fault is None


def held(state: Path) -> None:
    journal = Journal.create(state, ME, ManualClock())
    try:
        compact(state)
    finally:
        journal.close()
