"""Snapshots of views are never needed and never believed in doubt: every answer is the one that a replay gives."""

import json
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conftest import Machine, Shell
from study_dumps import folded, views

from consilience.core.problem import problem_id
from consilience.interfaces.cli import options
from consilience.journal import snapshots
from consilience.journal.device import WriterLock
from consilience.journal.snapshots import Snapshot
from consilience.node import views as node_views
from consilience.node.reading import StudyReader
from consilience.node.reports import board, summary
from consilience.node.running import Run

TRIALS = 30
KILLED_AT_A_SAVE = """
import os, signal, sys
from consilience.interfaces.cli.main import main
from consilience.journal.snapshots import Snapshot

left = int(sys.argv.pop(1))
real = Snapshot.commit

def commit(self, **least):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)  # the journal has committed, the snapshot has not
    real(self, least=1)

Snapshot.commit = commit
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def studied(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A problem's folder after a run; from now on even the shortest journal is worth a snapshot."""
    folder = shell.machine.problem(with_program=True)
    monkeypatch.setattr(snapshots, "SAVE_EVERY", 20)
    monkeypatch.setattr(snapshots, "WORTH_SAVING", 30)
    code, _, err = shell("run", str(folder), "--trials", str(TRIALS), "-q")
    assert code == 0, err
    return folder


def snapshot_of(folder: Path) -> Path:
    (found,) = (folder / ".consilience/views").glob("*.db")
    return found


def remove(snapshot: Path) -> None:
    for path in snapshot.parent.glob(f"{snapshot.name}*"):
        path.unlink()


def answers(folder: Path) -> list[Any]:
    """Return what commands show of a study."""
    with StudyReader.open(folder / ".consilience") as reader:
        return [msgspec.to_builtins(summary(reader)), msgspec.json.encode(board(reader)), reader.count]


def replayed(folder: Path) -> list[Any]:
    with StudyReader.open(folder / ".consilience", replay=True) as reader:
        return [msgspec.to_builtins(summary(reader)), msgspec.json.encode(board(reader)), reader.count]


def assert_right(folder: Path) -> None:
    state = folder / ".consilience"
    assert folded(state) == folded(state, to=10**9)
    assert answers(folder) == replayed(folder)


def test_commands_answer_alike_with_a_snapshot_without_and_after_a_replay(studied: Path, shell: Shell) -> None:
    assert_right(studied)
    name = str(studied)
    with_snapshot = [shell.data("board", "-p", name), shell.data("show", "3", "-p", name)]
    assert shell.data("replay", "-p", name)["board"] == with_snapshot[0]
    remove(snapshot_of(studied))
    assert [shell.data("board", "-p", name), shell.data("show", "3", "-p", name)] == with_snapshot
    assert snapshot_of(studied).exists(), "a reader leaves a snapshot of a journal that is worth it"
    shutil.rmtree(snapshot_of(studied).parent)
    assert shell("run", name, "--trials", str(TRIALS + 10), "-q")[0] == 0
    assert_right(studied)


def test_an_excision_and_its_withdrawal_with_snapshots(studied: Path, shell: Shell) -> None:
    name, before = str(studied), answers(studied)
    rows = next(iter(shell.data("board", "-p", name)["rankings"].values()))
    trial = next(str(row["trial"]) for row in rows if row["verdict"] == "promoted")
    assert shell.data("excise", trial, "-p", name, "--reason", "a test", "--dry-run")["event"] == ""
    assert answers(studied) == before
    done = shell.data("excise", trial, "-p", name, "--reason", "a test")
    assert_right(studied)
    assert answers(studied) != before
    for trials in (TRIALS + 10, TRIALS + 20):  # each run opens behind the excision
        assert shell("run", name, "--trials", str(trials), "-q")[0] == 0
        assert_right(studied)
    with StudyReader.open(studied / ".consilience") as reader:
        known = dict(reader.excisions.withdrawn)
        assert {event.id for event in reader.events if event.id in known} == known.keys()
        assert shell.data("why", trial, "-p", name)["events"]
    remove(snapshot_of(studied))
    assert_right(studied)
    shell.data("excise", "--withdraw", done["event"], "-p", name, "--reason", "it was none")
    assert_right(studied)
    assert shell("run", name, "--trials", str(TRIALS + 30), "-q")[0] == 0
    assert_right(studied)
    with StudyReader.open(studied / ".consilience") as reader:
        assert not reader.excisions.withdrawn


