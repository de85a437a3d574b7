"""`trial run` and `rerun`: what they run, print, journal and refuse."""

import csv
import json
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import EVALUATOR, PROBLEM, PROGRAM, Machine, Shell

import consilience
from consilience.core.errors import EXIT_ENVIRONMENT, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, EXIT_VERIFICATION
from consilience.node.reading import StudyReader
from consilience.trials.sandbox.probe import LevelReport, Probe

NOISY = """
import random
def evaluate(candidate, seed):
    x, y = candidate.parameters["x"], candidate.parameters["y"]
    return {"depth": (x - 1.0) ** 2 + 2.0 * (y + 0.5) ** 2 + random.Random(seed).gauss(0.0, 0.1), "size": 2.0}
"""
BETTER = PROGRAM.replace("START = 4.0", "START = 1.0")
RAISES = PROGRAM.replace("x = START", "raise ValueError('no \\x1b[31mluck')")


def shifted(file: Path) -> str:
    """Return an evaluator whose scores depend on a file outside: as if the machine had changed since."""
    return f"""
import random
from pathlib import Path
def evaluate(candidate, seed):
    shift = float(Path({str(file)!r}).read_text())
    x, y = candidate.parameters["x"], candidate.parameters["y"]
    return {{"depth": (x - 1.0) ** 2 + 2.0 * (y + 0.5) ** 2 + shift + random.Random(seed).gauss(0.0, 0.1)}}
"""


def test_a_trial_by_hand_needs_no_study_and_leaves_nothing(machine: Machine, shell: Shell) -> None:
    folder = machine.problem()
    code, out, err = shell("trial", "run", "baseline", "-p", "valley", "--seeds", "2")
    assert code == 0
    assert out.count("28.5") >= 2
    assert re.search(r"(strong/split/(fresh|fork)\b|restricted/split/(fresh|fork)\*)", out), out
    assert "nothing was journalled" in out
    assert err.count("seed ") == 2
    assert not (folder / ".consilience").exists()


def test_the_json_of_a_trial_by_hand_has_everything(machine: Machine, shell: Shell) -> None:
    machine.problem(evaluator=NOISY)
    data = shell.data("trial", "run", "baseline", "-p", "valley", "--seed", "7", "--seed", "8", "--seed", "7")
    assert [trial["seed"] for trial in data["trials"]] == [7, 8]
    outcome = data["trials"][0]["outcome"]
    assert outcome["isolation"]["domain"] == "split"
    assert outcome["metrics"]["size"] == 2.0
    assert data["spread"] > 0
    assert data["journalled"] is False
    assert data["comparison"] is None


def test_the_default_seeds_are_those_of_the_baseline_and_the_gain_is_paired(machine: Machine, shell: Shell) -> None:
    machine.problem(evaluator=NOISY)
    assert shell("run", "valley", "--trials", "20", "--seed", "3", "-q")[0] == 0
    data = shell.data("trial", "run", "baseline", "-p", "valley")
    with StudyReader.open(machine.home / "valley/.consilience") as reader:
        measured = [row.seed for row in reader.trials.rows.values() if row.purpose == "baseline"]
        best = reader.incumbent()
        events = len(reader.events)
    assert [trial["seed"] for trial in data["trials"]] == measured
    assert data["comparison"]["gain"] == 0.0
    assert data["comparison"]["pairs"] == 5
    assert data["comparison"]["clearance"] == "no gain"
    assert best.number > 0
    for name in (str(best.number), best.candidate[:12]):
        found = shell.data("trial", "run", name, "-p", "valley")
        assert found["candidate"] == best.candidate
        assert found["comparison"]["clearance"] == "clears the noise floor"
    code, out, _ = shell("trial", "run", str(best.number), "-p", "valley", "--seed", "5")
    assert (code, "without a common seed" in out) == (0, True)
    with StudyReader.open(machine.home / "valley/.consilience") as reader:
        assert len(reader.events) == events


@pytest.mark.parametrize("as_folder", [False, True])
def test_a_file_or_a_folder_stands_in_for_the_artifact(machine: Machine, shell: Shell, as_folder: bool) -> None:
    machine.problem(with_program=True)
    mine = machine.home / "mine"
    mine.mkdir()
    (mine / "program.py").write_text(BETTER)
    name = "mine" if as_folder else "mine/program.py"
    data = shell.data("trial", "run", name, "-p", "valley", "--seeds", "1")
    assert data["mean"] == pytest.approx(0.59049)
    assert data["source"] == name


