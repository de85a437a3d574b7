"""Where every text of a candidate is hostile, no verb sends what acts or hides, and no cell is a formula."""

import csv
import json
import unicodedata

import pytest
from conftest import Machine, Shell

HOSTILE = "=cmd()\\x1b[2J\\x1b]0;owned\\x07\\x9b31m\\u202egnp\\u2066\\u200b\\u3164\\u2028error: all is well\\r\\n\\x85"
PROGRAM = f"""
import sys
# EVOLVE-BLOCK-START
TEXT = "{HOSTILE}"
STEP = 0.5
print(TEXT)
sys.stderr.write(TEXT)
# EVOLVE-BLOCK-END


def run():
    if STEP != 0.5:
        raise ValueError(TEXT)
    return 4.0
"""
EVALUATOR = f"""
import importlib.util


def evaluate(path):
    spec = importlib.util.spec_from_file_location("program", path)
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    numbers = {{f"{{n}}\\x1b[31m\\u202e": float(n) for n in range(600)}}
    return {{"combined_score": program.run(), "{HOSTILE}": 1.0, "x" * 5000: 2.0, **numbers}}
"""
LOG = "commit\tval_bpb\tmemory_gb\tstatus\tdescription\n=1+1\t1.0\t4.0\tkeep\t@SUM(\x1b[31m\u202e)\n"
VERBS = {
    "board": ("board",),
    "show 0": ("show", "0"),
    "show 6": ("show", "6"),
    "log": ("log",),
    "diff": ("diff", "6"),
    "replay": ("replay",),
    "verify": ("verify",),
    "rerun": ("rerun", "6"),
    "trial run": ("trial", "run", "6", "--seeds", "1"),
    "export": ("export", "again.csv"),
    "prove": ("prove", "HOSTILE_EVENT"),
}


def harmful(text: str) -> set[str]:
    bad = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    return {c for c in text if c != "\n" and (unicodedata.category(c) in bad or c in "\u3164\u2800\ufe0f")}


@pytest.fixture
def hostile(machine: Machine, shell: Shell) -> Shell:
    folder = machine.home / "hostile"
    folder.mkdir()
    (folder / "initial_program.py").write_text(PROGRAM)
    (folder / "evaluator.py").write_text(EVALUATOR)
    (folder / "log.tsv").write_text(LOG)
    code, out, err = shell("run", "hostile", "--trials", "14")
    assert code == 0, err
    assert harmful(out + err) == set()
    code, out, err = shell("import", "hostile/log.tsv", "-p", "hostile")
    assert code == 0, err
    assert harmful(out + err) == set()
    return shell


def test_no_verb_sends_what_acts_or_hides(hostile: Shell) -> None:
    loud = max(
        hostile.data("log", "-p", "hostile"), key=lambda event: len(harmful(json.dumps(event, ensure_ascii=False)))
    )
    for line in VERBS.values():
        verb = tuple(word.replace("HOSTILE_EVENT", loud["id"]) for word in line)
        for more in ((), ("--json",)):
            _, out, err = hostile(*verb, "-p", "hostile", *more)
            assert harmful(out) == set(), (verb, more)
            assert harmful(err) == set(), (verb, more)
            if more:
                json.loads(out)


def test_what_is_kept_is_capped(hostile: Shell) -> None:
    data = hostile.data("show", "0", "-p", "hostile")
    assert 250 < len(data["trial"]["metrics"]) <= 257
    assert max(map(len, data["trial"]["metrics"])) <= 200
    assert len(data["log"]) <= 64 * 1024 + 100
    assert "\x1b]0;owned" in data["log"], "kept as it was; only what is shown is escaped"


def test_no_cell_of_an_export_is_a_formula(hostile: Shell, machine: Machine) -> None:
    for name in ("out.csv", "out.tsv"):
        assert hostile("export", name, "-p", "hostile")[0] == 0
        text = (machine.home / name).read_text()
        assert harmful(text.replace("\t", " ")) == set()
        rows = list(csv.reader(text.splitlines(), delimiter="\t" if name.endswith("tsv") else ","))
        cells = [cell for row in rows for cell in row if cell.startswith(("=", "+", "@", "-"))]
        assert all(_is_number(cell) for cell in cells), cells
    assert hostile("export", "out.jsonl", "-p", "hostile")[0] == 0
    assert harmful((machine.home / "out.jsonl").read_text()) == set()


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
