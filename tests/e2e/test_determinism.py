"""Same problem, seed and budget: same candidates and same board, byte for byte but for clock and durations."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conftest import Machine

from consilience.node.reading import StudyReader
from consilience.node.reports import board, summary

TRIALS = 60
# What follows from clock, durations and keys; everything else has to be equal.
STRIPPED = {
    "events",
    "event",
    "at",
    "resources",
    "wall_ms",
    "cpu_ms",
    "state",
    "message",
    "number",
    "trial",
    "best_trial",
}


def dump(folder: Path) -> bytes:
    """Return candidates in order with their scores, verdicts and the board, without what a clock decides."""
    reader = StudyReader.open(folder / ".consilience")
    members = list(reader.search.members.values())
    numbers = {member.event: member.number for member in members}
    candidates = [
        {
            "candidate": member.body.candidate,
            "parents": [numbers[parent] for parent in member.body.parents],
            "hypothesis": member.body.hypothesis,
            "novelty": member.body.novelty,
            "repeats": member.body.repeats,
            "phase": member.body.phase,
            "coordinates": member.body.coordinates,
            "scores": list(member.scores.items()),
            "verdict": member.verdict,
        }
        for member in members
    ]
    verdicts = [
        (numbers[row.body.candidate], row.body.verdict, row.body.reasons, row.body.figures)
        for row in reader.trials.verdicts.values()
    ]
    shown = {"candidates": candidates, "verdicts": verdicts, "board": strip(msgspec.to_builtins(board(reader)))}
    reader.close()
    return msgspec.json.encode(shown, order="sorted")


def strip(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: strip(item) for name, item in value.items() if name not in STRIPPED}
    return [strip(item) for item in value] if isinstance(value, list) else value


def run_once(machine: Machine, name: str) -> Path:
    folder = machine.problem(name, with_program=True)
    done = machine.run("run", str(folder), "--trials", str(TRIALS), "-q")
    assert done.returncode == 0, done.stderr
    return folder


def other_machine(machine: Machine) -> Machine:
    home = machine.home.parent / "elsewhere"
    home.mkdir()
    return Machine(home)


def test_two_machines_agree_to_the_byte(machine: Machine) -> None:
    first, second = run_once(machine, "valley"), run_once(other_machine(machine), "valley")
    assert dump(first) == dump(second)
    assert json.loads(dump(first))["candidates"][1:], "candidates were made"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
def test_an_interrupted_run_ends_as_an_undisturbed_one(machine: Machine, number: signal.Signals) -> None:
    calm = run_once(machine, "valley")
    disturbed = other_machine(machine)
    folder = disturbed.problem("valley", with_program=True)
    for delay in (0.1, 0.35, 0.6):
        process = disturbed.start("run", str(folder), "--trials", str(TRIALS), "--json")
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(delay)
        os.kill(process.pid, number)
        process.communicate(timeout=60)
        assert process.returncode in {0, 130, -signal.SIGKILL}
    ended = disturbed.run("run", str(folder), "--trials", str(TRIALS), "-q")
    assert ended.returncode == 0, ended.stderr
    assert dump(folder) == dump(calm)


def test_replay_leads_through_the_same_states(machine: Machine) -> None:
    folder = run_once(machine, "valley")
    whole = StudyReader.open(folder / ".consilience")
    positions = range(0, len(whole.events), 17)
    for position in positions:
        part = StudyReader.open(folder / ".consilience", to=position)
        assert [event.id for event in part.events] == [event.id for event in whole.events[: position + 1]]
        part.close()
    shown = machine.run("replay", "-p", str(folder), "--to", "20", "--json")
    assert json.loads(shown.stdout)["data"]["summary"]["events"] == 21
    again = StudyReader.open(folder / ".consilience")
    assert summary(again) == summary(whole)
    whole.close()
    again.close()
