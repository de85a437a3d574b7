"""Writes one small golden journal: a study with a drained run, a resumed one, foreign records and an application.

Run it once for each released format, keep the files for ever (tests/golden), and never run it for an old one.

    python scripts/write_golden_journal.py tests/golden/v1
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import consilience
from consilience.interfaces.cli.main import main as command
from consilience.node.reading import StudyReader
from consilience.node.reports import board, summary

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
        for arguments in (["run", "--trials", "12"], ["run", "--trials", "30"], ["import", "log.tsv"], ["apply"]):
            _run(arguments, problem)
        folder.mkdir(parents=True)
        _run(["backup", str(folder / "journal.db")], problem)
    (folder / "expected.json").write_text(json.dumps(expected(folder), indent=1, sort_keys=True) + "\n")


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
