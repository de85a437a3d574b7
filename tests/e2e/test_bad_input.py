"""Bad input: one clear message with its mend, the documented exit code, and a journal that stays valid."""

import json
import subprocess
import tomllib
from collections.abc import Iterator

import pytest
from bad_cases import CASES, SPOILED, cut_off, journal_of, one_byte_changed, then
from conftest import PROBLEM, Shell

from consilience.core.errors import (
    EXIT_ENVIRONMENT,
    EXIT_FAILED,
    EXIT_USAGE,
    EXIT_VERIFICATION,
    ConsilienceError,
    NotFoundError,
)
from consilience.journal.device import WriterLock
from consilience.journal.journal import LOCK_NAME
from consilience.node.reading import StudyReader
from consilience.trials.sandbox import probe as probing
from consilience.trials.sandbox.tools import Tools


def tree(root: type[ConsilienceError]) -> Iterator[type[ConsilienceError]]:
    yield root
    for branch in root.__subclasses__():
        yield from tree(branch)


KINDS = {(error.kind, error.exit_code) for error in tree(ConsilienceError)}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_told_clearly(name: str, shell: Shell) -> None:
    prepare, expected, words = CASES[name]
    arguments = prepare(shell.machine)
    code, out, err = shell(*arguments)
    assert code == expected, f"{out}{err}"
    lines = [line for line in err.splitlines() if line.startswith(("error: ", "  mend: "))]
    assert [line[:8] for line in lines] == ["error: " + lines[0][7], "  mend: "], err
    assert words in "".join(lines)
    assert "Traceback" not in err
    again, envelope, err = shell(*arguments, "--json")
    assert again == expected
    assert "Traceback" not in err
    error = json.loads(envelope.splitlines()[-1])["error"]
    assert set(error) == {"kind", "message", "hint"}
    assert (error["kind"], expected) in KINDS
    assert words in error["message"] + error["hint"]
    assert error["hint"]
    if name not in SPOILED and journal_of(shell.machine).exists():
        assert shell("verify", "-p", "valley")[0] == 0


def test_a_number_is_never_taken_for_the_beginning_of_an_id(shell: Shell) -> None:
    then()(shell.machine)
    reader = StudyReader.open(journal_of(shell.machine).parent)
    assert [reader.trial(str(number)).number for number in range(6)] == list(range(6))
    for number in range(6, 5000):
        with pytest.raises(NotFoundError):
            reader.trial(str(number))
    row = reader.trial("3")
    assert reader.trial(row.finished_event[:10]) == row
    reader.close()


def test_a_damaged_or_changed_journal_fails_verification_and_names_the_event(shell: Shell) -> None:
    then(before=one_byte_changed)(shell.machine)
    code, out, _ = shell("verify", "-p", "valley")
    assert code == EXIT_VERIFICATION
    assert "event 6 " in out
    code, out, _ = shell("verify", "-p", "valley", "--json")
    assert json.loads(out)["data"]["fault"]["position"] == 6


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
