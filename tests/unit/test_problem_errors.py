from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from consilience.core.errors import EXIT_USAGE, ProblemError
from consilience.problems.load import LoadOptions, load_problem

GOOD = {
    "problem.toml": """
constraints = ["a >= 0"]
data = ["d.csv"]
[objective]
metric = "score"
direction = "maximize"
[artifact]
files = ["pack.py"]
[parameters.rate]
type = "float"
low = 0.1
high = 1.0
default = 0.5
[parameters.count]
type = "integer"
low = 1
high = 9
default = 5
[parameters.kind]
type = "categorical"
choices = ["red", "blue"]
default = "red"
[parameters.flag]
type = "boolean"
default = true
[evaluator]
kind = "function"
entry = "evaluator.py"
[budget]
trials = 10
wall_seconds = 10
[limits]
cpu_seconds = 3
[seeds]
study = 0
[policy]
maximum_pairs = 8
""",
    "pack.py": "# EVOLVE-BLOCK-START\nx = 1\n# EVOLVE-BLOCK-END\n",
    "evaluator.py": "def evaluate(candidate, seed):\n    return 1.0\n",
    "d.csv": "1\n",
}


def write(root: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        (root / path).write_text(text)
    return root


def edit(old: str, new: str) -> dict[str, str]:
    assert GOOD["problem.toml"].count(old) == 1, old
    return {"problem.toml": GOOD["problem.toml"].replace(old, new)}


def test_the_unspoilt_folder_is_good(tmp_path: Path) -> None:
    assert load_problem(write(tmp_path, GOOD)).problem.objective.metric == "score"


CASES: dict[str, tuple[dict[str, str], str, list[str]]] = {
    # what is spoilt: (files, key, words that the message or hint must hold)
    "misspelt direction": (
        edit("maximize", "maximise"),
        "objective.direction",
        ["maximise", "did you mean 'maximize'"],
    ),
    "unknown key": (edit("metric =", "metrik ="), "objective.metrik", ["unknown key", "did you mean 'metric'"]),
    "unknown table": (edit("[budget]", "[bugdet]"), "bugdet", ["did you mean 'budget'"]),
    "far-off key": (edit("trials =", "zzzzzz ="), "budget.zzzzzz", ["keys here are trials, wall_seconds"]),
    "missing metric": (edit('metric = "score"', ""), "objective.metric", ["nothing", "under [objective]"]),
    "missing objective": ({"problem.toml": '[artifact]\nfiles = ["pack.py"]'}, "objective", ["at the top"]),
    "wrong type": (edit("trials = 10", 'trials = "ten"'), "budget.trials", ["a string 'ten'", "an integer"]),
    "list expected": (edit('files = ["pack.py"]', 'files = "pack.py"'), "artifact.files", ["a list"]),
    "wrong item": (edit('files = ["pack.py"]', "files = [3]"), "artifact.files[0]", ["an integer 3", "a string"]),
    "table expected": (edit("[limits]\ncpu_seconds", "[policy.deterministic]\nx"), "policy.deterministic", []),
    "metric with spaces": (edit('"score"', '"my score"'), "objective.metric", ["my score", "letters"]),
    "zero budget": (edit("trials = 10", "trials = 0"), "budget.trials", ["found 0", "above 0"]),
    "negative time": (edit("wall_seconds = 10", "wall_seconds = -1"), "budget.wall_seconds", ["found -1"]),
    "endless time": (edit("wall_seconds = 10", "wall_seconds = inf"), "budget.wall_seconds", ["finite"]),
    "zero limit": (edit("cpu_seconds = 3", "cpu_seconds = 0"), "limits.cpu_seconds", ["above 0"]),
    "bad constraint": (edit("a >= 0", "a => 0"), "constraints", ["a => 0", "one of <= < >= > =="]),
    "nan constraint": (edit("a >= 0", "a >= nan"), "constraints", ["a >= nan"]),
    "no such artifact": (edit("pack.py", "pakc.py"), "artifact.files", ["does not exist", "did you mean 'pack.py'"]),
    "artifact outside": (edit("pack.py", "../pack.py"), "artifact.files", ["leads outside", "copy the file"]),
    "absolute artifact": (edit("pack.py", "/etc/hostname"), "artifact.files", ["leads outside"]),
    "artifact is a folder": (edit("pack.py", "."), "artifact.files", ["not a file"]),
    "artifact twice": (edit('["pack.py"]', '["pack.py", "pack.py"]'), "artifact.files", ["twice"]),
    "artifact scores itself": (
        edit("pack.py", "evaluator.py"),
        "artifact.files",
        ["evaluator.py", "must be different"],
    ),
    "data is the artifact": (edit("d.csv", "pack.py"), "data", ["pack.py"]),
    "data matches nothing": (edit("d.csv", "*.parquet"), "data", ["matches no file"]),
    "data outside": (edit("d.csv", "../*.csv"), "data", ["leads outside"]),
    "unbalanced markers": ({"pack.py": "# EVOLVE-BLOCK-START\nx = 1\n"}, "artifact.files", ["line 1 without an END"]),
    "artifact no Python": ({"pack.py": "def (:\n"}, "artifact.files", ["syntax error in line 1"]),
    "evaluator no Python": ({"evaluator.py": "x ="}, "evaluator.entry", ["syntax error in line 1"]),
    "evaluator without evaluate": ({"evaluator.py": "x = 1\n"}, "evaluator.entry", ["without evaluate"]),
    "no such evaluator": (edit('"evaluator.py"', '"eval.py"'), "evaluator.entry", ["does not exist"]),
    "misspelt kind": (edit('"function"', '"funktion"'), "evaluator.kind", ["did you mean 'function'"]),
    "command with entry": (edit('kind = "function"', 'kind = "command"'), "evaluator.entry", ["no entry"]),
    "command without words": (
        edit('kind = "function"\nentry = "evaluator.py"', 'kind = "command"'),
        "evaluator.command",
        [],
    ),
    "function with command": (edit('kind = "function"', 'command = ["x"]'), "evaluator.command", ["none where kind"]),
    "pattern without group": (
        edit('kind = "function"\nentry = "evaluator.py"', 'kind = "command"\ncommand = ["x"]\nmetric_pattern = "s"'),
        "evaluator.metric_pattern",
        ["0 groups", "exactly one group"],
    ),
    "pattern does not compile": (
        edit('kind = "function"\nentry = "evaluator.py"', 'kind = "command"\ncommand = ["x"]\nmetric_pattern = "(s"'),
        "evaluator.metric_pattern",
        ["regular expression"],
    ),
    "no such interpreter": (
        edit("[budget]", 'interpreter = "bin/nope"\n[budget]'),
        "evaluator.interpreter",
        ["cannot be run"],
    ),
    "bounds in disorder": (edit("low = 0.1", "low = 3"), "parameters.rate.low", ["low 3 and high 1"]),
    "default outside": (
        edit("default = 0.5", "default = 2"),
        "parameters.rate.default",
        ["between low 0.1 and high 1"],
    ),
    "bound missing": (edit("high = 1.0\n", ""), "parameters.rate.high", ["nothing", "a finite number"]),
    "endless bound": (edit("high = 1.0", "high = inf"), "parameters.rate.high", ["a finite number"]),
    "log from zero": (edit("low = 0.1", "low = 0\nlog = true"), "parameters.rate.low", ["above 0"]),
    "float for an integer": (edit("default = 5\n", "default = 5.5\n"), "parameters.count.default", ["whole number"]),
    "text for a number": (edit("default = 0.5", 'default = "0.5"'), "parameters.rate.default", ["a finite number"]),
    "misspelt type": (
        edit('"integer"', '"int"'),
        "parameters.count.type",
        ["one of boolean, categorical, float, integer"],
    ),
    "no such choice": (edit('default = "red"', 'default = "rde"'), "parameters.kind.default", ["did you mean 'red'"]),
    "one choice": (edit('["red", "blue"]', '["red"]'), "parameters.kind.choices", ["at least two"]),
    "number for a boolean": (edit("default = true", "default = 1"), "parameters.flag.default", ["true or false"]),
    "bound on a boolean": (edit("default = true", "default = true\nlow = 0"), "parameters.flag.low", ["no bound"]),
    "parameter's unknown key": (edit("low = 1\n", "low = 1\nsteps = 2\n"), "parameters.count.steps", ["unknown key"]),
    "parameter's bad name": (edit("[parameters.rate]", '[parameters."my rate"]'), "parameters.my rate", ["letters"]),
    "seed out of range": (edit("study = 0", "study = -1"), "seeds.study", ["found -1"]),
    "no noise floor": (edit("study = 0", "baseline = 1"), "seeds.baseline", ["at least 2"]),
    "rate of one": (
        edit("maximum_pairs = 8", "false_promotion_rate = 1.0"),
        "policy.false_promotion_rate",
        ["between"],
    ),
    "no pairs": (edit("maximum_pairs = 8", "maximum_pairs = 0"), "policy.maximum_pairs", ["at least 1"]),
    "negative gain": (edit("maximum_pairs = 8", "minimum_gain = -1"), "policy.minimum_gain", ["0 or above"]),
    "misspelt isolation": (
        edit("maximum_pairs = 8", 'minimum_isolation = "strnog"'),
        "policy.minimum_isolation",
        ["'strong'"],
    ),
    "no TOML": ({"problem.toml": "name = packing"}, "", ["syntax error", "quotes"]),
    "nothing may change": (
        {"problem.toml": '[objective]\nmetric = "s"\ndirection = "minimize"\n'},
        "artifact.files",
        ["nothing that may change", "[parameters.NAME]"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_folder_gets_one_error_with_file_key_and_mend(tmp_path: Path, case: str) -> None:
    files, key, words = CASES[case]
    write(tmp_path, {**GOOD, **files})
    with pytest.raises(ProblemError) as caught:
        load_problem(tmp_path)
    error = caught.value
    assert (error.file, error.key, error.exit_code) == ("problem.toml", key, EXIT_USAGE)
    text = f"{error.message} | {error.hint}"
    assert all(word in text for word in [*words, "found", "expected"]), text


def spoil_link(root: Path) -> None:
    (root / "pack.py").unlink()
    (root / "pack.py").symlink_to("/etc/hostname")


def spoil_encoding(root: Path) -> None:
    (root / "problem.toml").write_bytes(b"name = '\xff'")


SPOILERS: list[tuple[Callable[[Path], None], str]] = [
    (spoil_link, "leads outside the folder"),
    (spoil_encoding, "not UTF-8 at offset 8"),
]


@pytest.mark.parametrize(("spoil", "words"), SPOILERS)
def test_links_and_bytes_that_are_no_text_are_refused(
    tmp_path: Path, spoil: Callable[[Path], None], words: str
) -> None:
    spoil(write(tmp_path, GOOD))
    with pytest.raises(ProblemError, match=words):
        load_problem(tmp_path)


def test_a_parameter_that_is_no_table_is_named(tmp_path: Path) -> None:
    write(tmp_path, {**GOOD, **edit("[parameters.rate]", "[parameters]\nodd = 3\n[parameters.rate]")})
    with pytest.raises(ProblemError, match=r"parameters\.odd: found an integer 3, expected a table"):
        load_problem(tmp_path)


def test_a_missing_folder_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match="found nothing, expected a problem's folder") as caught:
        load_problem(tmp_path / "absent")
    assert "consilience init" in caught.value.hint


def test_an_unknown_layout_says_what_was_looked_for_and_what_is_there(tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / f"file{number:02}.txt").touch()
    with pytest.raises(ProblemError) as caught:
        load_problem(tmp_path)
    message = caught.value.message
    assert "file00.txt, file01.txt" in message
    assert "..." in message
    assert all(word in message for word in ("problem.toml", "initial_program.*", "train.py"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ProblemError, match="an empty folder"):
        load_problem(tmp_path / "empty")


def test_an_interpreter_that_cannot_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match="--interpreter: found 'no-such-python'"):
        load_problem(write(tmp_path, GOOD), LoadOptions(interpreter="no-such-python"))
