"""Writes one small golden journal, with nearly every kind of event.

A study with a drained run, a resumed one, foreign records, an application, an excision and one that was taken back,
keys that were certified, revoked and rotated, a controller, a checkpoint, an erased text and a spending feed.

Run it once for each released format, keep the files for ever (tests/golden), and never run it for an old one.

    python scripts/write_golden_journal.py tests/golden/v1
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import consilience
from consilience.interfaces.cli.main import main as command
from consilience.node.places import user_places
from consilience.node.reading import StudyReader
from consilience.node.reports import board, summary
from consilience.node.settings import problem_layer, resolve
from consilience.node.upkeep import open_session
from consilience.problems.load import load_problem

PROBLEM = """
name = "golden"
goal = "A small study that every later version must replay."

[objective]
metric = "depth"
direction = "minimize"

[artifact]
files = ["program.py"]

[parameters.x]
type = "float"
low = -5.0
high = 5.0
default = 3.0

[policy]
minimum_isolation = "strong"
"""
PROGRAM = "# EVOLVE-BLOCK-START\nSTEP = 0.5\n\n\ndef descend(x):\n    return x - STEP * x\n# EVOLVE-BLOCK-END\n"
EVALUATOR = """
def evaluate(candidate, seed):
    noise = (seed % 1000) / 1e6
    return {"depth": abs(candidate.call("descend", candidate.parameters["x"])) + noise}
"""
LOG = "commit\tval_bpb\tmemory_gb\tstatus\tdescription\naaaaaaa\t1.000000\t4.0\tkeep\tbaseline\n"


def write(folder: Path) -> None:
    """Make the study and keep its journal with what it must replay to."""
    with tempfile.TemporaryDirectory() as home:
        for name in ("DATA", "STATE", "CONFIG", "CACHE"):
            os.environ[f"XDG_{name}_HOME"] = f"{home}/{name.lower()}"
        problem = Path(home) / "golden"
        problem.mkdir()
        files = {"problem.toml": PROBLEM, "program.py": PROGRAM, "evaluator.py": EVALUATOR, "log.tsv": LOG}
        for name, text in files.items():
            (problem / name).write_text(text)
        asked = consilience.study(problem, trials=2)
        asked.ask()  # never told: the next run releases it
        asked.close()
        _run(["run", "--trials", "12"], problem)
        _change_keys(Path(home))
        for arguments in (["run", "--trials", "80"], ["import", "log.tsv"], ["apply"], ["checkpoint"]):
            _run(arguments, problem)
        _take_back(problem)
        _open_spending(problem)
        folder.mkdir(parents=True)
        _run(["backup", str(folder / "journal.db")], problem)
    (folder / "expected.json").write_text(json.dumps(expected(folder), indent=1, sort_keys=True) + "\n")


def _change_keys(home: Path) -> None:
    """Certify an agent and revoke it, name a controller, and let the promised key take over."""
    did = _told("id", "show")["did"]
    agent = _told("id", "certify", "--new", str(home / "agent.json"), "--name", "helper")["key"]
    _told("id", "revoke", agent, "--reason", "the helper is done")
    _told("id", "new", "--key", str(home / "cold" / "key.json"))
    consent = home / "consent.json"
    consent.write_text(json.dumps(_told("id", "consent", did, "--key", str(home / "cold" / "key.json"))))
    _told("id", "controller", "--consent", str(consent))
    _told("id", "rotate")


def _take_back(problem: Path) -> None:
    """Excise two candidates, take the first excision back, and erase the imported log."""
    ranked = next(iter(_told("board", "-p", str(problem))["rankings"].values()))
    last, first = ranked[-2]["trial"], ranked[0]["trial"]
    excised = _told("excise", str(last), "--reason", "golden", "-p", str(problem))
    _told("excise", "--withdraw", excised["event"], "--reason", "golden after all", "-p", str(problem))
    _told("excise", str(first), "--reason", "golden", "-p", str(problem))
    source = _told("log", "--kind", "record.imported", "-p", str(problem))[0]["body"]["source"]
    _told("retain", "--blob", source, "--reason", "on request", "-p", str(problem))


def _open_spending(problem: Path) -> None:
    loaded = load_problem(problem)
    settings = resolve({"trials": "80"}, os.environ, problem_layer(loaded.study, loaded.stated), {}, Path())
    with open_session(loaded, settings, user_places(), "") as session:
        session.journal.open_spending("golden")
        session.journal.commit()


def _told(*arguments: str) -> Any:
    """Run one command and return what it told."""
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        code = command([*arguments, "--json"])
    if code != 0:
        raise SystemExit(f"{' '.join(arguments)} failed: {told.getvalue()}")
    return json.loads(told.getvalue())["data"]


def _run(arguments: list[str], problem: Path) -> None:
    place = [str(problem)] if arguments[0] == "run" else ["-p", str(problem)]
    named = [str(problem / word) if word == "log.tsv" else word for word in arguments]
    if command([named[0], *place, *named[1:]]) != 0:
        raise SystemExit(f"{' '.join(arguments)} failed")


def expected(folder: Path) -> dict[str, object]:
    """Return what the journal in a folder replays to: best candidate, outcomes and ranking."""
    with tempfile.TemporaryDirectory() as state:
        shutil.copy(folder / "journal.db", f"{state}/journal.db")
        reader = StudyReader.open(Path(state))
        found, ranking = summary(reader), board(reader)
        reader.close()
    rows = [
        [row.place, row.trial, row.candidate, repr(row.mean), row.verdict]
        for row in next(iter(ranking.rankings.values()))
    ]
    return {
        "events": found.events,
        "best": repr(found.best),
        "outcomes": found.outcomes,
        "verdicts": found.verdicts,
        "records": len(ranking.records),
        "ranking": rows,
    }


if __name__ == "__main__":
    write(Path(sys.argv[1]))
