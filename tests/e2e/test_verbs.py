"""Every verb as a user would type it, with and without --json."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import Machine, Shell

from consilience.interfaces.cli.main import COMMANDS
from consilience.problems.results_tsv import read_results

PUBLIC_LOG = Path(__file__).resolve().parents[2].parent / "shared/data/autoresearch_mar8_results.tsv"
SMALL_LOG = (
    "commit\tval_bpb\tmemory_gb\tstatus\tdescription\n"
    "aaaaaaa\t1.000000\t4.0\tkeep\tbaseline\n"
    "bbbbbbb\t0.000000\t0.0\tcrash\ttoo large\n"
    "ccccccc\t0.900000\t4.2\tkeep\twider\n"
)


@pytest.fixture
def studied(shell: Shell) -> Shell:
    """A shell beside a program that has been improved a little."""
    shell.machine.problem(with_program=True)
    code, out, err = shell("run", "valley", "--trials", "40")
    assert code == 0, err
    assert "baseline" in out
    assert "consilience verify" in out
    return shell


def test_init_run_and_resume(shell: Shell) -> None:
    assert shell.data("init", "mine")["files"]
    assert shell("init", "mine")[0] == 2
    code, out, err = shell("run", "mine", "--trials", "12", "--json")
    assert code == 0, err
    lines = [json.loads(line) for line in out.splitlines()]
    assert [lines[0]["type"], lines[-1]["type"]] == ["launch", "done"]
    assert lines[0]["isolation"]["level"] == "strong"
    assert sum(line["type"] == "trial" for line in lines) == 12
    assert lines[-1]["summary"]["state"] == "budget"
    code, out, _ = shell("run", "mine", "--trials", "16", "--json")
    assert sum(json.loads(line)["type"] == "trial" for line in out.splitlines()) == 4
    assert "the budget of trials is used up" in shell("run", "mine", "--trials", "16")[1]


@pytest.mark.parametrize("name", ["circle-packing", "digits"])
def test_built_in_problems_start(shell: Shell, name: str) -> None:
    assert shell("init", "b", "--from", name)[0] == 0
    code, out, err = shell("run", "b", "--trials", "7", "-q")
    assert code == 0, err
    assert "trials    7: " in out


def test_looking_at_a_study(studied: Shell) -> None:
    rankings = studied.data("board", "-p", "valley")["rankings"]
    rows = next(iter(rankings.values()))
    assert [row["place"] for row in rows] == list(range(1, len(rows) + 1))
    best = min(row["mean"] for row in rows if row["mean"] is not None)
    assert rows[0]["mean"] == best
    assert all(row["events"] for row in rows)
    report = studied.data("show", str(rows[0]["trial"]), "-p", "valley")
    assert report["trial"]["candidate"] == rows[0]["candidate"]
    assert report["line"][0] == 0
    assert studied.data("show", rows[0]["candidate"][:12], "-p", "valley")["trial"]["number"] == rows[0]["trial"]
    assert "isolation" in studied("show", "0", "-p", "valley")[1]
    events = studied.data("log", "-p", "valley", "--kind", "trial.")
    assert {event["kind"] for event in events} == {"trial.started", "trial.finished"}
    assert len(studied("log", "-p", "valley", "--tail", "3")[1].splitlines()) == 3
    difference = studied.data("diff", str(rows[0]["trial"]), "--baseline", "-p", "valley")["diff"]
    assert difference.startswith("--- a/program.py")
    assert "+++ b/program.py" in studied("diff", str(rows[0]["trial"]), "-p", "valley")[1]
    assert "state after" in studied("replay", "-p", "valley")[1]
    assert studied.data("verify", "-p", "valley")["fault"] is None
    assert "place" in studied("board")[1], "the only study below is found"


def start_repository(folder: Path) -> None:
    """Commit everything in a folder to a new repository."""
    for command in (
        ["init", "-q", "-b", "main"],
        ["config", "user.name", "a"],
        ["config", "user.email", "a@b"],
        ["add", "."],
        ["commit", "-qm", "start"],
    ):
        subprocess.run(["git", *command], cwd=folder, check=True)


def test_taking_the_winner_home(studied: Shell) -> None:
    folder = studied.machine.home / "valley"
    applied = studied.data("apply", "-p", "valley")
    assert applied["target"] == "working tree"
    assert "EVOLVE-BLOCK-START" in (folder / "program.py").read_text()
    start_repository(folder)
    tracked = subprocess.run(["git", "ls-files"], cwd=folder, capture_output=True, text=True, check=True).stdout
    assert ".consilience" not in tracked
    (folder / "program.py").write_text("mine = 1\n")
    code, out, err = studied("apply", "0", "-p", "valley", "--branch", "winner")
    assert code == 0, err
    assert "branch winner" in out
    assert (folder / "program.py").read_text() == "mine = 1\n"
    shown = subprocess.run(
        ["git", "show", "winner:program.py"], cwd=folder, capture_output=True, text=True, check=True
    ).stdout
    assert "START = 4.0" in shown
    assert studied("apply", "0", "-p", "valley", "--branch", "winner")[0] == 1


def test_parameters_go_home_as_defaults(shell: Shell) -> None:
    folder = shell.machine.problem()
    assert shell("run", "valley", "--trials", "40", "-q")[0] == 0
    assert shell("apply", "-p", "valley")[0] == 0
    text = (folder / "problem.toml").read_text()
    assert "default = 3.0" not in text
    assert text.count("default = ") == 2
    assert "best" in shell("run", "valley", "--trials", "41")[1], "it is still the same problem"
    assert len(shell.data("board", "-p", "valley")["rankings"]) == 1


def test_exports(studied: Shell) -> None:
    home = studied.machine.home
    for name in ("t.csv", "t.jsonl", "t.parquet", "results.tsv"):
        assert studied.data("export", name, "-p", "valley")["rows"] > 0
    with (home / "t.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 40
    assert {"trial", "score", "reason", "isolation", "event"} <= set(rows[0])
    assert pq.read_table(home / "t.parquet").num_rows == 40
    assert len((home / "t.jsonl").read_text().splitlines()) == 40
    table = read_results(home / "results.tsv")
    assert table[0].status == "keep"


def test_foreign_logs_are_shown_and_never_ranked_with_own_trials(studied: Shell) -> None:
    (studied.machine.home / "log.tsv").write_text(SMALL_LOG)
    before = studied.data("board", "-p", "valley")["rankings"]
    imported = studied.data("import", "log.tsv", "-p", "valley")
    assert imported["statuses"] == {"keep": 2, "discard": 0, "crash": 1}
    assert studied.data("import", "log.tsv", "-p", "valley")["known"] is True
    report = studied.data("board", "-p", "valley")
    assert report["rankings"] == before
    assert [record["value"] for record in report["records"]] == [1.0, None, 0.9]
    assert "foreign records (not verified here): 3 rows" in studied("board", "-p", "valley")[1]


@pytest.mark.skipif(not PUBLIC_LOG.exists(), reason="the public log is not beside this checkout")
def test_the_public_autoresearch_log(shell: Shell) -> None:
    (shell.machine.home / "empty").mkdir()
    imported = shell.data("import", str(PUBLIC_LOG), "-p", "empty")
    assert imported == {
        "rows": 126,
        "statuses": {"keep": 23, "discard": 102, "crash": 1},
        "metric": "val_bpb",
        "known": False,
    }
    code, out, _ = shell("board", "-p", "empty")
    assert code == 0
    assert "126 rows, keep 23, discard 102, crash 1" in out
    assert "0.969686" in out
    assert len(shell.data("log", "-p", "empty", "--kind", "record.")) == 126
    assert shell("verify", "-p", "empty")[0] == 0


def test_an_autoresearch_folder_imports_its_results(shell: Shell) -> None:
    folder = shell.machine.home / "repo"
    folder.mkdir()
    (folder / "program.md").write_text("instructions\n")
    (folder / "train.py").write_text("RATE = 0.3\nprint('---')\nprint(f'val_bpb: {1 + (RATE - 0.5) ** 2:.6f}')\n")
    (folder / "results.tsv").write_text(SMALL_LOG)
    code, out, err = shell("run", "repo", "--trials", "12")
    assert code == 0, err
    assert "imported 3 rows" in err
    assert "minimize val_bpb" in out
    assert len(shell.data("board", "-p", "repo")["records"]) == 3
    code, _, err = shell("run", "repo", "--trials", "13")
    assert "imported" not in err


def test_care_of_the_journal(studied: Shell) -> None:
    home = studied.machine.home
    assert studied.data("backup", "copy.db", "-p", "valley")["bytes"] > 0
    assert studied.data("gc", "--dry-run", "-p", "valley") == {"blobs": 0, "bytes": 0, "folders": 0}
    assert studied.data("gc", "-p", "valley")["blobs"] == 0
    assert studied.data("cancel", "-p", "valley") == {"stopped": 0, "cancelled": 0}
    (home / "restored/.consilience").mkdir(parents=True)
    (home / "copy.db").rename(home / "restored/.consilience/journal.db")
    assert studied.data("verify", "-p", "restored")["events"] == studied.data("verify", "-p", "valley")["events"]


def test_cancel_stops_a_live_run(machine: Machine) -> None:
    slow = "import time\ndef evaluate(candidate, seed):\n    time.sleep(4)\n    return 1.0\n"
    folder = machine.problem(evaluator=slow)
    process = machine.start("run", str(folder), "--json")
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.5)
    done = machine.run("cancel", "-p", str(folder), "--json")
    assert json.loads(done.stdout)["data"]["stopped"] == process.pid
    process.communicate(timeout=30)
    assert process.returncode == 130
    log = json.loads(machine.run("log", "-p", str(folder), "--json").stdout)["data"]
    assert [event["kind"] for event in log][-3:] == ["trial.cancelled", "run.ended", "epoch.closed"]


def test_ctrl_c_drains(machine: Machine) -> None:
    folder = machine.problem(with_program=True)
    process = machine.start("run", str(folder), "--trials", "5000", "--json")
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.5)
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "stopping after the running trial" in err
    assert json.loads(out.splitlines()[-1])["exit_code"] == 130
    log = json.loads(machine.run("log", "-p", str(folder), "--json").stdout)["data"]
    assert "trial.cancelled" not in {event["kind"] for event in log}


def test_doctor_and_config(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shell.machine.problem()
    findings = {finding["name"]: finding for finding in shell.data("doctor", "valley")}
    assert findings["isolation"]["health"] == "ok"
    assert findings["baseline"]["found"].startswith("depth = 28.5")
    assert "level strong" in shell("doctor")[1]
    (folder / "evaluator.py").write_text("def evaluate(candidate, seed):\n    return {'depth': 1 / 0}\n")
    code, out, _ = shell("doctor", "valley")
    assert code == 4
    assert "FAILED" in out
    monkeypatch.setenv("CONSILIENCE_SEED", "5")
    origins = {item["name"]: item["origin"] for item in shell.data("config", "valley", "--show-origin")}
    assert origins["seed"] == "CONSILIENCE_SEED"
    assert origins["trials"] == "problem"
    assert origins["durability"] == "default"
    assert "origin" in shell("config", "--show-origin")[1]


# Every verb, in an order in which each works twice: NAME becomes another name for the second time.
VERBS = (
    ("init", "folder-NAME"),
    ("run", "valley", "--trials", "12"),
    ("board", "-p", "valley"),
    ("show", "5", "-p", "valley"),
    ("log", "-p", "valley"),
    ("diff", "6", "-p", "valley"),
    ("apply", "6", "-p", "valley"),
    ("apply", "6", "-p", "valley", "--branch", "branch-NAME"),
    ("export", "trials-NAME.csv", "-p", "valley"),
    ("export", "trials-NAME.jsonl", "-p", "valley"),
    ("export", "trials-NAME.parquet", "-p", "valley"),
    ("export", "results-NAME.tsv", "-p", "valley"),
    ("replay", "-p", "valley"),
    ("replay", "--to", "9", "-p", "valley"),
    ("verify", "-p", "valley"),
    ("checkpoint", "-p", "valley", "--since", "0", "--out", "request"),
    ("witness", "request", "--key", "LOG_KEY"),
    ("prove", "EVENT", "-p", "valley", "--out", "proof.json"),
    ("verify-proof", "proof.json"),
    ("import", "log.tsv", "-p", "valley"),
    ("trial", "run", "6", "-p", "valley", "--seeds", "1"),
    ("rerun", "6", "-p", "valley"),
    ("why", "best", "-p", "valley"),
    ("excise", "6", "-p", "valley", "--reason", "a test", "--dry-run"),
    ("cancel", "-p", "valley"),
    ("backup", "copy-NAME.db", "-p", "valley"),
    ("gc", "-p", "valley"),
    ("retain", "-p", "valley", "--older-than", "180d"),
    ("export", "pack-NAME/", "-p", "valley"),
    ("compact", "-p", "valley"),
    ("anew", "-p", "folder-NAME"),
    ("doctor", "valley"),
    ("config", "valley", "--show-origin"),
    ("attack", "--only", "4"),
    ("soul", "-p", "valley"),
    ("id", "show"),
)


def named(shell: Shell, word: str) -> str:
    """Return what a word of a line stands for, once the study is there."""
    if word == "LOG_KEY":
        return str(shell.data("checkpoint", "-p", "valley")["key"])
    if word == "EVENT":
        return str(shell.data("log", "-p", "valley")[0]["id"])
    return word


def test_every_verb_speaks_text_and_json(shell: Shell) -> None:
    assert {verb for verb, *_ in VERBS} == set(COMMANDS)
    folder = shell.machine.problem(with_program=True)
    (shell.machine.home / "log.tsv").write_text(SMALL_LOG)
    start_repository(folder)
    for line in VERBS:
        words = tuple(named(shell, word) for word in line)
        code, out, err = shell(*(word.replace("NAME", "text") for word in words))
        assert code == 0, (words, err)
        assert out.strip(), words
        assert not out.lstrip().startswith("{") or words[0] == "prove", words  # a proof is JSON
        code, out, err = shell(*(word.replace("NAME", "json") for word in words), "--json")
        assert code == 0, (words, err)
        lines = [json.loads(line) for line in out.splitlines()]
        assert lines[-1]["v"] == 1, words
        assert len(lines) == 1 or words[0] == "run", words
        assert shell("verify", "-p", "valley")[0] == 0 or words[0] == "init", words


def test_a_second_run_is_refused_while_one_writes_and_readers_are_not(machine: Machine) -> None:
    folder = machine.problem(with_program=True)
    process = machine.start("run", str(folder), "--trials", "5000", "--json")
    assert process.stdout is not None
    for _ in range(3):
        process.stdout.readline()
    second = machine.run("run", str(folder), "--trials", "5000", "-q")
    assert second.returncode == 4
    assert f"another run (process {process.pid}) is writing" in second.stderr
    for verb in (("board",), ("log", "--tail", "3"), ("verify",), ("backup", "copy.db"), ("replay", "--to", "5")):
        done = machine.run(*verb, "-p", str(folder))
        assert done.returncode == 0, done.stderr
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130


@pytest.mark.parametrize("words", [("config", "valley"), ("config", "valley", "--json"), ("run", "valley", "--json")])
def test_a_full_stdout_is_told(words: tuple[str, ...], machine: Machine) -> None:
    machine.problem()
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "consilience", *words],
            env=machine.environment,
            cwd=machine.home,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 1
    assert [line for line in done.stderr.splitlines() if line.startswith("error: ")] == [
        "error: No space left on device"
    ]
    assert "Traceback" not in done.stderr
    assert machine.run("run", "valley", "--trials", "8", "-q").returncode == 0


def test_a_reader_may_close_the_pipe(machine: Machine) -> None:
    machine.problem()
    process = machine.start("run", "valley", "--trials", "200", "--json")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (1, "")
    assert machine.run("verify", "-p", "valley").returncode == 0
    assert machine.run("run", "valley", "--trials", "8", "-q").returncode == 0


def test_help_and_version(shell: Shell) -> None:
    assert "board" in shell("--help")[1]
    assert "consilience" in shell("--version")[1]
    assert shell("frobnicate")[0] == 2
