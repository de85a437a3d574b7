"""The table of what users and machines get wrong: how it comes about, the exit code, and words of the message."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

from conftest import EVALUATOR, PROBLEM, Machine

from consilience.core.errors import EXIT_ENVIRONMENT, EXIT_FAILED, EXIT_USAGE, EXIT_VERIFICATION
from consilience.interfaces.cli.main import main
from consilience.journal.reader import JOURNAL_NAME

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
        assert main(["run", "valley", "--trials", "6", "-q"]) == 0
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
        "UPDATE event SET payload = CAST(replace(payload, 'trial.started', 'trial.stopped') AS BLOB) WHERE position = 6"
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


def middle_overwritten(machine: Machine) -> None:
    data = bytearray(journal_of(machine).read_bytes())
    for place in range(len(data) // 3, 2 * len(data) // 3):
        data[place] ^= 0x5A
    journal_of(machine).write_bytes(data)


def user_file(content: bytes) -> Prepare:
    def prepare(machine: Machine) -> list[str]:
        machine.problem()
        path = machine.home / "config/consilience/config.toml"
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        return ["run", "valley", "-q"]

    return prepare


def file_of(name: str, content: bytes, *arguments: str) -> Prepare:
    """Put other bytes into a file of the problem or beside it."""

    def prepare(machine: Machine) -> list[str]:
        machine.problem()
        (machine.home / name).unlink(missing_ok=True)
        (machine.home / name).write_bytes(content)
        (machine.home / name).chmod(0o600)
        return list(arguments) or ["run", "valley", "-q"]

    return prepare


def log_command(*flags: str, text: str = "RATE = 0.3\nprint(f'val_bpb: {1 + (RATE - 0.5) ** 2:.6f}')\n") -> Prepare:
    """Run an autoresearch folder with these flags."""

    def prepare(machine: Machine) -> list[str]:
        folder = machine.home / "valley"
        folder.mkdir()
        (folder / "program.md").write_text("instructions\n")
        (folder / "train.py").write_text(text)
        return ["run", "valley", "--trials", "6", "-q", *flags]

    return prepare


def journal_is_a_folder(machine: Machine) -> list[str]:
    machine.problem()
    journal_of(machine).mkdir(parents=True)
    return ["run", "valley", "-q"]


def named(metric: str, *more: str) -> tuple[str, ...]:
    return ("--metric", metric, "--direction", "minimize", *more)


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
    "negative budget": (problem(toml="trials = 30=>trials = -3"), EXIT_USAGE, "budget.trials"),
    "bound that is no number": (problem(toml="high = 5.0=>high = nan"), EXIT_USAGE, "parameters.x"),
    "parameter of no known type": (problem(toml='type = "float"=>type = "colour"'), EXIT_USAGE, "parameters.x.type"),
    "constraint that is no predicate": (
        problem(toml='[evaluator]=>constraints = ["depth ~ 3"]\n[evaluator]'),
        EXIT_USAGE,
        "constraints",
    ),
    "artifact outside the folder": (
        problem(toml='[evaluator]=>[artifact]\nfiles = ["../x.py"]\n[evaluator]'),
        EXIT_USAGE,
        "outside the folder",
    ),
    "problem that is no text": (file_of("valley/problem.toml", b"\xff\xfe\x00"), EXIT_USAGE, "UTF-8"),
    "problem nested without end": (file_of("valley/problem.toml", b"a=" + b"[" * 100_000), EXIT_USAGE, "nested"),
    "evaluator that is no text": (file_of("valley/evaluator.py", b"\xff\xfe"), EXIT_USAGE, "UTF-8"),
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
    "evaluator that answers 1 GB": (
        problem(evaluator="def evaluate(c, seed):\n    return 'x' * 1_000_000_000\n"),
        EXIT_FAILED,
        "baseline failed",
    ),
    "evaluator with metrics without end": (
        problem(
            evaluator="def evaluate(c, seed):\n    return {f'm{n}': 1.0 for n in range(3_000_000)}\n",
            toml="wall_seconds = 5=>wall_seconds = 1",
        ),
        EXIT_FAILED,
        "baseline failed",
    ),
    "evaluator with another metric infinite": (
        problem(evaluator="def evaluate(c, seed):\n    return {'depth': 1.0, 'other': float('inf')}\n"),
        EXIT_FAILED,
        "non_finite",
    ),
    "evaluator beyond floats": (
        problem(evaluator="def evaluate(c, seed):\n    return {'depth': 10**400}\n"),
        EXIT_FAILED,
        "non_finite",
    ),
    "evaluator that leaves": (
        problem(evaluator="import sys\ndef evaluate(c, seed):\n    sys.exit(0)\n"),
        EXIT_FAILED,
        "evaluator_error",
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
    "time beyond reason": (flags("--wall", "1e999h"), EXIT_USAGE, "wall_seconds"),
    "seed that is no whole number": (flags("--seed", "1.5"), EXIT_USAGE, "seed"),
    "unknown durability": (flags("--durability", "fast"), EXIT_USAGE, "durability"),
    "interpreter that is not there": (log_command("--interpreter", "/no/python"), EXIT_USAGE, "/no/python"),
    "bad regular expression": (log_command(*named("v", "--metric-pattern", "([")), EXIT_USAGE, "--metric-pattern"),
    "pattern without a group": (log_command(*named("v", "--metric-pattern", "v: .*")), EXIT_USAGE, "one group"),
    "pattern that finds nothing": (
        log_command(*named("v", "--metric-pattern", "nothing: (.*)")),
        EXIT_FAILED,
        "missing_metric",
    ),
    "command with an open quote": (log_command("--command", "python 'train.py"), EXIT_USAGE, "--command"),
    "command that is not there": (log_command("--command", "nosuchprogram"), EXIT_ENVIRONMENT, "nosuchprogram"),
    "output of 1 GB": (
        log_command(text="RATE = 0.3\nfor _ in range(1000):\n    print('y' * 1_000_000)\nprint('val_bpb: 1.0')\n"),
        EXIT_FAILED,
        "baseline failed",
    ),
    "unknown isolation level": (flags("--minimum-isolation", "perfect"), EXIT_USAGE, "minimum_isolation"),
    "state folder that is a file": (state_is_a_file, EXIT_FAILED, "state.txt"),
    "state folder that cannot be made": (flags("--state", "/proc/nowhere"), EXIT_FAILED, "/proc/nowhere"),
    "journal that is a folder": (journal_is_a_folder, EXIT_FAILED, "journal.db"),
    "name too long": (bare("run", "x" * 5000), EXIT_FAILED, "too long"),
    "two files that are no problem": (bare("run", "a.py", "b.py"), EXIT_USAGE, "a.py and b.py"),
    "unknown trial": (then("show", "999", "-p", "valley"), EXIT_USAGE, "999"),
    "trial that is no number": (then("show", "\u00b2", "-p", "valley"), EXIT_USAGE, "\u00b2"),
    "diff of an unknown trial": (then("diff", "77", "-p", "valley"), EXIT_USAGE, "77"),
    "apply of an unknown trial": (then("apply", "77", "-p", "valley"), EXIT_USAGE, "77"),
    "branch without git": (then("apply", "--branch", "x", "-p", "valley"), EXIT_FAILED, "git"),
    "branch that is no name": (then("apply", "--branch", "..", "-p", "valley"), EXIT_FAILED, "no branch name"),
    "replay before the beginning": (then("replay", "--to", "-1", "-p", "valley"), EXIT_USAGE, "--to"),
    "unknown export suffix": (then("export", "trials.xlsx", "-p", "valley"), EXIT_USAGE, ".csv"),
    "export into nowhere": (then("export", "no/where/t.csv", "-p", "valley"), EXIT_FAILED, "cannot write"),
    "backup into nowhere": (then("backup", "no/where.db", "-p", "valley"), EXIT_FAILED, "no/where.db"),
    "init over a folder": (then("init", "valley"), EXIT_USAGE, "not empty"),
    "unknown built-in problem": (bare("init", "x", "--from", "nothing"), EXIT_USAGE, "nothing"),
    "unknown verb": (bare("frobnicate"), EXIT_USAGE, "frobnicate"),
    "verify without a journal": (bare("verify"), EXIT_USAGE, "no journal"),
    "gc without a journal": (bare("gc"), EXIT_USAGE, "no journal"),
    "import that is no log": (file_of("b.tsv", b"", "import", "b.tsv", "-p", "valley"), EXIT_USAGE, "line 1"),
    "import of bytes": (file_of("b.tsv", b"\xff\x00", "import", "b.tsv", "-p", "valley"), EXIT_USAGE, "UTF-8"),
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
    "journal overwritten in the middle": (
        then("board", "-p", "valley", before=middle_overwritten),
        EXIT_VERIFICATION,
        "malformed",
    ),
    "export of a damaged journal": (
        then("export", "t.csv", "-p", "valley", before=middle_overwritten),
        EXIT_VERIFICATION,
        "malformed",
    ),
    "backup of a damaged journal": (
        then("backup", "b.db", "-p", "valley", before=middle_overwritten),
        EXIT_VERIFICATION,
        "nothing was copied",
    ),
    "journal cut off": (then("run", "valley", before=cut_off), EXIT_VERIFICATION, "cut off"),
    "key that is a folder": (flags("--key", "."), EXIT_ENVIRONMENT, "not a file"),
    "key that is empty": (file_of("k", b"", "run", "valley", "--key", "k"), EXIT_ENVIRONMENT, "key file"),
    "user file that is no TOML": (user_file(b"= nonsense"), EXIT_USAGE, "config.toml"),
    "user file that is no text": (user_file(b"\xff"), EXIT_USAGE, "config.toml"),
    "key that others can read": (then("run", "valley", before=open_key), EXIT_ENVIRONMENT, "read by others"),
    "user file with an unknown name": (then("run", "valley", before=bad_user_file), EXIT_USAGE, "trails"),
}
# The journal cannot verify after these: they spoil it themselves.
SPOILED = {
    "journal from a newer version",
    "journal overwritten",
    "journal overwritten in the middle",
    "export of a damaged journal",
    "backup of a damaged journal",
    "journal cut off",
    "journal that is a folder",
    "user file with an unknown name",
    "user file that is no TOML",
    "user file that is no text",
}
