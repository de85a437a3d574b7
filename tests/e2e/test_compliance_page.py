"""Each command on the page of claims runs, in a study that has run, and each claim says what it does not prove."""

import re
import shlex
from pathlib import Path

import pytest
from conftest import EVALUATOR, Shell

from consilience.interfaces.cli.main import COMMANDS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "compliance.md").read_text()
ROWS = re.findall(r"^\| ([^|]+) \| `consilience ([^`]+)` \| ([^|]+) \| ([^|]+) \|$", PAGE, re.MULTILINE)
CLAIMS = (
    "completeness",
    "integrity",
    "non-equivocation",
    "time",
    "identity",
    "replay",
    "retention",
    "erasure",
    "redaction",
)


def test_the_page_has_every_claim_with_its_limits() -> None:
    named = {claim for claim, *_ in ROWS}
    assert set(CLAIMS) <= named
    assert all(shows.strip() and limits.strip() for _, _, shows, limits in ROWS)
    for hook in ("Articles 12 and 19", "902(13) and (14)", "GDPR", "eIDAS 2", "lawyer"):
        assert hook in PAGE
    table = PAGE.split("## Claims")[1].split("\n## ")[0]
    assert len(ROWS) == sum(line.startswith("| ") for line in table.splitlines()) - 2


def test_each_command_of_the_page_runs(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shell.machine.problem("valley", evaluator=EVALUATOR.replace("return", "print('said')\n    return"))
    assert shell("run", "valley", "--trials", "8", "-q")[0] == 0
    monkeypatch.chdir(folder)
    event = shell.data("log", "--kind", "trial.finished")[0]["id"]
    ran = set()
    for claim, command, *_ in ROWS:
        words = [event if word == "EVENT" else word for word in shlex.split(command)]
        if words[0] in COMMANDS:
            code, out, err = shell(*words)
            assert code == 0, f"{claim}: consilience {command}\n{err}"
            assert out, f"{claim}: it showed nothing"
            ran.add(claim)
    assert set(CLAIMS) - {"identity"} <= ran
