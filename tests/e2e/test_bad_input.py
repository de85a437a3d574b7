"""Bad input: one clear message with its mend, the documented exit code, and a journal that stays valid."""

import json
import sqlite3
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import EVALUATOR, PROBLEM, Machine, Shell

from consilience.core.errors import EXIT_ENVIRONMENT, EXIT_FAILED, EXIT_USAGE, EXIT_VERIFICATION
from consilience.journal.device import WriterLock
from consilience.journal.journal import JOURNAL_NAME, LOCK_NAME
from consilience.trials.sandbox import probe as probing
from consilience.trials.sandbox.tools import Tools

Prepare = Callable[[Machine], list[str]]


def problem(**replaced: str) -> Prepare:
    """Run a problem with some text replaced in problem.toml (``old=new`` pairs joined by ``=>``)."""

    def prepare(machine: Machine) -> list[str]:
        text = PROBLEM
        for pair in replaced.get("toml", "").split("&&"):
            old, _, new = pair.partition("=>")
            text = text.replace(old, new) if old else text
        machine.problem(problem=text, evaluator=replaced.get("evaluator", EVALUATOR))
        return ["run", "valley", "--trials", "6", "-q"]

    return prepare


def program(text: str, evaluator: str = "") -> Prepare:
    def prepare(machine: Machine) -> list[str]:
        replaced = {"program": text, **({"evaluator": evaluator} if evaluator else {})}
        machine.problem(with_program=True, **replaced)
        path = machine.home / "valley/problem.toml"
        path.write_text(path.read_text().replace("wall_seconds = 5", "wall_seconds = 1.5"))
        return ["run", "valley", "--trials", "6", "-q"]

    return prepare


def flags(*arguments: str, **environment: str) -> Prepare:
    def prepare(machine: Machine) -> list[str]:
        machine.problem()
        return ["run", "valley", "-q", *arguments]

    return prepare


def then(*arguments: str, before: Callable[[Machine], None] | None = None) -> Prepare:
    """Run six trials, spoil something, and run another command."""

    def prepare(machine: Machine) -> list[str]:
        machine.problem()
        done = machine.run("run", "valley", "--trials", "6", "-q")
        assert done.returncode == 0, done.stderr
        if before:
            before(machine)
        return list(arguments)

    return prepare


def bare(*arguments: str) -> Prepare:
    return lambda machine: list(arguments)


def journal_of(machine: Machine) -> Path:
    return machine.home / "valley/.consilience" / JOURNAL_NAME


def from_a_newer_version(machine: Machine) -> None:
    connection = sqlite3.connect(journal_of(machine))
    connection.execute("PRAGMA user_version=9")
    connection.close()


def overwritten(machine: Machine) -> None:
    journal_of(machine).write_bytes(b"not a database at all " * 500)


