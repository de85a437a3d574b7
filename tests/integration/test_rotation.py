"""Rotation on a real device: studies go on, every step may be killed, and nothing is signed by the wrong key."""

import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from consilience.core.errors import IdentityError, LockedError
from consilience.core.events import identity_hive
from consilience.core.ports import LoadedProblem
from consilience.identity.envelope import signer_of
from consilience.identity.key_files import describe
from consilience.identity.keystore import load, next_path
from consilience.journal.device import read_marks
from consilience.journal.feed import check_row
from consilience.journal.reader import JOURNAL_NAME, JournalReader
from consilience.journal.store import Store
from consilience.journal.verify import verify_store
from consilience.node.certifying import revoke
from consilience.node.clock import SystemClock
from consilience.node.identities import OpenSoul, new_identity, open_identity, report, settle, state_of
from consilience.node.places import UserPlaces
from consilience.node.rotation import Promised, last_seqs, rotate
from consilience.node.session import Session
from consilience.node.settings import problem_layer, resolve
from consilience.node.verifying import fresh_ring, keys_of, ring_of
from consilience.testing.trivial import split_problem

DIES_AT = """
import os, sys
from pathlib import Path
from consilience.identity import key_files, keystore
from consilience.journal.journal import Journal
from consilience.node.clock import SystemClock
from consilience.node.places import UserPlaces
from consilience.node.rotation import rotate
home, last = Path(sys.argv[1]), int(sys.argv[2])
steps = 0

def dying(inner):
    def step(*arguments, **named):
        global steps
        steps += 1
        if steps > last:
            os._exit(9)
        return inner(*arguments, **named)
    return step

Path.replace, Path.unlink = dying(Path.replace), dying(Path.unlink)
Journal.commit, Journal.append = dying(Journal.commit), dying(Journal.append)
os.open = dying(os.open)
rotate(UserPlaces(key=home / "key.json", marks=home / "marks", settings=home / "s", cache=home / "c"), SystemClock())
"""


@pytest.fixture
def places(tmp_path: Path) -> UserPlaces:
    found = UserPlaces(
        key=tmp_path / "key.json", marks=tmp_path / "marks", settings=tmp_path / "s", cache=tmp_path / "c"
    )
    new_identity(found, "", SystemClock())
    return found


def open_study(places: UserPlaces, name: str = "study") -> Session:
    root = places.key.parent / name
    root.mkdir(exist_ok=True)
    loaded: LoadedProblem = replace(split_problem(), root=root)
    settings = resolve({}, {}, problem_layer(loaded.study, loaded.stated), {}, Path("none"))
    return Session.open(loaded, settings, places, clock=SystemClock())


def work(places: UserPlaces, name: str = "study") -> None:
    session = open_study(places, name)
    session.close_epoch()
    session.commit()
    session.close()


def fault(places: UserPlaces, name: str = "study") -> str:
    folder = places.soul if name == "soul" else places.key.parent / name / ".consilience"
    store = Store.open(folder / JOURNAL_NAME)
    try:
        found = verify_store(store, fresh_ring(), read_marks(places.marks)).fault
        JournalReader(store).check_tail(ring_of(store))
    finally:
        store.close()
    return str(found or "")


def signers(places: UserPlaces, name: str = "study") -> list[str]:
    reader = JournalReader.open(places.key.parent / name / ".consilience")
    own = identity_hive(load(places.key).did)
    found = [signer_of(event.jws) for event in reader.arrivals() if event.fields.hive != own]
    reader.close()
    return list(dict.fromkeys(found))


def test_a_study_goes_on_under_each_key_and_verifies(places: UserPlaces) -> None:
    first = load(places.key)
    work(places)
    done = [rotate(places, SystemClock()) for _ in range(2)]
    work(places)
    assert [fault(places), fault(places, "soul")] == ["", ""]
    assert signers(places) == [first.did, done[1].key]
    store = Store.open(places.key.parent / "study" / ".consilience" / JOURNAL_NAME)
    state = keys_of(store).state(first.did)
    assert [span.key for span in state.spans] == [first.did, done[0].key, done[1].key]
    assert {event.author for event in store.rows()} == {first.did}
    store.close()
    shown = report(places)
    assert (shown.did, shown.key, shown.promise) == (first.did, done[1].key, done[1].promise)


def test_a_range_is_checked_by_what_is_known_before_it(places: UserPlaces) -> None:
    work(places)
    rotate(places, SystemClock())
    work(places)
    store = Store.open(places.key.parent / "study" / ".consilience" / JOURNAL_NAME)
    rows = list(store.rows())
    for start in range(len(rows) + 1):
        ring = pickle.loads(pickle.dumps(ring_of(store, start)))  # as another process would get it
        assert [check_row(row, ring) for row in rows[start:]] == [""] * (len(rows) - start)
    rotated = next(row.position for row in rows if row.kind == "key.rotated")
    ring = ring_of(store, rotated)
    assert "has not named" in check_row(rows[-1], ring)
    store.close()


