"""Any flipped byte of a stored payload, signature, link or blob is caught, and the bad event is named."""

import sqlite3
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consilience.core.artifact import Artifact, ArtifactFile, artifact_bytes, artifact_id
from consilience.core.bodies import HiveFounded, PhaseSwitched, TrialStarted
from consilience.core.canonical import canonical_bytes, sha256_hex
from consilience.core.problem import EvaluatorSpec, FileDigest, Objective, Problem, Surface
from consilience.core.study import Policy, Spend
from consilience.identity.keys import EnvelopeVerifier, Identity
from consilience.journal import ranges
from consilience.journal.device import claim_feed, read_marks
from consilience.journal.journal import Journal
from consilience.journal.reader import JOURNAL_NAME
from consilience.journal.store import Store
from consilience.journal.verify import VerifyReport, verify_store
from consilience.testing.candidates import plain_candidate
from consilience.testing.clocks import ManualClock

EVALUATOR = b"def evaluate(candidate, seed):\n    return 1.0\n"
PROBLEM = Problem(
    name="tamper",
    goal="",
    objective=Objective(metric="m", direction="minimize"),
    surface=Surface(),
    evaluator=EvaluatorSpec(kind="function", files=(FileDigest(path="evaluator.py", sha256=sha256_hex(EVALUATOR)),)),
)
VERIFIER = EnvelopeVerifier()
PLACE = "hive journal.db"
RANGES = (1, 3, 20_000)
COLUMNS = ("payload", "jws", "id", "hive", "author", "feed", "seq", "kind")


def write_journal(folder: Path, identity: Identity) -> Path:
    journal = Journal.create(folder, identity, ManualClock(1_700_000_000_000, 7))
    hive = Journal.new_hive()
    journal.enter(hive, folder / "marks")
    artifact = Artifact(files=(ArtifactFile("a.py", "x = 1\n"),))
    journal.put(EVALUATOR)
    journal.append(
        HiveFounded(
            problem="0" * 64,
            specification=journal.put(canonical_bytes(PROBLEM)),
            policy=Policy(),
            roles={"owner": (identity.did,)},
            supply="0",
            witnesses=(identity.did,),
            auditors=(identity.did,),
        )
    )
    journal.put(artifact_bytes(artifact))
    journal.put(b"a log", salt=b"0123456789abcdef")
    proposed = journal.append(plain_candidate(artifact_id(artifact), normal_form="n"))
    journal.append(TrialStarted(number=0, proposed=proposed.id, seed=3, purpose="baseline", reserved=Spend(trials=1)))
    journal.append(PhaseSwitched(phase="exploit", figures={"novelty": 0.25}, reason="spent"))
    journal.commit()
    journal.close()
    return folder / JOURNAL_NAME


@pytest.fixture(scope="module")
def journal_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_journal(tmp_path_factory.mktemp("tamper"), Identity.generate())


def check(path: Path) -> VerifyReport:
    """Verify in one range and in several: whoever shares the work, the report is the same."""
    reports = [check_in_ranges(path, events) for events in RANGES]
    assert all(report.fault == reports[-1].fault for report in reports)
    assert len({(report.events, report.feeds, report.blobs, report.authors) for report in reports}) == 1
    return reports[-1]


def check_in_ranges(path: Path, events: int) -> VerifyReport:
    store = Store.open(path)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ranges, "RANGE_EVENTS", events)
            return verify_store(store, VERIFIER)
    finally:
        store.close()


def tampered(path: Path, statement: str, values: tuple[object, ...], *more: str) -> VerifyReport:
    """Apply statements past the triggers to a copy, and verify it."""
    copy = path.with_name("copy.db")
    source = Store.open(path)
    copy.unlink(missing_ok=True)
    source.copy_to(copy)
    source.close()
    change(copy, statement, values)
    for each in more:
        change(copy, each)
    return check(copy)


def change(path: Path, statement: str, values: tuple[object, ...] = ()) -> None:
    """Change the file as somebody would who knows of the triggers, and leaves no trace of having dropped them."""
    connection = sqlite3.connect(path)
    triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute(statement, values)
    for _, text in triggers:
        connection.execute(text)
    connection.commit()
    connection.close()


