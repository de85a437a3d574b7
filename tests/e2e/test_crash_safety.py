"""`run` is killed with SIGKILL again and again; nothing acknowledged is lost, nothing is run twice."""

import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

from conftest import Machine

from consilience.core.bodies import TrialFinished
from consilience.journal.journal import JournalReader
from consilience.node.places import UserPlaces
from consilience.node.reading import StudyReader
from consilience.node.reports import board, summary
from consilience.node.upkeep import verify

KILLS = 50
TRIALS = 400


def acknowledged(out: str) -> dict[str, Any]:
    """Return the trials that the run printed: event id -> score. A last line cut by the kill does not count."""
    lines = [json.loads(line) for line in out.splitlines() if line.endswith("}")]
    return {line["event"]: line["score"] for line in lines if line["type"] == "trial"}


def finished(state: Path) -> dict[str, tuple[tuple[str, int], float | None]]:
    """Return every finished trial in the journal: event id -> ((candidate, seed), score)."""
    reader = StudyReader.open(state)
    try:
        return {
            row.finished_event: ((row.candidate, row.seed), row.metrics.get("depth"))
            for row in reader.trials.rows.values()
            if row.finished_event
        }
    finally:
        reader.close()


def kill_once(machine: Machine, folder: Path, lines: int, delay: float) -> str:
    """Start a run, kill it after its launch line, some more lines and a delay, and return what it had printed."""
    process = machine.start("run", str(folder), "--trials", str(TRIALS), "--json")
    assert process.stdout is not None
    first = "".join(process.stdout.readline() for _ in range(1 + lines))
    time.sleep(delay)
    os.kill(process.pid, signal.SIGKILL)
    rest, _ = process.communicate(timeout=60)
    return first + rest


def test_killed_fifty_times_and_still_whole(machine: Machine) -> None:
    folder = machine.problem(with_program=True)
    state = folder / ".consilience"
    chance = random.Random(20)
    seen: dict[str, Any] = {}
    home = machine.home
    places = UserPlaces(key=home, marks=home / "state/consilience/feeds", settings=home, cache=home)
    for _ in range(KILLS):
        seen.update(acknowledged(kill_once(machine, folder, chance.randrange(4), chance.uniform(0.0, 0.1))))
        report = verify(state, places)
        assert report.fault is None, str(report.fault)
        kept = finished(state)
        assert seen.items() <= {event: score for event, (_, score) in kept.items()}.items()
        runs = [run for run, _ in kept.values()]
        assert len(runs) == len(set(runs)), "a trial was run twice"
    ended = machine.run("run", str(folder), "--trials", str(TRIALS), "--json")
    assert ended.returncode == 0, ended.stderr
    live = json.loads(ended.stdout.splitlines()[-1])["summary"]
    assert_whole(state, live, len(seen))


def assert_whole(state: Path, live: dict[str, Any], seen: int) -> None:
    """The budget is used exactly, work survived the kills, and the state is that of a fold from event 0."""
    reader = StudyReader.open(state)
    assert reader.budget.spent.trials == TRIALS
    assert reader.budget.reserved == {}
    assert seen > 20
    interrupted = reader.run_state.outcomes["interrupted"]
    assert 0 < interrupted <= KILLS
    folded = summary(reader)
    assert {"best": folded.best, "trials": folded.trials} == {"best": live["best"], "trials": live["trials"]}
    assert board(reader).rankings
    reader.close()


def test_a_killed_run_leaves_no_process_and_no_trial_folder(machine: Machine) -> None:
    slow = "import time\ndef evaluate(candidate, seed):\n    time.sleep(30)\n    return 1.0\n"
    folder = machine.problem(evaluator=slow)
    process = machine.start("run", str(folder), "--json")
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(1.0)
    children = descendants(process.pid)
    assert children
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    deadline = time.monotonic() + 10
    while any(alive(child) for child in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [child for child in children if alive(child)]
    journal = JournalReader.open(folder / ".consilience")
    assert not [event for event in journal.arrivals() if isinstance(event.body, TrialFinished)]
    journal.close()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def descendants(pid: int) -> list[int]:
    """Return the processes below one, by /proc."""
    below: list[int] = []
    for entry in Path("/proc").iterdir():
        try:
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        if parent == pid:
            below += [int(entry.name), *descendants(int(entry.name))]
    return below
