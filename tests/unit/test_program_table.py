"""Evaluator kind `program` in problem.toml: what is read, and what is refused with which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from consilience.core.errors import ProblemError
from consilience.core.problem import problem_id
from consilience.problems.load import load_problem

TOML = """
data = ["labels.csv"]
[objective]
metric = "accuracy"
direction = "maximize"
[artifact]
files = ["train.py"]
[parameters.rate]
type = "float"
low = 0.0
high = 1.0
default = 0.5
[evaluator]
kind = "program"
entry = "evaluator.py"
command = ["{python}", "train.py", "{seed}"]
visible = ["data/*.csv"]
outputs = ["./predictions.json", "weights.npy"]
"""
FILES = {
    "problem.toml": TOML,
    "train.py": "x = 1\n",
    "evaluator.py": "def evaluate(program, seed):\n    return 1.0\n",
    "labels.csv": "1\n",
    "data/train.csv": "2\n",
}


def write(root: Path, files: dict[str, str] = FILES) -> Path:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def test_what_is_written_is_read(tmp_path: Path) -> None:
    loaded = load_problem(write(tmp_path))
    evaluator = loaded.problem.evaluator
    assert (evaluator.kind, evaluator.entry) == ("program", "evaluator.py")
    assert evaluator.command == ("{python}", "train.py", "{seed}")
    assert evaluator.outputs == ("predictions.json", "weights.npy")
    assert [file.path for file in evaluator.visible] == ["data/train.csv"]
    assert [file.path for file in loaded.problem.data] == ["labels.csv"]
    assert list(loaded.support) == ["evaluator.py"]


def test_visible_files_decide_the_score(tmp_path: Path) -> None:
    before = problem_id(load_problem(write(tmp_path)).problem)
    (tmp_path / "data" / "train.csv").write_text("3\n")
    assert problem_id(load_problem(tmp_path).problem) != before


CASES: dict[str, tuple[tuple[str, str], str, str]] = {
    # what is spoilt: (old and new text, key, words of the message)
    "no command": (('command = ["{python}", "train.py", "{seed}"]', ""), "evaluator.command", "no command"),
    "a pattern": (
        ('kind = "program"', 'kind = "program"\nmetric_pattern = "x(y)"'),
        "evaluator.metric_pattern",
        "none",
    ),
    "artifact is visible": (('"data/*.csv"', '"train.py"'), "evaluator.visible", "also among the artifact"),
    "evaluator is visible": (('"data/*.csv"', '"evaluator.py"'), "evaluator.visible", "also among the evaluator"),
    "labels are visible": (('"data/*.csv"', '"labels.csv"'), "evaluator.visible", "also among the evaluator's data"),
    "visible is absent": (('"data/*.csv"', '"nothing/*"'), "evaluator.visible", "matches no file"),
    "output is the artifact": (('"weights.npy"', '"train.py"'), "evaluator.outputs", "also among the artifact"),
    "output is visible": (('"weights.npy"', '"data/train.csv"'), "evaluator.outputs", "also among the visible"),
    "output twice": (('"weights.npy"', '"predictions.json"'), "evaluator.outputs", "1 of them different"),
    "output outside": (('"weights.npy"', '"../weights.npy"'), "evaluator.outputs", "relative path"),
    "output is absolute": (('"weights.npy"', '"/weights.npy"'), "evaluator.outputs", "relative path"),
    "output is the folder": (('"weights.npy"', '"."'), "evaluator.outputs", "relative path"),
    "output is an archive": (('"weights.npy"', '"weights.npz"'), "evaluator.outputs", "an archive"),
    "output is a pickle": (('"weights.npy"', '"model.PKL"'), "evaluator.outputs", "a pickle"),
    "output is the parameters": (('"weights.npy"', '"parameters.json"'), "evaluator.outputs", "parameters.json"),
    "too many outputs": (
        ('"weights.npy"', ", ".join(f'"{number}.json"' for number in range(64))),
        "evaluator.outputs",
        "65 outputs",
    ),
    "visible of a function": (('kind = "program"', 'kind = "function"'), "evaluator.visible", "none where kind is"),
}


@pytest.mark.parametrize("case", CASES)
def test_faults_are_named(tmp_path: Path, case: str) -> None:
    (old, new), key, words = CASES[case]
    assert TOML.count(old) == 1
    write(tmp_path, {**FILES, "problem.toml": TOML.replace(old, new)})
    with pytest.raises(ProblemError) as caught:
        load_problem(tmp_path)
    assert caught.value.key == key, caught.value
    assert words in str(caught.value)