def test_a_candidate_without_a_score_is_told_with_its_reason(machine: Machine, shell: Shell) -> None:
    machine.problem(with_program=True)
    (machine.home / "bad.py").write_text(RAISES)
    code, out, err = shell("trial", "run", "bad.py", "-p", "valley", "--seeds", "1")
    assert code == EXIT_FAILED
    assert "crash: ValueError: no \\x1b[31mluck" in out
    assert "\x1b" not in out + err
    code, out, _ = shell("trial", "run", "bad.py", "-p", "valley", "--seeds", "1", "--json")
    assert code == EXIT_FAILED
    assert json.loads(out)["data"]["trials"][0]["outcome"]["failure"]["reason"] == "crash"


def prepared(machine: Machine) -> None:
    machine.problem(with_program=True)
    (machine.home / "outside.py").write_text(PROGRAM.replace("# EVOLVE-BLOCK-START", "import os\n# EVOLVE-BLOCK-START"))
    (machine.home / "unmarked.py").write_text("def descend(rounds):\n    return 0.0\n")
    (machine.home / "bytes.py").write_bytes(b"\xff\xfe")
    (machine.home / "empty").mkdir()


WRONG: dict[str, tuple[tuple[str, ...], int, str]] = {
    "no such file": (("nowhere.py",), EXIT_USAGE, "no file"),
    "a trial before any": (("3",), EXIT_USAGE, "no trials yet"),
    "fixed text changed": (("outside.py",), EXIT_USAGE, "outside its EVOLVE-BLOCK markers"),
    "markers lost": (("unmarked.py",), EXIT_USAGE, "outside its EVOLVE-BLOCK markers"),
    "no text": (("bytes.py",), EXIT_USAGE, "UTF-8"),
    "folder without the file": (("empty",), EXIT_USAGE, "lacks program.py"),
    "no such level": (("baseline", "--isolation", "solid"), EXIT_USAGE, "solid"),
    "no seeds": (("baseline", "--seeds", "0"), EXIT_USAGE, "--seeds"),
    "seeds twice": (("baseline", "--seeds", "2", "--seed", "3"), EXIT_USAGE, "exclude each other"),
    "none without its flag": (("baseline", "--isolation", "none"), EXIT_USAGE, "--unsafe-no-sandbox"),
    "contradiction": (("baseline", "--isolation", "strong", "--unsafe-no-sandbox"), EXIT_USAGE, "exclude each other"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_tried_is_refused(machine: Machine, shell: Shell, case: str) -> None:
    arguments, code, words = WRONG[case]
    prepared(machine)
    found, out, err = shell("trial", "run", *arguments, "-p", "valley")
    assert found == code
    assert words in err
    assert out == ""
    found, out, _ = shell("trial", "run", *arguments, "-p", "valley", "--json")
    assert (found, json.loads(out)["error"]["message"] != "") == (code, True)


def test_a_file_for_a_problem_of_parameters_is_refused(machine: Machine, shell: Shell) -> None:
    machine.problem()
    (machine.home / "x.py").write_text("")
    code, _, err = shell("trial", "run", "x.py", "-p", "valley")
    assert (code, "only parameters" in err) == (EXIT_USAGE, True)


def test_an_unknown_trial_of_a_study_is_told(machine: Machine, shell: Shell) -> None:
    machine.problem()
    assert shell("run", "valley", "--trials", "6", "-q")[0] == 0
    for verb in (("trial", "run"), ("rerun",)):
        code, _, err = shell(*verb, "999", "-p", "valley")
        assert (code, "999" in err) == (EXIT_USAGE, True)


def test_a_level_that_does_not_hold_here_is_refused_with_a_mend(
    machine: Machine, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.problem()
    failed = LevelReport(level="strong", reason="canaries did not hold: tcp", mend="mend the namespaces.")
    probe = Probe(level="none", interpreter="", reports=(failed,))
    monkeypatch.setattr("consilience.trials.sandbox.exact.probe_sandboxes", lambda *_, **__: probe)
    code, _, err = shell("trial", "run", "baseline", "-p", "valley", "--isolation", "strong")
    assert code == EXIT_ENVIRONMENT
    assert "canaries did not hold: tcp" in err
    assert "mend the namespaces" in err


def test_the_level_asked_for_is_the_one_that_is_used(machine: Machine, shell: Shell) -> None:
    machine.problem(with_program=True)
    data = shell.data("trial", "run", "baseline", "-p", "valley", "--seeds", "1", "--isolation", "strong")
    assert data["trials"][0]["outcome"]["isolation"]["level"] == "strong"
    code, out, _ = shell("trial", "run", "baseline", "-p", "valley", "--seeds", "1", "--unsafe-no-sandbox")
    assert code == 0
    assert "none/split/fresh*" in out
    assert "* none: candidate code ran without a sandbox" in out


def test_a_weaker_level_can_be_chosen_on_purpose(machine: Machine, shell: Shell) -> None:
    machine.problem()
    arguments = ("-p", "valley", "--seeds", "1", "--isolation", "restricted", "--interpreter", "/usr/bin/python3")
    code, out, err = shell("trial", "run", "baseline", *arguments)
    if code == EXIT_ENVIRONMENT:
        pytest.skip(err)
    assert code == 0
    assert "restricted/split/fresh*" in out
    assert "* restricted: " in out


def test_forking_is_refused_where_the_executor_cannot(machine: Machine, shell: Shell) -> None:
    folder = machine.home / "log"
    folder.mkdir()
    (folder / "train.py").write_text("print('loss: 1.0')\n")
    layout = ("--command", "{python} train.py", "--metric", "loss", "--metric-pattern", r"^loss:\s*(\S+)")
    arguments = ("trial", "run", "baseline", "-p", "log", "--seeds", "1", *layout, "--direction", "minimize")
    code, _, err = shell(*arguments, "--execution", "fork")
    assert (code, "can be forked" in err) == (EXIT_ENVIRONMENT, True)
    code, out, err = shell(*arguments, "--execution", "fresh")
    assert (code, "/command/fresh*" in out) == (0, True), err


def test_a_rerun_bears_the_record_out_and_moves_nothing(machine: Machine, shell: Shell) -> None:
    machine.problem(evaluator=NOISY)
    assert shell("run", "valley", "--trials", "20", "-q")[0] == 0
    before, summary = shell.data("board", "-p", "valley"), shell.data("replay", "-p", "valley")["summary"]
    data = shell.data("rerun", "7", "-p", "valley")
    (repeat,) = data["repeats"]
    assert data["same"]
    assert (repeat["trial"], repeat["number"]) == (7, 20)
    assert [one["agreement"] for one in repeat["metrics"]] == ["equal", "equal"]
    assert repeat["environment"] == []
    assert shell.data("board", "-p", "valley") == before
    after = shell.data("replay", "-p", "valley")["summary"]
    assert after["trials"] == summary["trials"] + 1
    for field in ("best", "best_trial", "best_runs", "baseline", "noise_floor", "verdicts", "phase"):
        assert after[field] == summary[field]
    code, out, _ = shell("show", "7", "-p", "valley")
    assert code == 0
    assert "re-runs" in out
    assert shell("verify", "-p", "valley")[0] == 0
    assert shell("gc", "-p", "valley")[0] == 0
    assert shell("verify", "-p", "valley")[0] == 0


def test_a_study_with_reruns_goes_on_as_one_without(machine: Machine, shell: Shell) -> None:
    found = []
    for name, reruns in (("plain", 0), ("rerun", 3)):
        machine.problem(name, evaluator=NOISY)
        assert shell("run", name, "--trials", "15", "-q")[0] == 0
        for number in range(reruns):
            assert shell("rerun", str(number * 5), "-p", name)[0] == 0
        assert shell("run", name, "--trials", str(30 + reruns), "-q")[0] == 0
        with StudyReader.open(machine.home / name / ".consilience") as reader:
            rows = [row for row in reader.trials.rows.values() if row.purpose != "rerun"]
            found.append([(row.candidate, row.seed, row.purpose, row.metrics) for row in rows])
    assert found[0] == found[1]


def test_a_candidates_id_means_all_of_its_trials(machine: Machine, shell: Shell) -> None:
    machine.problem(evaluator=NOISY)
    assert shell("run", "valley", "--trials", "8", "-q")[0] == 0
    with StudyReader.open(machine.home / "valley/.consilience") as reader:
        baseline = reader.trial("0")
    data = shell.data("rerun", baseline.candidate[:16], "-p", "valley")
    assert [repeat["trial"] for repeat in data["repeats"]] == [0, 1, 2, 3, 4]
    assert len({repeat["seed"] for repeat in data["repeats"]}) == 5
    assert [repeat["trial"] for repeat in shell.data("rerun", "2", "-p", "valley")["repeats"]] == [2]


@pytest.mark.parametrize(("shift", "code"), [("0.05", 0), ("7.0", EXIT_VERIFICATION)])
def test_a_rerun_is_judged_by_the_noise_floor(machine: Machine, shell: Shell, shift: str, code: int) -> None:
    file = machine.home / "shift"
    file.write_text("0.0")
    machine.problem(evaluator=shifted(file))
    assert shell("run", "valley", "--trials", "8", "-q")[0] == 0
    file.write_text(shift)
    found, out, _ = shell("rerun", "5", "-p", "valley")
    assert found == code
    if code:
        assert "depth differs by 7, and noise explains" in out
        assert "DIFFERS" in shell("show", "5", "-p", "valley")[1]
    else:
        assert "within noise" in out


def test_a_deterministic_problem_must_come_out_equal(machine: Machine, shell: Shell) -> None:
    file = machine.home / "shift"
    file.write_text("0.0")
    machine.problem(evaluator=shifted(file).replace("random.Random(seed).gauss(0.0, 0.1)", "0.0"))
    assert shell("run", "valley", "--trials", "8", "-q")[0] == 0
    assert shell("rerun", "3", "-p", "valley")[0] == 0
    file.write_text("1e-9")
    code, out, _ = shell("rerun", "3", "-p", "valley")
    assert (code, "it has no noise" in out) == (EXIT_VERIFICATION, True)


def test_a_failure_where_a_score_was_differs(machine: Machine, shell: Shell) -> None:
    file = machine.home / "shift"
    file.write_text("0.0")
    machine.problem(evaluator=shifted(file))
    assert shell("run", "valley", "--trials", "8", "-q")[0] == 0
    file.write_text("not a number")
    code, out, _ = shell("rerun", "5", "-p", "valley")
    assert code == EXIT_VERIFICATION
    assert "with a score then, with evaluator_error now" in out


def told(machine: Machine, shell: Shell) -> None:
    asked = consilience.study(machine.home / "valley", trials=3)
    asked.tell(asked.ask(), 1.0)
    asked.close()


def other_evaluator(machine: Machine, shell: Shell) -> None:
    assert shell("run", "valley", "--trials", "6", "-q")[0] == 0
    (machine.home / "valley/evaluator.py").write_text(EVALUATOR + "# another\n")


def released(machine: Machine, shell: Shell) -> None:
    asked = consilience.study(machine.home / "valley", trials=6)
    asked.ask()
    asked.close()


def nothing_run(machine: Machine, shell: Shell) -> None:
    pass


@pytest.mark.parametrize(
    ("prepare", "words"),
    [(told, "told"), (other_evaluator, "evaluator"), (released, "without an outcome"), (nothing_run, "no trials here")],
)
def test_what_cannot_be_rerun_says_why(
    machine: Machine, shell: Shell, prepare: Callable[[Machine, Shell], None], words: str
) -> None:
    machine.problem()
    prepare(machine, shell)
    code, _, err = shell("rerun", "0", "-p", "valley")
    assert code == EXIT_FAILED
    assert words in err
    assert "mend:" in err


def test_a_rerun_is_never_held_more_weakly(machine: Machine, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.problem()
    assert shell("run", "valley", "--trials", "6", "-q")[0] == 0
    code, _, err = shell("rerun", "2", "-p", "valley", "--unsafe-no-sandbox")
    assert (code, "would show less" in err) == (EXIT_ENVIRONMENT, True)
    weak = Probe(level="none", interpreter="", reports=(LevelReport(level="strong", reason="gone"),))
    monkeypatch.setattr("consilience.node.rerunning.cached_probe", lambda *_, **__: weak)
    monkeypatch.setenv("CONSILIENCE_MINIMUM_ISOLATION", "none")
    code, _, err = shell("rerun", "2", "-p", "valley")
    assert (code, "'none'" in err) == (EXIT_ENVIRONMENT, True)


def test_a_trial_without_a_sandbox_is_rerun_in_one_unless_asked(machine: Machine, shell: Shell) -> None:
    machine.problem()
    assert shell("run", "valley", "--trials", "6", "-q", "--unsafe-no-sandbox")[0] == 0
    assert shell("rerun", "2", "-p", "valley", "--unsafe-no-sandbox")[0] == 0
    assert shell("rerun", "2", "-p", "valley")[0] == 0
    with StudyReader.open(machine.home / "valley/.consilience") as reader:
        reruns = [row for row in reader.trials.rows.values() if row.purpose == "rerun"]
    levels = [row.isolation.level for row in reruns if row.isolation]
    assert levels[0] == "none"
    assert levels[1] in {"strong", "restricted"}


def test_the_python_face_reruns(machine: Machine, shell: Shell) -> None:
    machine.problem()
    study = consilience.study(machine.home / "valley", trials=8)
    study.run()
    report = study.rerun(3)
    assert report.same
    assert report.repeats[0].trial == 3
    assert study.trials[-1]["purpose"] == "rerun"


def test_an_evaluator_that_imports_the_candidate_is_marked_everywhere(machine: Machine, shell: Shell) -> None:
    folder = machine.home / "shared"
    folder.mkdir()
    (folder / "initial_program.py").write_text(PROGRAM)
    (folder / "evaluator.py").write_text(
        "import importlib.util\n"
        "def evaluate(path):\n"
        "    spec = importlib.util.spec_from_file_location('program', path)\n"
        "    program = importlib.util.module_from_spec(spec)\n"
        "    spec.loader.exec_module(program)\n"
        "    return {'combined_score': -abs(program.descend(5))}\n"
    )
    assert shell("run", "shared", "--trials", "7", "-q")[0] == 0
    _, out, _ = shell("board", "-p", "shared")
    assert "/shared-process/fresh*" in out
    assert "* shared-process: the evaluator imports the candidate" in out
    _, out, _ = shell("show", "0", "-p", "shared")
    assert "/shared-process/fresh*" in out
    (ranking,) = shell.data("board", "-p", "shared")["rankings"].values()
    assert {row["isolation"]["domain"] for row in ranking} == {"shared-process"}
    assert shell("export", "out.csv", "-p", "shared")[0] == 0
    rows = list(csv.DictReader((machine.home / "out.csv").read_text().splitlines()))
    assert {(row["domain"], row["execution"]) for row in rows} == {("shared-process", "fresh")}


SLOW = """
import time
from pathlib import Path
def evaluate(candidate, seed):
    if Path({file!r}).exists():
        Path({file!r} + ".reached").touch()
        time.sleep(60)
    return {{"depth": candidate.parameters["x"] ** 2}}
"""


@pytest.mark.parametrize("verb", [("rerun", "3"), ("trial", "run", "3")])
def test_an_interrupt_leaves_a_whole_journal(machine: Machine, shell: Shell, verb: tuple[str, ...]) -> None:
    file = machine.home / "slow"
    folder = machine.problem(
        problem=PROBLEM.replace("wall_seconds = 5", "wall_seconds = 90"), evaluator=SLOW.format(file=str(file))
    )
    assert shell("run", "valley", "--trials", "8", "-q")[0] == 0
    file.touch()
    process = machine.start(*verb, "-p", "valley")
    deadline = time.monotonic() + 60
    while not Path(f"{file}.reached").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == EXIT_INTERRUPTED
    with StudyReader.open(folder / ".consilience") as reader:
        assert not reader.search.in_flight
        statuses = [row.status for row in reader.trials.rows.values() if row.purpose == "rerun"]
    assert statuses == (["interrupted"] if verb[0] == "rerun" else [])
    assert not list((folder / ".consilience").glob("adhoc-*"))
    assert not (folder / ".consilience/work").exists()
    file.unlink()
    assert shell("verify", "-p", "valley")[0] == 0
    assert shell("run", "valley", "--trials", "10", "-q")[0] == 0