def test_an_untouched_journal_holds(journal_path: Path) -> None:
    report = check(journal_path)
    assert report.fault is None
    assert (report.events, report.feeds, report.blobs) == (4, 1, 4)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 3), column=st.sampled_from(COLUMNS), place=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_any_flipped_bit_of_an_event_is_caught(
    journal_path: Path, position: int, column: str, place: int, bit: int
) -> None:
    value = read(journal_path, f"SELECT {column} FROM event WHERE position = {position}")
    report = tampered(
        journal_path, f"UPDATE event SET {column} = ? WHERE position = ?", (flip(value, place, bit), position)
    )
    assert report.fault is not None
    assert report.fault.position in {position, position + 1, -1}


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(which=st.integers(0, 3), place=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_any_flipped_bit_of_a_blob_is_caught(journal_path: Path, which: int, place: int, bit: int) -> None:
    name = read(journal_path, f"SELECT name FROM blob ORDER BY name LIMIT 1 OFFSET {which}")
    data = read(journal_path, f"SELECT data FROM blob WHERE name = '{name}'")
    report = tampered(journal_path, "UPDATE blob SET data = ? WHERE name = ?", (flip(data, place, bit), name))
    assert report.fault is not None
    assert "no longer matches" in report.fault.what


@pytest.mark.parametrize("position", range(3))
def test_a_dropped_event_is_caught(journal_path: Path, position: int) -> None:
    assert tampered(journal_path, "DELETE FROM event WHERE position = ?", (position,)).fault is not None


@pytest.mark.parametrize("bit", range(8))
def test_a_changed_salt_is_caught(journal_path: Path, bit: int) -> None:
    salt = bytes([ord("0") ^ (1 << bit)]) + b"123456789abcdef"
    report = tampered(journal_path, "UPDATE blob SET salt = ? WHERE salt <> x''", (salt,))
    assert report.fault is not None
    assert "no longer matches" in report.fault.what


def test_a_salt_given_to_another_blob_is_caught(journal_path: Path) -> None:
    assert tampered(journal_path, "UPDATE blob SET salt = x'00' WHERE salt = x''", ()).fault is not None


@pytest.mark.parametrize("position", range(4))
@pytest.mark.parametrize("place", [-1, 4, 2**62])
def test_a_repeated_event_is_caught(journal_path: Path, position: int, place: int) -> None:
    columns = "hive, author, feed, seq, kind, payload, jws"
    statement = f"INSERT INTO event SELECT {place}, 'x' || substr(id, 2), {columns} FROM event WHERE position = ?"
    report = tampered(journal_path, statement, (position,))
    assert report.fault is not None
    assert report.fault.position == (place if place > 0 else -1)


@pytest.mark.parametrize(("one", "other"), [(0, 1), (1, 2), (2, 3), (0, 3)])
def test_exchanged_events_are_caught(journal_path: Path, one: int, other: int) -> None:
    statement = "UPDATE event SET position = CASE position WHEN ?1 THEN 100 ELSE 101 END WHERE position IN (?1, ?2)"
    back = f"UPDATE event SET position = CASE position WHEN 100 THEN {other} ELSE {one} END WHERE position > 99"
    report = tampered(journal_path, statement, (one, other), back)
    assert report.fault is not None
    assert report.fault.position == one


def test_a_blob_before_all_others_is_checked(journal_path: Path) -> None:
    report = tampered(journal_path, "UPDATE blob SET rowid = -7, data = x'00' WHERE rowid = 1", ())
    assert report.fault is not None
    assert "no longer matches" in report.fault.what


def test_two_swapped_events_are_caught(journal_path: Path) -> None:
    statement = "UPDATE event SET position = CASE position WHEN 2 THEN -1 ELSE position END WHERE position = ?"
    assert tampered(journal_path, statement, (2,)).fault is not None


def test_a_cut_tail_is_caught_by_the_device_that_wrote_it(tmp_path: Path) -> None:
    path = write_journal(tmp_path, Identity.generate())
    change(path, "DELETE FROM event WHERE position = 3")
    store = Store.open(path)
    report = verify_store(store, VERIFIER, read_marks(tmp_path / "marks"))
    store.close()
    assert report.fault is not None
    assert "tail is missing" in report.fault.what


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("DELETE FROM event", "is missing, but this device wrote it"),
        ("DELETE FROM blob WHERE data LIKE '%evaluate%'", "no blob"),
        ("INSERT INTO blob (name, data) VALUES ('zz', x'00')", "no longer matches"),
        ("CREATE TRIGGER swallow BEFORE INSERT ON event BEGIN SELECT RAISE(IGNORE); END", "schema differs"),
        ("DROP INDEX event_by_feed", "schema differs"),
    ],
)
def test_what_is_lost_or_added_is_caught(tmp_path: Path, statement: str, words: str) -> None:
    path = write_journal(tmp_path, Identity.generate())
    change(path, statement.replace("data LIKE", "CAST(data AS TEXT) LIKE"))
    store = Store.open(path)
    report = verify_store(store, VERIFIER, read_marks(tmp_path / "marks"))
    store.close()
    assert report.fault is not None
    assert words in report.fault.what


def test_events_cannot_be_changed_or_deleted_through_sql(journal_path: Path) -> None:
    connection = sqlite3.connect(journal_path)
    for statement in ("UPDATE event SET seq = 9", "DELETE FROM event", "UPDATE blob SET data = x'00'"):
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute(statement)
    connection.close()


def test_a_restored_copy_opens_a_new_feed(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    first = claim_feed(marks, {}, PLACE)
    first.move(5)
    first.release()
    again = claim_feed(marks, {first.feed: 5}, PLACE)
    assert again.feed == first.feed
    second_terminal = claim_feed(marks, {first.feed: 5}, PLACE)
    assert second_terminal.feed != first.feed
    again.release()
    restored = claim_feed(marks, {first.feed: 4}, PLACE)
    assert restored.feed != first.feed
    for mark in (second_terminal, restored):
        mark.release()


def read(path: Path, query: str) -> object:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchone()[0]
    finally:
        connection.close()


def flip(value: object, place: int, bit: int) -> object:
    if isinstance(value, int):
        return value ^ (1 << bit)
    data = bytearray(value if isinstance(value, bytes) else str(value).encode())
    data[place % len(data)] ^= 1 << (bit if isinstance(value, bytes) else bit % 7)
    return bytes(data) if isinstance(value, bytes) else data.decode("latin-1")