def test_a_snapshot_is_read_and_not_only_written(studied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("folded from the first event")

    monkeypatch.setattr(snapshots, "_fold_anew", never)
    assert answers(studied)[2] > TRIALS


@pytest.mark.parametrize("seed", range(6))
def test_a_damaged_snapshot_is_never_believed(studied: Path, seed: int) -> None:
    whole, snapshot, right = snapshot_of(studied).read_bytes(), snapshot_of(studied), replayed(studied)
    chance = random.Random(seed)
    for _ in range(8):
        remove(snapshot)
        data = bytearray(whole)
        for _ in range(chance.choice([1, 40])):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        end = chance.randrange(len(data)) if chance.random() < 0.2 else len(data)
        snapshot.write_bytes(bytes(data[:end]))
        assert answers(studied) == right
        assert_right(studied)


def test_damage_in_the_middle_of_a_run_is_mended(studied: Path) -> None:
    loaded = options.load(str(studied), options.Layout())
    settings = options.resolve_settings(loaded, {"trials": str(TRIALS + 20)})
    with Run.open(loaded, settings, options.places()) as work:
        snapshot = snapshot_of(studied)
        data = bytearray(snapshot.read_bytes())
        for place in range(8192, len(data), 7):  # the cells and the first pages stay
            data[place] ^= 255
        snapshot.write_bytes(bytes(data))
        work.start()
        assert work.work() == "budget"
        session = work.session
        lived = views(session.state, session.run_state, session.trials)
        assert lived == folded(studied / ".consilience", to=10**9)
    assert_right(studied)


def test_a_snapshot_of_something_else_is_not_believed(studied: Path, shell: Shell) -> None:
    older = shell.machine.home / "older"
    shutil.copytree(studied / ".consilience", older)
    assert shell("run", str(studied), "--trials", str(TRIALS + 10), "-q")[0] == 0
    newer = snapshot_of(studied).read_bytes()
    other = shell.machine.problem("other", with_program=True)
    assert shell("run", str(other), "--trials", "20", "--seed", "5", "-q")[0] == 0
    stale = (older / "views" / _place(studied).name).read_bytes()
    for data in (snapshot_of(other).read_bytes(), stale, b"", b"x"):
        remove(_place(studied))
        _place(studied).write_bytes(data)
        assert_right(studied)
    shutil.copy(
        older / "journal.db", studied / ".consilience/journal.db"
    )  # the journal is restored, the snapshot is not
    _place(studied).write_bytes(newer)
    assert_right(studied)


def _place(folder: Path) -> Path:
    with StudyReader.open(folder / ".consilience", to=-1) as reader:
        return folder / ".consilience/views" / f"{reader.hive}.db"


def test_other_code_makes_its_own_snapshot(studied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = snapshot_of(studied).read_bytes()
    monkeypatch.setattr(node_views, "fold_code", lambda: "another version")
    assert_right(studied)
    assert snapshot_of(studied).read_bytes() != before


def test_where_no_snapshot_can_be_kept_everything_works(studied: Path, shell: Shell) -> None:
    shutil.rmtree(studied / ".consilience/views")
    (studied / ".consilience/views").write_text("in the way")
    assert_right(studied)
    assert shell("run", str(studied), "--trials", str(TRIALS + 10), "-q")[0] == 0
    assert_right(studied)


def test_who_has_no_lock_writes_no_snapshot(studied: Path, shell: Shell) -> None:
    snapshot = snapshot_of(studied)
    remove(snapshot)
    held = WriterLock(snapshot.with_suffix(".lock"))
    try:
        assert_right(studied)
        assert shell("run", str(studied), "--trials", str(TRIALS + 10), "-q")[0] == 0
        assert_right(studied)
        assert not snapshot.exists()
    finally:
        held.release()


def test_a_reader_sees_one_state_while_a_run_goes_on(studied: Path, shell: Shell) -> None:
    with StudyReader.open(studied / ".consilience") as reader:
        before, count = msgspec.json.encode(board(reader)), reader.count
        assert shell("run", str(studied), "--trials", str(TRIALS + 20), "-q")[0] == 0
        assert msgspec.json.encode(board(reader)) == before
        assert len(reader.events) == count
    assert_right(studied)


@pytest.mark.parametrize("number", [1, 2, 9, 25])
def test_killed_between_the_commit_and_the_save(number: int, machine: Machine, shell: Shell) -> None:
    folder = machine.problem(with_program=True)
    line = [sys.executable, "-c", KILLED_AT_A_SAVE, str(number), "run", str(folder), "--trials", str(TRIALS), "-q"]
    done = subprocess.run(line, env=machine.environment, cwd=machine.home, check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert_right(folder)
    ended = machine.run("run", str(folder), "--trials", str(TRIALS), "--json")
    assert ended.returncode == 0, ended.stderr
    assert_right(folder)
    assert json.loads(ended.stdout.splitlines()[-1])["summary"]["trials"] == TRIALS


def test_uncommitted_events_are_in_no_snapshot(studied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = options.load(str(studied), options.Layout())
    settings = options.resolve_settings(loaded, {"trials": str(TRIALS + 20)})
    saved: list[int] = []
    real = Snapshot.commit

    def commit(self: Snapshot, **least: int) -> None:
        saved.append(1)
        real(self, **least)

    monkeypatch.setattr(Snapshot, "commit", commit)
    with Run.open(loaded, settings, options.places()) as work:
        work.session.offer_baseline()  # in the open group, which closing forgets
        count = len(saved)
    assert len(saved) == count, "what was not committed is not saved"
    assert_right(studied)
    with StudyReader.open(studied / ".consilience", problem_id(loaded.problem)) as reader:
        assert snapshot_of(studied).stem == reader.hive
