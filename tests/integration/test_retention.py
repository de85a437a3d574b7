"""Erasure: bytes leave the file, a tombstone says so, the journal holds, and a crash in between is completed."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from kept_study import ARTIFACT, NOW, KeptStudy, SetClock, places_in

from consilience.core.artifact import artifact_id
from consilience.core.bodies_journal import BlobsErased
from consilience.core.canonical import sha256_hex
from consilience.core.errors import JournalError, NotFoundError, RetentionError, UsageError
from consilience.core.study import Policy
from consilience.identity.keys import EnvelopeVerifier, Identity
from consilience.identity.keystore import load_or_create
from consilience.journal import erasure
from consilience.journal.device import read_marks
from consilience.journal.reader import JOURNAL_NAME, JournalReader
from consilience.journal.store import Store
from consilience.journal.verify import VerifyReport, verify_store
from consilience.node.reading import StudyReader
from consilience.node.retention import DAY_MS, Plan, Retained, Wish, plan, retain
from consilience.node.upkeep import collect_garbage

ME = Identity.generate()
LONG = "a word that is nowhere else: " + "xyzzy " * 9000  # over many pages of the file


def erase(study: KeptStudy, wish: Wish, who: Identity = ME) -> Retained:
    return retain(study.state, wish, who, study.places, SetClock(NOW))


def planned(study: KeptStudy, wish: Wish, who: Identity = ME) -> Plan:
    reader = JournalReader.open(study.state)
    try:
        return plan(reader, wish, who.did, NOW)
    finally:
        reader.close()


def verified(study: KeptStudy) -> VerifyReport:
    store = Store.open(study.state / JOURNAL_NAME)
    try:
        return verify_store(store, EnvelopeVerifier(), read_marks(study.places.marks))
    finally:
        store.close()


def on_disk(study: KeptStudy) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(study.state.rglob("*")) if path.is_file())


def drop(study: KeptStudy, name: str) -> None:
    with sqlite3.connect(study.state / JOURNAL_NAME) as file:
        file.execute("DELETE FROM blob WHERE name = ?", (name,))


def aged(days: float) -> Wish:
    return Wish(age_ms=round(days * DAY_MS))


@pytest.fixture
def study(tmp_path: Path) -> KeptStudy:
    return KeptStudy(tmp_path, ME)


def test_names_of_texts_tell_nothing_of_them(study: KeptStudy) -> None:
    first, second = study.trial(b"the same text", 1), study.trial(b"the same text", 1)
    assert first.log != second.log
    assert sha256_hex(b"the same text") not in (first.log, second.log)
    reader = JournalReader.open(study.state)
    assert reader.blob(first.log) == reader.blob(second.log) == b"the same text"
    assert reader.store.salt_of(first.log) != reader.store.salt_of(second.log)
    assert len(reader.store.salt_of(first.log) or b"") == 16
    reader.close()


def test_texts_by_age_are_gone_from_the_file_and_the_journal_holds(study: KeptStudy) -> None:
    old, young = study.trial(LONG.encode(), 200), study.trial(b"a young text", 10)
    (study.state / "work").mkdir()
    (study.state / "work" / "log.txt").write_text(LONG)
    assert b"xyzzy" in on_disk(study)
    assert planned(study, aged(180)).chosen == {study.hive: (old.log,)}
    assert b"xyzzy" in on_disk(study), "a plan erases nothing"
    done = erase(study, aged(180))
    assert (done.blobs, done.younger, done.others, done.completed) == (1, 1, 0, 0)
    assert done.bytes == len(LONG)
    assert b"xyzzy" not in on_disk(study)
    assert b"a word that is nowhere else" not in on_disk(study)
    report = verified(study)
    assert (report.fault, report.erased) == (None, 1)
    reader = StudyReader.open(study.state)
    assert reader.text(old.log) == "[erased: older than 180 days]"
    assert reader.text(young.log) == "a young text"
    tombstones = [event for event in reader.events if isinstance(event.body, BlobsErased)]
    assert [event.id for event in tombstones] == list(done.tombstones)
    assert tombstones[0].body.blobs == (old.log,)
    reader.close()
    assert collect_garbage(study.state, dry_run=False).blobs == 0
    assert erase(study, aged(180)).blobs == 0


def test_the_salt_goes_with_the_text(study: KeptStudy) -> None:
    body = study.trial(b"guess me", 200)
    with sqlite3.connect(study.state / JOURNAL_NAME) as file:
        salt = bytes(file.execute("SELECT salt FROM blob WHERE name = ?", (body.log,)).fetchone()[0])
    assert sha256_hex(salt + b"guess me") == body.log
    assert salt in on_disk(study)
    erase(study, aged(180))
    assert salt not in on_disk(study)


def test_the_youngest_event_that_names_a_text_decides(study: KeptStudy) -> None:
    old = study.trial(b"shared", 300)
    study.trial(b"", 10, name=old.log)
    assert (planned(study, aged(180)).chosen, planned(study, aged(180)).younger) == ({}, 1)
    assert planned(study, aged(9)).chosen == {study.hive: (old.log,)}


def test_the_policy_keeps_texts_even_on_request(tmp_path: Path) -> None:
    study = KeptStudy(tmp_path, ME, Policy(retention_days=180))
    old, young = study.trial(b"old", 181), study.trial(b"young", 179)
    with pytest.raises(RetentionError, match="keeps texts for 180 days, not 30 days"):
        erase(study, aged(30))
    with pytest.raises(RetentionError, match=r"179\.0 days old, and the policy keeps it for 180"):
        erase(study, Wish(names=(young.log,), reason="a request"))
    done = erase(study, Wish())  # the policy's own limit
    assert (done.blobs, done.younger) == (1, 1)
    assert planned(study, aged(180)).pending == ()
    reader = StudyReader.open(study.state)
    assert reader.text(old.log) == "[erased: older than the policy keeps them]"
    reader.close()


def test_a_request_names_texts_and_its_reason(study: KeptStudy) -> None:
    body, other = study.trial(b"about somebody", 1), study.trial(b"about nobody", 1)
    done = erase(study, Wish(names=(body.log[:16],), reason="request; token: abcd1234efgh"))
    assert done.blobs == 1
    reader = StudyReader.open(study.state)
    assert reader.text(body.log) == "[erased: on request: request; token: [redacted: assigned]]"
    assert reader.text(other.log) == "about nobody"
    reader.close()
    with pytest.raises(NotFoundError, match="no text"):
        erase(study, Wish(names=("ff" * 32,), reason="x"))
    with pytest.raises(UsageError, match="older than what"):
        erase(study, Wish())


def test_what_is_an_artifact_too_is_kept(study: KeptStudy) -> None:
    study.trial(b"", 500, name=artifact_id(ARTIFACT))
    assert planned(study, aged(180)).chosen == {}
    with pytest.raises(RetentionError, match="also an artifact"):
        erase(study, Wish(names=(artifact_id(ARTIFACT),), reason="x"))
    study.append(BlobsErased(blobs=(artifact_id(ARTIFACT),), rule="x"))
    assert planned(study, aged(180)).pending == ()
    drop(study, artifact_id(ARTIFACT))
    fault = verified(study).fault
    assert fault is not None
    assert "no blob" in fault.what


def test_texts_of_others_are_theirs_or_the_owners_to_erase(tmp_path: Path) -> None:
    other, owner = Identity.generate(), Identity.generate()
    study = KeptStudy(tmp_path, owner)
    body = study.trial(b"of another", 300, other)
    study.trial(b"of the owner", 300, owner)
    assert planned(study, aged(180), other).others == 1
    stranger = planned(study, aged(180), ME)
    assert (stranger.chosen, stranger.others) == ({}, 2)
    with pytest.raises(RetentionError, match="another author's"):
        erase(study, Wish(names=(body.log,), reason="x"), ME)
    assert erase(study, aged(180), other).blobs == 1
    assert erase(study, aged(180), owner).blobs == 1
    assert (verified(study).fault, verified(study).erased) == (None, 2)


def test_a_missing_text_without_a_tombstone_that_counts_is_a_fault(study: KeptStudy) -> None:
    body = study.trial(b"gone", 300)
    drop(study, body.log)
    fault = verified(study).fault
    assert fault is not None
    assert "no tombstone says that it was erased" in fault.what
    assert fault.event
    study.append(BlobsErased(blobs=(body.log,), rule="not mine"), Identity.generate())
    fault = verified(study).fault
    assert fault is not None
    assert "its tombstone" in fault.what
    assert "another author's" in fault.what
    study.append(BlobsErased(blobs=(body.log,), rule="mine"))
    assert verified(study).fault is None


def test_naming_a_text_of_others_gives_no_right_to_erase_it(study: KeptStudy) -> None:
    thief = Identity.generate()
    body = study.trial(b"of the owner", 300)
    study.trial(b"", 300, thief, name=body.log)
    assert planned(study, aged(180), thief).others == 1


def test_a_tombstone_from_elsewhere_is_completed_here(tmp_path: Path) -> None:
    other = Identity.generate()
    study = KeptStudy(tmp_path, ME)
    body = study.trial(b"of another", 300, other)
    study.append(BlobsErased(blobs=(body.log,), rule="its author did"), other)
    done = erase(study, aged(999))
    assert (done.blobs, done.completed) == (0, 1)
    assert b"of another" not in on_disk(study)


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from kept_study import NOW, SetClock, places_in
from consilience.identity.keystore import load_or_create
from consilience.journal import erasure
from consilience.node import retention

folder, phase = Path(sys.argv[1]), sys.argv[2]

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

class Dying:
    def __init__(self, connection):
        self.connection = connection
    def __getattr__(self, name):
        return getattr(self.connection, name)
    def execute(self, query):
        if query.startswith(phase):
            die()
        return self.connection.execute(query)

if phase == "tombstone":
    retention.erase_bytes = die
connect = erasure.sqlite3.connect
class Module:
    DatabaseError = erasure.sqlite3.DatabaseError
    connect = staticmethod(lambda *a, **k: Dying(connect(*a, **k)))
erasure.sqlite3 = Module
wish = retention.Wish(age_ms=180 * retention.DAY_MS)
retention.retain(folder / "state", wish, load_or_create(folder / "key.json"), places_in(folder), SetClock(NOW))
"""
PHASES = {"tombstone": 2, "COMMIT": 2, "PRAGMA wal_checkpoint": 0}