def test_an_old_key_file_that_was_restored_is_refused(places: UserPlaces) -> None:
    old = places.key.read_text()
    rotate(places, SystemClock())
    places.key.write_text(old)
    for use in (lambda: open_study(places), lambda: rotate(places, SystemClock())):
        with pytest.raises(IdentityError, match="was retired by event"):
            use()


def test_what_a_thief_signs_with_the_old_key_is_refused_by_who_knows_of_the_rotation(places: UserPlaces) -> None:
    work(places)
    den = places.key.parent / "den"
    shutil.copytree(places.key.parent, den, ignore=shutil.ignore_patterns("den"))
    thief = replace(places, key=den / "key.json", marks=den / "marks")
    rotate(places, SystemClock())
    work(thief)  # goes on in the feed that he copied
    work(thief, "another")  # and in one of his own
    owned = Store.open(places.soul / JOURNAL_NAME)
    for name in ("study", "another"):
        assert fault(thief, name) == ""  # by itself his journal holds: it does not know of the rotation
        stolen = Store.open(den / name / ".consilience" / JOURNAL_NAME)
        faults = [text for row in stolen.rows() if (text := check_row(row, ring_of(owned)))]
        stolen.close()
        assert faults
        assert all("was retired before" in text for text in faults)
    owned.close()


def test_a_revoked_identity_is_not_used(places: UserPlaces) -> None:
    work(places)
    with OpenSoul(places, "", SystemClock()) as soul:
        revoke(soul, soul.identity.did, "lost")
    assert fault(places, "soul") == ""
    for use in (lambda: open_study(places), lambda: rotate(places, SystemClock())):
        with pytest.raises(IdentityError, match="was revoked"):
            use()


def test_nothing_is_rotated_while_it_is_being_used(places: UserPlaces) -> None:
    session = open_study(places)
    with pytest.raises(LockedError, match="feeds of this device are being written: 1"):
        rotate(places, SystemClock())
    session.close()
    assert load(places.key).key_did == load(places.key).did
    rotate(places, SystemClock())
    assert fault(places) == ""


def test_who_loaded_the_key_before_a_rotation_is_stopped(places: UserPlaces, monkeypatch: pytest.MonkeyPatch) -> None:
    early = open_identity(places)
    rotate(places, SystemClock())
    monkeypatch.setattr("consilience.node.session.open_identity", lambda *_: early)
    with pytest.raises(IdentityError, match=r"rotated meanwhile|replaced by a rotation"):
        open_study(places)
    monkeypatch.undo()
    work(places)
    assert fault(places) == ""


def test_the_promised_key_may_be_kept_elsewhere(places: UserPlaces, tmp_path: Path) -> None:
    safe = tmp_path / "safe.json"
    next_path(places.key).replace(safe)
    with pytest.raises(IdentityError, match="the promised key is not at"):
        rotate(places, SystemClock())
    done = rotate(places, SystemClock(), promised=Promised(file=safe))
    assert describe(safe).did == done.key
    with pytest.raises(IdentityError, match="not the one that was promised"):
        rotate(places, SystemClock(), promised=Promised(file=safe))
    assert load(places.key).key_did == done.key


def test_feeds_of_another_device_are_closed_when_its_journal_is_named(places: UserPlaces, tmp_path: Path) -> None:
    laptop = replace(places, marks=tmp_path / "laptop-marks")
    work(laptop, "other")
    author = load(places.key).did
    folder = places.key.parent / "other" / ".consilience"
    assert set(last_seqs(places.marks, author)) < set(last_seqs(places.marks, author, (folder,)))
    rotate(places, SystemClock(), journals=(folder,))
    work(laptop, "other")
    assert fault(places, "other") == ""


def test_a_mark_that_lags_behind_its_journal_closes_nothing_too_early(places: UserPlaces) -> None:
    work(places)
    author = load(places.key).did
    heads = last_seqs(places.marks, author)
    for mark in places.marks.iterdir():
        text = mark.read_text()
        mark.write_text(f"{0:020d}{text[20:]}")  # as after a crash between commit and mark
    assert last_seqs(places.marks, author) == heads
    rotate(places, SystemClock())
    work(places)
    assert fault(places) == ""


def test_a_rotation_that_is_killed_at_any_step_leaves_a_usable_key(places: UserPlaces) -> None:
    author = load(places.key).did
    work(places)
    outcomes = []
    for last in range(100):
        command = [sys.executable, "-c", DIES_AT, str(places.key.parent), str(last)]
        code = subprocess.run(command, check=False, capture_output=True).returncode
        before = state_of(places).key
        settle(places)
        identity = open_identity(places)
        assert (identity.did, identity.key_did) == (author, before)
        assert next_path(places.key).exists()
        leftovers = {path.name for path in places.key.parent.glob("key.*.json")}
        assert leftovers == {"key.next.json"}
        outcomes.append(len(state_of(places).spans))
        if code == 0:
            break
        assert code == 9
    assert code == 0
    assert outcomes[0] == 1
    assert len(outcomes) > 12
    assert outcomes[-1] >= 3  # one that was killed after its event counted, and the last
    work(places)
    assert [fault(places), fault(places, "soul")] == ["", ""]
