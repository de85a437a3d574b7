"""`retain` and `export` as a user meets them: what is gone says so everywhere, and secrets never arrive."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import EVALUATOR, PROBLEM, Shell

SECRET = "tr0ub4dor-and-three"
LOUD = f"""
import sys

def evaluate(candidate, seed):
    sys.stderr.write("a talkative line of seed %d, key AKIA" % seed + "ABCDEFGHIJKLMNOP and {SECRET}\\n")
    if candidate.parameters["x"] > 3.5:
        raise ValueError("password=" + "hunter" + str(11 * 2))
    return {{"depth": (candidate.parameters["x"] - 1.0) ** 2}}
"""


@pytest.fixture
def folder(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MY_SERVICE_TOKEN", SECRET)
    made = shell.machine.problem("valley", evaluator=LOUD)
    code, _, err = shell("run", "valley", "--trials", "12", "-q")
    assert code == 0, err
    assert "evaluator.py seems to hold a secret (known)" in err
    return made


def texts(shell: Shell) -> list[tuple[int, str]]:
    found = []
    for event in shell.data("log", "-p", "valley", "--kind", "trial.finished"):
        found += [event["body"][name] for name in ("log", "feedback") if event["body"][name]]
    return [(number, name) for number, name in enumerate(found)]


def on_disk(folder: Path) -> bytes:
    state = folder / ".consilience"
    return b"".join(path.read_bytes() for path in sorted(state.rglob("*")) if path.is_file())


def test_secrets_are_redacted_before_they_are_stored(folder: Path, shell: Shell) -> None:
    shown = shell.data("show", "1", "-p", "valley")
    assert "[redacted: cloud-key] and [redacted: known]" in shown["log"]
    stored = on_disk(folder)
    assert b"hunter22" not in stored
    assert stored.count(SECRET.encode()) == LOUD.count(SECRET) == 1, "the evaluator is code, and stays as it is"
    failed = [row for row in shell.data("log", "-p", "valley", "--kind", "trial.finished") if row["body"]["failure"]]
    assert all("password=[redacted: assigned]" in row["body"]["failure"]["message"] for row in failed)
    assert failed


def test_erased_texts_say_so_everywhere(folder: Path, shell: Shell, tmp_path: Path) -> None:
    assert b"a talkative line of seed 1" in on_disk(folder).replace(LOUD.encode(), b"")
    planned = shell.data("retain", "-p", "valley", "--older-than", "0s", "--dry-run")
    assert sum(map(len, planned["chosen"].values())) == len(texts(shell))
    done = shell.data("retain", "-p", "valley", "--older-than", "0s")
    assert done["blobs"] == len(texts(shell)) > 0
    assert b"a talkative line of seed" not in on_disk(folder).replace(LOUD.encode(), b"")
    assert shell.data("show", "1", "-p", "valley")["log"] == "[erased: older than 0 days]"
    code, out, _ = shell("show", "1", "-p", "valley")
    assert (code, "[erased: older than 0 days]" in out) == (0, True)
    code, out, _ = shell("verify", "-p", "valley")
    assert (code, f"{done['blobs']} texts were erased, each by a tombstone" in out) == (0, True)
    assert shell.data("log", "-p", "valley", "--kind", "blobs.erased")[0]["id"] in done["tombstones"]
    assert shell.data("gc", "-p", "valley")["blobs"] == 0
    assert shell("diff", "5", "-p", "valley")[0] == 0
    for name in ("trials.csv", "trials.jsonl", "prov.json", "audit-pack/", "other/"):
        assert shell("export", str(tmp_path / name) + "/" * name.endswith("/"), "-p", "valley")[0] == 0, name
    assert shell("backup", str(tmp_path / "copy.db"), "-p", "valley")[0] == 0
    assert b"a talkative line of seed" not in (tmp_path / "copy.db").read_bytes().replace(LOUD.encode(), b"")
    assert shell("run", "valley", "--trials", "14", "-q")[0] == 0, "the study goes on"


def test_one_text_goes_on_request(folder: Path, shell: Shell) -> None:
    code, _, err = shell("retain", "-p", "valley", "--trial", "1")
    assert (code, "needs a reason" in err) == (2, True)
    done = shell.data("retain", "-p", "valley", "--trial", "1", "--reason", "request of 3 March")
    assert done["blobs"] == 1
    assert shell.data("show", "1", "-p", "valley")["log"] == "[erased: on request: request of 3 March]"
    assert "talkative" in shell.data("show", "2", "-p", "valley")["log"]
    name = dict(texts(shell))[2]
    code, out, _ = shell("retain", "-p", "valley", "--blob", name, "--reason", "x")
    assert (code, out.startswith("1 texts (")) == (0, True)
    code, _, err = shell("retain", "-p", "valley")
    assert (code, "older than what?" in err) == (2, True)


def test_the_policy_is_a_key_of_the_problem_and_a_setting(shell: Shell) -> None:
    problem = PROBLEM + "\n[policy]\nretention_days = 180\n"
    shell.machine.problem("valley", problem=problem, evaluator=EVALUATOR.replace("return", "print('x')\n    return"))
    assert shell("run", "valley", "--trials", "6", "-q")[0] == 0
    events = shell.data("log", "-p", "valley")
    stated = [event["body"]["settings"]["policy"] for event in events if event["kind"] == "study.configured"]
    assert [policy["retention_days"] for policy in stated] == [180]
    code, out, err = shell("retain", "-p", "valley", "--older-than", "30d", "--json")
    error: dict[str, Any] = json.loads(out)["error"]
    assert (code, error["kind"]) == (1, "retention_refused"), err
    assert shell.data("retain", "-p", "valley")["younger"] == 6
    code, _, err = shell("retain", "-p", "valley", "--older-than", "a while")
    assert (code, "--older-than" in err) == (2, True)


def test_the_pack_is_checked_by_its_own_file(folder: Path, shell: Shell, tmp_path: Path) -> None:
    shell.data("retain", "-p", "valley", "--trial", "1", "--reason", "r")
    pack = tmp_path / "audit-pack"
    assert shell.data("export", f"{pack}/", "-p", "valley")["rows"] == len(shell.data("log", "-p", "valley"))
    done = subprocess.run(
        [sys.executable, "-I", "verify_pack.py"], cwd=pack, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    assert shell("export", f"{pack}/", "-p", "valley")[0] == 2, "nothing is written over"
    assert shell("replay", "--state", str(folder / ".consilience"))[0] == 0
