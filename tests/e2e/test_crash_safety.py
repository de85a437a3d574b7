"""`run` is killed with SIGKILL again and again; nothing acknowledged is lost, nothing is run twice."""

import ctypes
import json
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Machine, Shell
from study_dumps import folded, views

from consilience.core.bodies import TrialFinished
from consilience.core.problem import problem_id
from consilience.interfaces.cli import options
from consilience.journal.reader import JournalReader
from consilience.journal.views.trials import TrialRow
from consilience.node.reading import StudyReader
from consilience.node.running import Run
from consilience.node.upkeep import verify

KILLS = 56
EARLY = 8  # kills that come before the run says anything
TRIALS = 400
ADOPT_ORPHANS = 36  # PR_SET_CHILD_SUBREAPER, prctl(2)
PROGRESS = 20  # kills that hit a run with trials behind it, at least


@pytest.fixture
def orphanage() -> Iterator[None]:
    """Become the parent of whatever a killed run leaves behind, so that nothing can hide."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(ADOPT_ORPHANS, 1, 0, 0, 0) == 0
    yield
    assert libc.prctl(ADOPT_ORPHANS, 0, 0, 0, 0) == 0


def acknowledged(out: str) -> dict[str, Any]:
    """Return the trials that the run printed: event id -> score. A last line cut by the kill does not count."""
    lines = [json.loads(line) for line in out.splitlines() if line.endswith("}")]
    return {line["event"]: line["score"] for line in lines if line["type"] == "trial"}


def finished(state: Path) -> dict[str, TrialRow]:
    """Return every finished trial in the journal by event id; its budget is checked on the way."""
    reader = StudyReader.open(state)
    try:
        assert reader.budget.committed.trials <= TRIALS
        assert len(reader.budget.reserved) <= 1, "one worker has one trial in flight"
        return {row.finished_event: row for row in reader.trials.rows.values() if row.finished_event}
    finally:
        reader.close()


def kill_once(machine: Machine, folder: Path, chance: random.Random, *, early: bool) -> str:
    """Start a run, kill it at a random moment, and return what it had printed."""
    process = machine.start("run", str(folder), "--trials", str(TRIALS), "--json")
    assert process.stdout is not None
    first = ""
    if early:
        time.sleep(chance.uniform(0.0, 0.5))
    else:
        first = "".join(process.stdout.readline() for _ in range(1 + chance.randrange(4)))
        time.sleep(chance.uniform(0.0, 0.05))
    assert process.poll() is None, "it was killed while it worked"
    os.kill(process.pid, signal.SIGKILL)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    return first + rest


def assert_no_survivors(before: set[int]) -> None:
    """Whatever the run started is dead: as its new parent, we would have it among our children."""
    deadline = time.monotonic() + 10
    left = children(os.getpid()) - before
    while left and time.monotonic() < deadline:
        for child in left:
            os.waitpid(child, os.WNOHANG)
        time.sleep(0.005)
        left = children(os.getpid()) - before
    assert not left, [Path(f"/proc/{child}/cmdline").read_bytes() for child in left]


@pytest.mark.slow
@pytest.mark.usefixtures("orphanage")
def test_killed_again_and_again_and_still_whole(shell: Shell) -> None:
    machine = shell.machine
    folder = machine.problem(with_program=True)
    state = folder / ".consilience"
    chance = random.Random(20)
    printed: dict[str, Any] = {}
    kept: dict[str, TrialRow] = {}
    before = children(os.getpid())
    moments = ["late", *chance.sample(["early"] * EARLY + ["late"] * (KILLS - EARLY - 1), KILLS - 1)]
    with_progress = 0
    for moment in moments:
        printed.update(acknowledged(kill_once(machine, folder, chance, early=moment == "early")))
        assert_no_survivors(before)
        report = verify(state, options.places())
        assert report.fault is None, str(report.fault)
        now = finished(state)
        assert kept.items() <= now.items(), "a committed outcome is lost or changed"
        assert printed.items() <= {event: row.metrics.get("depth") for event, row in now.items()}.items()
        runs = [(row.candidate, row.seed, row.purpose == "recheck") for row in now.values()]
        assert len(runs) == len(set(runs)), "a trial was run twice"
        with_progress += len(now) > len(kept)
        kept = now
    assert with_progress > PROGRESS
    assert shell("verify", "-p", str(folder))[0] == 0
    finish_and_compare(folder, kept)


def finish_and_compare(folder: Path, kept: dict[str, TrialRow]) -> None:
    """Resume in this process: what the session holds in memory equals a fold from event 0, at once and at the end."""
    state = folder / ".consilience"
    loaded = options.load(str(folder), options.Layout())
    settings = options.resolve_settings(loaded, {"trials": str(TRIALS)})
    with Run.open(loaded, settings, options.places()) as work:
        session = work.session
        assert views(session.state, session.run_state, session.trials) == folded(state)
        work.start()
        assert work.work() == "budget"
        assert views(session.state, session.run_state, session.trials) == folded(state)
    assert kept.items() <= finished(state).items()
    reader = StudyReader.open(state, problem_id(loaded.problem))
    assert reader.budget.spent.trials == TRIALS
    assert reader.budget.reserved == {}
    assert 0 < reader.run_state.outcomes["interrupted"] <= KILLS
    reader.close()


@pytest.mark.usefixtures("orphanage")
def test_killed_while_it_founds_the_study(machine: Machine) -> None:
    chance = random.Random(4)
    before = children(os.getpid())
    for number in range(8):
        folder = machine.problem(f"valley-{number}")
        process = machine.start("run", str(folder), "--trials", "6", "-q")
        time.sleep(chance.uniform(0.15, 0.7))
        process.kill()
        process.communicate(timeout=60)
        assert_no_survivors(before)
        checked = machine.run("verify", "-p", str(folder), "--json")
        assert checked.returncode == 0 or "no journal" in json.loads(checked.stdout)["error"]["message"]
        ended = machine.run("run", str(folder), "--trials", "6", "-q")
        assert ended.returncode == 0, ended.stderr
        assert len(finished(folder / ".consilience")) == 6


def test_a_killed_run_leaves_no_process_and_no_trial_folder(machine: Machine) -> None:
    slow = "import time\ndef evaluate(candidate, seed):\n    time.sleep(30)\n    return 1.0\n"
    folder = machine.problem(evaluator=slow)
    process = machine.start("run", str(folder), "--json")
    assert process.stdout is not None
    process.stdout.readline()
    deadline = time.monotonic() + 10
    while not descendants(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    below = descendants(process.pid)
    assert below
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    deadline = time.monotonic() + 10
    while any(alive(child) for child in below) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [child for child in below if alive(child)]
    journal = JournalReader.open(folder / ".consilience")
    assert not [event for event in journal.arrivals() if isinstance(event.body, TrialFinished)]
    journal.close()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def children(pid: int) -> set[int]:
    """Return the processes whose parent is this one, the dead that nobody waited for included."""
    found: set[int] = set()
    for entry in Path("/proc").iterdir():
        try:
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        if parent == pid:
            found.add(int(entry.name))
    return found


def descendants(pid: int) -> set[int]:
    """Return the processes below one."""
    return {found for child in children(pid) for found in (child, *descendants(child))}