@pytest.mark.parametrize("phase", PHASES)
def test_a_kill_between_tombstone_and_bytes_is_completed_by_the_next_run(phase: str, tmp_path: Path) -> None:
    me = load_or_create(tmp_path / "key.json")
    study = KeptStudy(tmp_path, me)
    for _ in range(2):
        study.trial(LONG.encode(), 200)
    arguments = [sys.executable, "-c", KILLED, str(tmp_path), phase, str(Path(__file__).parent)]
    killed = subprocess.run(arguments, check=False, capture_output=True, text=True, env=dict(os.environ))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert b"xyzzy" in on_disk(study)
    assert verified(study).fault is None, "in between, too, the journal holds"
    assert len(planned(study, aged(180), me).pending) == PHASES[phase]
    done = retain(study.state, aged(180), me, places_in(tmp_path), SetClock(NOW))
    assert (done.blobs, done.completed) == (0, PHASES[phase])
    assert b"xyzzy" not in on_disk(study)
    assert (verified(study).fault, verified(study).erased) == (None, 2)


def test_a_reader_that_keeps_the_log_is_told(study: KeptStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure, "_WAIT_SECONDS", 0.1)
    study.trial(LONG.encode(), 200)
    reader = sqlite3.connect(study.state / JOURNAL_NAME, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM event").fetchone()
    with pytest.raises(JournalError, match="another process reads") as caught:
        erase(study, aged(180))
    assert "completes" in caught.value.hint
    reader.execute("COMMIT")
    reader.close()
    erase(study, aged(180))
    assert b"xyzzy" not in on_disk(study)


def test_many_texts_take_several_tombstones(study: KeptStudy) -> None:
    chance = random.Random(1)
    study.clock.now = NOW - 200 * DAY_MS
    with study.writing(ME) as journal:
        names = [journal.put_erasable(chance.randbytes(8)) for _ in range(1001)]
    for start in range(0, len(names), 250):
        with study.writing(ME) as journal:
            from consilience.core.bodies import RecordImported

            for row, name in enumerate(names[start : start + 250]):
                record = RecordImported(
                    source=name, row=row, label="", metric="m", value=1.0, memory_gb=None, status="keep", description=""
                )
                journal.append(record)
    done = erase(study, aged(180))
    assert (done.blobs, len(done.tombstones)) == (1001, 2)
    assert verified(study).fault is None
