"""The identity's own journal: one genesis however many start at once, and its events ride along in each study."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from consilience.core.bodies_identity import IdentityCreated, KeyCertified
from consilience.core.errors import IdentityError
from consilience.core.events import Event, identity_hive
from consilience.core.ports import LoadedProblem
from consilience.identity.envelope import signer_of
from consilience.identity.keys import Identity
from consilience.identity.keystore import load_or_create, write_identity
from consilience.journal.device import read_marks
from consilience.journal.reader import JOURNAL_NAME, JournalReader
from consilience.journal.store import Store
from consilience.journal.verify import VerifyReport, verify_store
from consilience.node import souls
from consilience.node.places import UserPlaces
from consilience.node.rotation import rotate
from consilience.node.session import Session
from consilience.node.settings import Settings, problem_layer, resolve
from consilience.node.souls import open_soul, read_soul
from consilience.node.verifying import fresh_ring
from consilience.testing.clocks import ManualClock
from consilience.testing.trivial import split_problem

CERTIFICATE = KeyCertified(key="did:key:z6MkAnother", purpose="agent", name="later", may=(), proof="")
OPENS = """
import sys
from pathlib import Path
from consilience.core.events import identity_hive
from consilience.identity.keystore import load_or_create
from consilience.node.clock import SystemClock
from consilience.node.places import UserPlaces
from consilience.node.souls import carry_identity
from consilience.journal.journal import Journal
home, name = Path(sys.argv[1]), sys.argv[2]
places = UserPlaces(key=home / "key.json", marks=home / "marks", settings=home / "s", cache=home / "c")
identity = load_or_create(places.key)
journal = Journal.create(home / name, identity, SystemClock())
print(carry_identity(journal, places, identity, SystemClock()))
journal.close()
"""


@pytest.fixture
def places(tmp_path: Path) -> UserPlaces:
    return UserPlaces(
        key=tmp_path / "key.json", marks=tmp_path / "marks", settings=tmp_path / "s", cache=tmp_path / "c"
    )


def problem(root: Path) -> LoadedProblem:
    root.mkdir(exist_ok=True)
    return replace(split_problem(), root=root)


def settings_of(loaded: LoadedProblem) -> Settings:
    return resolve({}, {}, problem_layer(loaded.study, loaded.stated), {}, Path("none"))


def open_study(root: Path, places: UserPlaces) -> Session:
    loaded = problem(root)
    return Session.open(loaded, settings_of(loaded), places, clock=ManualClock(0, 1))


def study_once(root: Path, places: UserPlaces) -> tuple[list[Event], str]:
    """Open and close a study; return its events by arrival, and what was missing."""
    session = open_study(root, places)
    missing = session.missing
    session.close()
    reader = JournalReader.open(root / ".consilience")
    found = list(reader.arrivals())
    reader.close()
    return found, missing


def check(folder: Path, places: UserPlaces) -> VerifyReport:
    store = Store.open(folder / JOURNAL_NAME)
    try:
        return verify_store(store, fresh_ring(), read_marks(places.marks))
    finally:
        store.close()


def created(places: UserPlaces) -> list[Event]:
    reader = JournalReader.open(places.soul)
    found = [event for event in reader.arrivals() if isinstance(event.body, IdentityCreated)]
    reader.close()
    return found


def test_the_first_use_of_a_key_makes_its_genesis_and_every_study_carries_it(
    tmp_path: Path, places: UserPlaces
) -> None:
    events, missing = study_once(tmp_path / "p", places)
    assert missing == ""
    did = load_or_create(places.key).did
    assert [e.fields.kind for e in events[:2]] == ["identity.created", "key.certified"]
    assert all(e.fields.hive == identity_hive(did) for e in events[:2])
    assert events[0].fields.seq == 0
    assert isinstance(events[0].body, IdentityCreated)
    assert len(events[0].body.next_key) == 64, "the next key is promised"
    founded = events[2]
    assert founded.fields.kind == "hive.founded"
    assert founded.fields.after == (events[1].id,), "the feed builds on the identity's head"
    assert check(tmp_path / "p/.consilience", places).fault is None
    assert check(places.soul, places).fault is None
    other, _ = study_once(tmp_path / "q", places)
    assert [e.id for e in other[:2]] == [e.id for e in events[:2]]
    again, _ = study_once(tmp_path / "p", places)
    assert [e.id for e in again] == [e.id for e in events], "nothing is carried twice"


def test_a_rotation_is_carried_by_the_next_run_and_named_by_it(tmp_path: Path, places: UserPlaces) -> None:
    before, _ = study_once(tmp_path / "p", places)
    rotated = rotate(places, ManualClock(0, 1), journals=(tmp_path / "p/.consilience",))
    assert check(tmp_path / "p/.consilience", places).fault is None, "what has not run since lacks nothing of its own"
    session = open_study(tmp_path / "p", places)
    assert session.missing == ""
    assert session.run_state.configured is not None
    first = session.append(replace(session.run_state.configured, version=9))
    session.commit()
    session.close()
    assert rotated.event in first.fields.after
    assert signer_of(first.jws) == rotated.key
    reader = JournalReader.open(tmp_path / "p/.consilience")
    order = [event.id for event in reader.events(first.fields.hive)]
    assert order.index(rotated.event) < order.index(first.id)
    assert [event.id for event in reader.arrivals()][len(before)] == rotated.event
    reader.close()
    assert check(tmp_path / "p/.consilience", places).fault is None
    other, missing = study_once(tmp_path / "q", places)
    assert missing == ""
    assert [event.fields.kind for event in other[:3]] == ["identity.created", "key.certified", "key.rotated"]
    assert check(tmp_path / "q/.consilience", places).fault is None


def test_a_rotated_key_is_refused_where_its_rotation_is_lost(tmp_path: Path, places: UserPlaces) -> None:
    study_once(tmp_path / "p", places)
    rotate(places, ManualClock(0, 1), journals=(tmp_path / "p/.consilience",))
    study_once(tmp_path / "p", places)
    for file in places.soul.iterdir():
        file.unlink()
    places.soul.rmdir()
    places.soul.write_text("in the way")
    _, missing = study_once(tmp_path / "p", places)
    assert "cannot be used" in missing, "this study knows the rotation already"
    with pytest.raises(IdentityError, match="cannot be told"):
        open_study(tmp_path / "q", places)


def test_a_study_is_whole_without_the_soul_it_came_from(tmp_path: Path, places: UserPlaces) -> None:
    study_once(tmp_path / "p", places)
    elsewhere = replace(places, key=tmp_path / "elsewhere/key.json", marks=tmp_path / "elsewhere/marks")
    report = check(tmp_path / "p/.consilience", elsewhere)
    assert report.fault is None
    assert report.feeds == 2
    reader = JournalReader.open(tmp_path / "p/.consilience")
    hive = next(iter(reader.hives()))
    kinds = [event.fields.kind for event in reader.events(hive)]
    reader.close()
    assert kinds == ["identity.created", "key.certified", "hive.founded", "study.configured"]


def test_a_cut_soul_is_noticed(tmp_path: Path, places: UserPlaces) -> None:
    study_once(tmp_path / "p", places)
    identity = load_or_create(places.key)
    copy = places.soul / "copy.db"
    store = Store.open(places.soul / JOURNAL_NAME)
    store.copy_to(copy)
    store.close()
    soul = open_soul(places, identity, ManualClock(0, 1))
    soul.append(CERTIFICATE)
    soul.commit()
    soul.close()
    for name in (JOURNAL_NAME, f"{JOURNAL_NAME}-wal", f"{JOURNAL_NAME}-shm"):
        (places.soul / name).unlink(missing_ok=True)
    copy.rename(places.soul / JOURNAL_NAME)
    assert "tail is missing" in str(check(places.soul, places).fault)


def test_many_first_runs_make_one_genesis(tmp_path: Path, places: UserPlaces) -> None:
    running = [
        subprocess.Popen([sys.executable, "-c", OPENS, str(tmp_path), f"study-{n}"], stdout=subprocess.PIPE, text=True)
        for n in range(6)
    ]
    said = [process.communicate(timeout=60)[0].strip() for process in running]
    assert [process.returncode for process in running] == [0] * 6
    assert said == [""] * 6
    assert len(created(places)) == 1
    soul = [row.id for row in read_soul(places, load_or_create(places.key).did)]
    for n in range(6):
        reader = JournalReader.open(tmp_path / f"study-{n}")
        assert [event.id for event in reader.arrivals()] == soul
        reader.close()


def test_a_locked_soul_stops_no_run_and_the_next_one_carries_it(
    tmp_path: Path, places: UserPlaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(souls, "_WAIT_SECONDS", 0.1)
    identity = load_or_create(places.key)
    holder = open_soul(places, identity, ManualClock(0, 1))
    started = time.monotonic()
    events, missing = study_once(tmp_path / "p", places)
    assert time.monotonic() - started < 5
    assert "cannot be used" in missing
    assert "is writing" in missing
    assert [e.fields.kind for e in events] == ["hive.founded", "study.configured"]
    assert check(tmp_path / "p/.consilience", places).fault is None
    holder.close()
    after, missing = study_once(tmp_path / "p", places)
    assert missing == ""
    assert [e.fields.kind for e in after[2:]] == ["identity.created", "key.certified"]
    assert check(tmp_path / "p/.consilience", places).fault is None


def test_a_whole_soul_is_read_while_another_process_writes_it(tmp_path: Path, places: UserPlaces) -> None:
    study_once(tmp_path / "p", places)
    holder = open_soul(places, load_or_create(places.key), ManualClock(0, 1))
    _, missing = study_once(tmp_path / "q", places)
    holder.close()
    assert missing == ""


def test_a_soul_that_cannot_be_made_stops_no_run(tmp_path: Path, places: UserPlaces) -> None:
    load_or_create(places.key)
    places.soul.write_text("in the way")
    events, missing = study_once(tmp_path / "p", places)
    assert str(places.soul) in missing
    assert [e.fields.kind for e in events] == ["hive.founded", "study.configured"]


def test_a_damaged_soul_stops_no_run(tmp_path: Path, places: UserPlaces) -> None:
    load_or_create(places.key)
    places.soul.mkdir()
    (places.soul / JOURNAL_NAME).write_bytes(b"no database" * 500)
    events, missing = study_once(tmp_path / "p", places)
    assert "cannot be used" in missing
    assert [e.fields.kind for e in events] == ["hive.founded", "study.configured"]


def test_a_later_key_whose_coming_nothing_tells_is_refused(tmp_path: Path, places: UserPlaces) -> None:
    first = Identity.generate()
    later = Identity(Identity.generate()._key, first.did)
    write_identity(places.key, later, "")
    with pytest.raises(IdentityError, match="cannot be told"):
        open_study(tmp_path / "p", places)
