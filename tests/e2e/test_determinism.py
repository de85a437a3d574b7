"""Same problem, seed and budget: same candidates and same board, byte for byte but for clock, durations and ids."""

import json
import random
import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conftest import EVALUATOR, PROBLEM, Machine, Shell
from study_dumps import MEASURED, folded, stop_after, story, views

from consilience.core.events import Event
from consilience.interfaces.cli import options
from consilience.journal.reader import JournalReader
from consilience.node.reading import StudyReader
from consilience.node.reports import board, summary
from consilience.node.running import Run

TRIALS = 60
# A disturbed study has more events and cancelled trials, so places and trial numbers shift; nothing else may.
SHIFTED = {"events", "behind", "trial"}
NOISY = EVALUATOR.replace(
    "return {", "import random\n    noise = random.Random(seed).gauss(0, 0.3)\n    return {"
).replace("2}", "2 + noise}")
KINDS: dict[str, dict[str, Any]] = {
    "program": {"with_program": True},
    "parameters": {},
    "noise": {"evaluator": NOISY},
    "numbers and choices": {
        "problem": PROBLEM.replace(
            "[parameters.y]\n",
            '[parameters.kind]\ntype = "categorical"\nchoices = ["a", "b"]\ndefault = "a"\n\n[parameters.y]\n',
        ),
    },
}


def shown(folder: Path) -> bytes:
    """Return candidates in order with all that is known of them, verdicts and board; what is `SHIFTED` left out."""
    reader = StudyReader.open(folder / ".consilience")
    members = list(reader.search.members.values())
    numbers = {member.event: member.number for member in members}
    candidates = [
        [numbers[parent] for parent in member.body.parents]
        + [
            msgspec.structs.replace(member.body, parents=()),
            list(member.scores.items()),
            member.failure,
            member.verdict,
        ]
        for member in members
    ]
    verdicts = [
        (numbers[row.body.candidate], numbers[row.body.incumbent], row.body.verdict, row.body.reasons, row.body.figures)
        for row in reader.trials.verdicts.values()
    ]
    data = {"candidates": candidates, "verdicts": verdicts, "board": strip(msgspec.to_builtins(board(reader)))}
    reader.close()
    return msgspec.json.encode(data, order="sorted")


def strip(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: strip(item) for name, item in value.items() if name not in SHIFTED | MEASURED}
    return [strip(item) for item in value] if isinstance(value, list) else value


def run_once(machine: Machine, kind: str, *flags: str) -> Path:
    folder = machine.problem("valley", **KINDS[kind])
    done = machine.run("run", str(folder), "--trials", str(TRIALS), "-q", *flags)
    assert done.returncode == 0, done.stderr
    return folder


def other_machine(machine: Machine) -> Machine:
    home = machine.home.parent / "elsewhere"
    home.mkdir()
    return Machine(home)


@pytest.mark.parametrize("kind", KINDS)
def test_two_machines_tell_the_same_story(kind: str, machine: Machine) -> None:
    second_machine = other_machine(machine)
    first, second = run_once(machine, kind), run_once(second_machine, kind)
    told = story(first / ".consilience")
    assert msgspec.json.encode(told) == msgspec.json.encode(story(second / ".consilience"))
    assert shown(first) == shown(second)
    keys = [(m.home / "data/consilience/key.json").read_text() for m in (machine, second_machine)]
    assert keys[0] != keys[1]
    assert sum(name == "trial.finished" for name, _ in told) == TRIALS
    assert [body["deterministic"] for name, body in told if name == "noise.measured"] == [kind != "noise"]


def test_another_seed_is_another_story(machine: Machine) -> None:
    first = run_once(machine, "parameters", "--seed", "1")
    second = run_once(other_machine(machine), "parameters", "--seed", "2")
    assert shown(first) != shown(second)


@pytest.mark.parametrize("kind", ["program", "noise"])
def test_an_interrupted_run_ends_as_an_undisturbed_one(kind: str, machine: Machine) -> None:
    calm = run_once(machine, kind)
    disturbed = other_machine(machine)
    folder = disturbed.problem("valley", **KINDS[kind])
    chance = random.Random(9)
    for number in (signal.SIGINT, signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
        process = disturbed.start("run", str(folder), "--trials", str(TRIALS), "--json")
        stop_after(process, 1 + chance.randrange(12), number)
        assert process.returncode == (-number if number == signal.SIGKILL else 130)
    ended = disturbed.run("run", str(folder), "--trials", str(TRIALS), "-q")
    assert ended.returncode == 0, ended.stderr
    assert shown(folder) == shown(calm)


def durable(state: Path) -> int:
    """Return how many events another process would see."""
    journal = JournalReader.open(state)
    try:
        return journal.store.count()
    finally:
        journal.close()


def test_replay_leads_through_the_states_that_were_lived(shell: Shell) -> None:
    """After every acknowledged event the views of the live session equal a fold from event 0 up to it."""
    folder = shell.machine.problem(with_program=True)
    loaded = options.load(str(folder), options.Layout())
    settings = options.resolve_settings(loaded, {"trials": str(TRIALS)})
    lived: dict[int, bytes] = {}
    state = folder / ".consilience"
    with Run.open(loaded, settings, options.places()) as work:
        session = work.session

        def remember(event: Event) -> None:
            position = durable(state) - 1
            assert position >= event.fields.seq, "it was shown before it was durable"
            if event.id == session.journal.tip():  # the views hold the whole group by now
                lived[position] = views(session.state, session.run_state, session.trials)

        session.observers.append(remember)
        work.start()
        work.work()
    assert len(lived) > TRIALS
    for position in [*sorted(random.Random(3).sample(sorted(lived), 12)), max(lived)]:
        assert folded(state, to=position) == lived[position], f"after event {position}"


def test_replay_shows_what_the_study_shows(shell: Shell) -> None:
    folder = shell.machine.problem(with_program=True)
    code, out, err = shell("run", "valley", "--trials", "20", "--json")
    assert code == 0, err
    whole = StudyReader.open(folder / ".consilience")
    count = len(whole.events)
    about = sum(event.fields.hive != whole.hive for event in whole.events)  # the identity's own, which come first
    whole.close()
    for position in (about, about + 1, 7, count // 2, count - 1):
        data = shell.data("replay", "-p", "valley", "--to", str(position))
        assert data["summary"]["events"] == position + 1
        part = StudyReader.open(folder / ".consilience", to=position)
        assert data["summary"] == msgspec.json.decode(msgspec.json.encode(summary(part)))
        assert data["board"] == json.loads(msgspec.json.encode(board(part)))
        part.close()
    assert shell.data("replay", "-p", "valley")["summary"] == json.loads(out.splitlines()[-1])["summary"]
    assert shell.data("replay", "-p", "valley")["board"] == shell.data("board", "-p", "valley")