def cut_off(machine: Machine) -> None:
    data = journal_of(machine).read_bytes()
    journal_of(machine).write_bytes(data[: len(data) // 2])
    for extra in journal_of(machine).parent.glob("journal.db-*"):
        extra.unlink()


def one_byte_changed(machine: Machine) -> None:
    connection = sqlite3.connect(journal_of(machine))
    trigger = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'event_no_update'").fetchone()[0]
    connection.execute("DROP TRIGGER event_no_update")
    connection.execute(
        "UPDATE event SET payload = CAST(replace(payload, 'trial.started', 'trial.stopped') AS BLOB) WHERE position = 4"
    )
    connection.execute(trigger)
    connection.commit()
    connection.close()


def open_key(machine: Machine) -> None:
    (machine.home / "data/consilience/key.json").chmod(0o644)


def bad_user_file(machine: Machine) -> None:
    path = machine.home / "config/consilience/config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("trails = 7\n")


def state_is_a_file(machine: Machine) -> list[str]:
    machine.problem()
    (machine.home / "state.txt").write_text("")
    return ["run", "valley", "-q", "--state", str(machine.home / "state.txt")]


CASES: dict[str, tuple[Prepare, int, str]] = {
    "no such folder": (bare("run", "nowhere"), EXIT_USAGE, "nowhere"),
    "folder without a problem": (bare("run", "."), EXIT_USAGE, "expected problem.toml"),
    "missing evaluator": (problem(toml='entry = "evaluator.py"=>entry = "gone.py"'), EXIT_USAGE, "gone.py"),
    "not TOML": (problem(toml='name = "valley"=>name = valley'), EXIT_USAGE, "problem.toml"),
    "wrong type": (problem(toml="trials = 30=>trials = 'many'"), EXIT_USAGE, "budget.trials"),
    "unknown key": (problem(toml="trials = 30=>trails = 30"), EXIT_USAGE, "trails"),
    "misspelt direction": (problem(toml="minimize=>minimise"), EXIT_USAGE, "objective.direction"),
    "zero budget": (problem(toml="trials = 30=>trials = 0"), EXIT_USAGE, "budget.trials"),
    "negative limit": (problem(toml="memory_mb = 512=>memory_mb = -1"), EXIT_USAGE, "limits.memory_mb"),
    "bounds upside down": (problem(toml="high = 5.0=>high = -9.0"), EXIT_USAGE, "parameters.x"),
    "default outside bounds": (problem(toml="default = 3.0=>default = 30.0"), EXIT_USAGE, "parameters.x"),
    "no objective": (problem(toml='metric = "depth"=>'), EXIT_USAGE, "objective"),
    "evaluator without evaluate": (problem(evaluator="x = 1\n"), EXIT_USAGE, "evaluate"),
    "evaluator that does not parse": (problem(evaluator="def evaluate(:\n"), EXIT_USAGE, "evaluator.py"),
    "evaluator that raises": (
        problem(evaluator="def evaluate(c, seed):\n    raise RuntimeError('broken')\n"),
        EXIT_FAILED,
        "evaluator_error",
    ),
    "evaluator that returns garbage": (
        problem(evaluator="def evaluate(c, seed):\n    return object()\n"),
        EXIT_FAILED,
        "baseline failed",
    ),
    "evaluator that returns NaN": (
        problem(evaluator="def evaluate(c, seed):\n    return float('nan')\n"),
        EXIT_FAILED,
        "non_finite",
    ),
    "evaluator without the metric": (
        problem(evaluator="def evaluate(c, seed):\n    return {'other': 1.0}\n"),
        EXIT_FAILED,
        "missing_metric",
    ),
    "evaluator that hangs": (
        problem(evaluator="def evaluate(c, seed):\n    while True: pass\n", toml="wall_seconds = 5=>wall_seconds = 1"),
        EXIT_FAILED,
        "evaluator_timeout",
    ),
    "evaluator that dies": (
        problem(evaluator="import os\ndef evaluate(c, seed):\n    os._exit(3)\n"),
        EXIT_FAILED,
        "baseline failed",
    ),
    "program that does not parse": (program("def descend(:\n"), EXIT_USAGE, "program.py"),
    "program that raises": (program("def descend(n):\n    return 1 / 0\n"), EXIT_FAILED, "crash"),
    "program that hangs": (program("def descend(n):\n    while True: pass\n"), EXIT_FAILED, "baseline failed"),
    "program that answers 1 GB": (
        program("def descend(n):\n    return 'x' * 1_000_000_000\n"),
        EXIT_FAILED,
        "baseline failed",
    ),
    "program that takes all memory": (
        program("def descend(n):\n    return len([bytearray(2**20) for _ in range(100_000)])\n"),
        EXIT_FAILED,
        "memory",
    ),
    "program that answers NaN": (program("def descend(n):\n    return float('nan')\n"), EXIT_FAILED, "non_finite"),
    "program without the function": (program("x = 1.5\n"), EXIT_FAILED, "descend"),
    "budget flag of nothing": (flags("--trials", "0"), EXIT_USAGE, "allows nothing"),
    "budget flag that is no number": (flags("--trials", "many"), EXIT_USAGE, "trials"),
    "time that is no time": (flags("--wall", "5 parsecs"), EXIT_USAGE, "wall_seconds"),
    "unknown flag": (flags("--trails", "5"), EXIT_USAGE, "--trails"),
    "unknown isolation level": (flags("--minimum-isolation", "perfect"), EXIT_USAGE, "minimum_isolation"),
    "state folder that is a file": (state_is_a_file, EXIT_FAILED, "state.txt"),
    "two files that are no problem": (bare("run", "a.py", "b.py"), EXIT_USAGE, "a.py and b.py"),
    "unknown trial": (then("show", "999", "-p", "valley"), EXIT_USAGE, "999"),
    "unknown export suffix": (then("export", "trials.xlsx", "-p", "valley"), EXIT_USAGE, ".csv"),
    "export into nowhere": (then("export", "no/where/t.csv", "-p", "valley"), EXIT_FAILED, "cannot write"),
    "backup over a file": (then("backup", "valley/problem.toml", "-p", "valley"), EXIT_USAGE, "exists already"),
    "board without a journal": (bare("board"), EXIT_USAGE, "no journal"),
    "replay without a journal": (bare("replay", "--to", "3"), EXIT_USAGE, "no journal"),
    "import of a missing file": (then("import", "gone.tsv", "-p", "valley"), EXIT_USAGE, "gone.tsv"),
    "cancel of a trial that is over": (then("cancel", "2", "-p", "valley"), EXIT_USAGE, "not in flight"),
    "journal from a newer version": (
        then("board", "-p", "valley", before=from_a_newer_version),
        EXIT_ENVIRONMENT,
        "format 9",
    ),
    "journal overwritten": (then("run", "valley", before=overwritten), EXIT_VERIFICATION, "journal.db"),
    "key that others can read": (then("run", "valley", before=open_key), EXIT_ENVIRONMENT, "read by others"),
    "user file with an unknown name": (then("run", "valley", before=bad_user_file), EXIT_USAGE, "trails"),
}
# The journal cannot verify after these: they spoil it themselves.
SPOILED = {"journal from a newer version", "journal overwritten", "user file with an unknown name"}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_told_clearly(name: str, shell: Shell) -> None:
    prepare, expected, words = CASES[name]
    arguments = prepare(shell.machine)
    code, out, err = shell(*arguments)
    assert code == expected, f"{out}{err}"
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, err
    assert words in lines[0] + err.partition("  mend: ")[2]
    assert "Traceback" not in err
    assert "  mend: " in err or expected == EXIT_USAGE, err
    again, envelope, _ = shell(*arguments, "--json")
    error = json.loads(envelope.splitlines()[-1])["error"]
    assert again == expected
    assert set(error) == {"kind", "message", "hint"}
    if name not in SPOILED and journal_of(shell.machine).exists():
        assert shell("verify", "-p", "valley")[0] == 0


def test_a_damaged_or_changed_journal_fails_verification_and_names_the_event(shell: Shell) -> None:
    then(before=one_byte_changed)(shell.machine)
    code, out, _ = shell("verify", "-p", "valley")
    assert code == EXIT_VERIFICATION
    assert "event 4 " in out
    code, out, _ = shell("verify", "-p", "valley", "--json")
    assert json.loads(out)["data"]["fault"]["position"] == 4


def test_a_journal_that_was_cut_off_is_not_verified(shell: Shell) -> None:
    then(before=cut_off)(shell.machine)
    code, out, err = shell("verify", "-p", "valley")
    assert code == EXIT_VERIFICATION, out + err


def test_below_the_demanded_isolation_nothing_runs(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.machine.problem()
    nothing = Tools(bubblewrap=(), versions=(), landlock_abi=0)
    monkeypatch.setattr(probing, "find_tools", lambda: nothing)
    code, _, err = shell("run", "valley", "-q")
    assert code == EXIT_ENVIRONMENT
    assert "policy demands 'strong'" in err
    assert "bubblewrap" in err.partition("mend:")[2]
    assert "--unsafe-no-sandbox" in err
    code, _, err = shell("run", "valley", "--trials", "6", "--unsafe-no-sandbox", "-q")
    assert code == 0, err
    report = shell.data("show", "0", "-p", "valley")
    assert report["trial"]["isolation"]["level"] == "none"
    events = shell.data("log", "-p", "valley", "--kind", "study.configured")
    assert events[-1]["body"]["settings"]["policy"]["minimum_isolation"] == "none"


def test_a_second_run_is_told_who_is_first(shell: Shell) -> None:
    then()(shell.machine)
    lock = WriterLock(journal_of(shell.machine).parent / LOCK_NAME)
    code, _, err = shell("run", "valley", "--trials", "9", "-q")
    lock.release()
    assert code == EXIT_ENVIRONMENT
    assert "another run (process" in err
    assert shell("run", "valley", "--trials", "9", "-q")[0] == 0


def test_a_wrong_environment_variable_is_named(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.machine.problem()
    monkeypatch.setenv("CONSILIENCE_BASELINE_SEEDS", "abc")
    code, _, err = shell("run", "valley")
    assert code == EXIT_USAGE
    assert "CONSILIENCE_BASELINE_SEEDS" in err


def test_apply_never_writes_over_unknown_work(shell: Shell) -> None:
    folder = shell.machine.problem(with_program=True)
    assert shell("run", "valley", "--trials", "12", "-q")[0] == 0
    path = folder / "program.py"
    path.write_text(path.read_text() + "\n# my own note\n")
    code, _, err = shell("apply", "-p", "valley")
    assert code == EXIT_FAILED
    assert "program.py has changes that are in no commit" in err
    assert "my own note" in path.read_text()
    for command in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    assert shell("apply", "-p", "valley")[0] == 0
    path.write_text(path.read_text() + "\n# uncommitted\n")
    assert shell("apply", "-p", "valley")[0] == EXIT_FAILED


def test_a_deep_folder_does_not_stop_a_study(shell: Shell) -> None:
    folder = shell.machine.home / "deep"
    folder.mkdir()
    dig = "import os\nfor _ in range(3000):\n    os.mkdir('d')\n    os.chdir('d')\nVALUE = 1.5\n"
    (folder / "initial_program.py").write_text(dig)
    evaluator = "import runpy\ndef evaluate(path):\n    return {'combined_score': runpy.run_path(path)['VALUE']}\n"
    (folder / "evaluator.py").write_text(evaluator)
    for trials in ("6", "8"):
        code, _, err = shell("run", "deep", "--trials", trials, "-q")
        assert code in {0, EXIT_FAILED}, err
        assert "Traceback" not in err
    assert not list((folder / ".consilience").glob("work/*"))


def test_defaults_are_written_so_that_they_read_back(shell: Shell) -> None:
    choice = '[parameters.kind]\ntype = "categorical"\nchoices = ["a", "b\\\\x", "c\\"q"]\ndefault = "a"\n\n[evaluator]'
    text = PROBLEM.replace("[evaluator]", choice)
    score = "def evaluate(c, seed):\n    return {'depth': -len(c.parameters['kind'])}\n"
    folder = shell.machine.problem(problem=text, evaluator=score)
    assert shell("run", "valley", "--trials", "30", "-q")[0] == 0
    assert shell("apply", "-p", "valley")[0] == 0
    found = tomllib.loads((folder / "problem.toml").read_text())["parameters"]
    assert found["kind"]["default"] in {"b\\x", 'c"q'}


def test_apply_keeps_mode_links_and_hidden_changes(shell: Shell) -> None:
    folder = shell.machine.problem(with_program=True)
    assert shell("run", "valley", "--trials", "40", "-q")[0] == 0
    program = folder / "program.py"
    program.rename(folder / "real.py")
    program.symlink_to("real.py")
    (folder / "real.py").chmod(0o755)
    assert shell("apply", "-p", "valley")[0] == 0
    assert program.is_symlink()
    assert (folder / "real.py").stat().st_mode & 0o777 == 0o755
    program.write_text(program.read_text().replace("\n", "\r\n"), newline="")
    assert shell("apply", "0", "-p", "valley")[0] == EXIT_FAILED


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "valley", "--wall", "1e400h"],
        ["run", "valley", "--trials", "9" * 30],
        ["run", "valley", "--seed", "-1"],
        ["board", "-p", "valley", "--top", "-1"],
    ],
)
def test_numbers_beyond_reason_are_usage_errors(arguments: list[str], shell: Shell) -> None:
    shell.machine.problem()
    code, _, err = shell(*arguments)
    assert code == EXIT_USAGE, err


@pytest.mark.parametrize("text", ['{"crypto":{}}', '{"crypto":5,"version":3}', "[" * 100_000])
def test_key_files_that_are_none_are_environment_errors(
    text: str, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.machine.problem()
    key = shell.machine.home / "key.json"
    key.write_text(text)
    key.chmod(0o600)
    monkeypatch.setenv("CONSILIENCE_PASSPHRASE", "x")
    code, _, err = shell("run", "valley", "--key", str(key))
    assert code == EXIT_ENVIRONMENT, err
