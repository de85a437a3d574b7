from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs

from consilience.core.blocks import fixed_text
from consilience.core.canonical import sha256_hex
from consilience.core.errors import UsageError
from consilience.core.problem import Constraint, Limits, problem_id
from consilience.core.study import Budget
from consilience.problems.load import LoadOptions, detect_layout, load_problem
from consilience.problems.template import write_template

TOML = """
name = "packing"
goal = "Pack."
autonomy = "suggest"
data = ["data/*.csv"]
constraints = ["accuracy >= 0.9", "size<1e3"]

[objective]
metric = "score"
direction = "maximize"
unit = "points"

[artifact]
files = ["pack.py", "settings.txt"]

[parameters.rate]
type = "float"
low = 0
high = 1
default = 1

[parameters.count]
type = "integer"
low = 1
high = 64
log = true
default = 8

[parameters.kind]
type = "categorical"
choices = ["a", "b"]
default = "b"

[parameters.fast]
type = "boolean"
default = true

[evaluator]
entry = "evaluator.py"
support = ["helpers/*.py"]

[budget]
trials = 7
wall_seconds = 1.5

[limits]
wall_seconds = 2

[seeds]
study = 3
baseline = 4

[policy]
minimum_isolation = "restricted"
minimum_gain = 0.1
deterministic = false
"""
PACK = "import math\n# EVOLVE-BLOCK-START\nx = 1\n# EVOLVE-BLOCK-END\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "problem"
    files = {
        "problem.toml": TOML,
        "pack.py": PACK,
        "settings.txt": "free text (((",
        "evaluator.py": "def evaluate(candidate, seed):\n    return {'score': 1.0}\n",
        "helpers/tool.py": "y = 1\n",
        "data/b.csv": "2\n",
        "data/a.csv": "1\n",
    }
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def test_everything_that_is_written_is_read(folder: Path) -> None:
    loaded = load_problem(folder)
    problem, study = loaded.problem, loaded.study
    assert (problem.name, problem.goal, study.autonomy, study.seed) == ("packing", "Pack.", "suggest", 3)
    assert problem.constraints == (
        Constraint(metric="accuracy", sign=">=", bound=0.9),
        Constraint(metric="size", sign="<", bound=1000.0),
    )
    assert problem.limits == Limits(wall_seconds=2.0)
    assert study.budget == Budget(trials=7, wall_ms=1500)
    assert (study.policy.baseline_seeds, study.policy.minimum_isolation) == (4, "restricted")
    assert (study.policy.minimum_gain, study.policy.deterministic) == (0.1, False)
    assert [file.path for file in problem.data] == ["data/a.csv", "data/b.csv"]
    assert problem.data[0].sha256 == sha256_hex(b"1\n")
    assert loaded.baseline.parameters == {"rate": 1.0, "count": 8, "kind": "b", "fast": True}
    assert loaded.baseline.text("pack.py") == PACK
    assert loaded.root == folder.resolve()


def test_support_holds_the_evaluators_files_and_their_digests(folder: Path) -> None:
    loaded = load_problem(folder)
    assert sorted(loaded.support) == ["evaluator.py", "helpers/tool.py"]
    digests = {file.path: file.sha256 for file in loaded.problem.evaluator.files}
    assert digests == {path: sha256_hex(data) for path, data in loaded.support.items()}


def test_surface_hashes_what_is_outside_the_blocks(folder: Path) -> None:
    pack, settings = load_problem(folder).problem.surface.files
    assert (pack.region, pack.fixed) == ("blocks", sha256_hex(fixed_text(PACK).encode()))
    assert (settings.region, settings.fixed) == ("whole", "")


def test_the_file_itself_may_be_named(folder: Path) -> None:
    assert load_problem(folder / "problem.toml") == load_problem(folder)


def test_another_budget_is_the_same_problem_and_another_evaluator_is_not(folder: Path) -> None:
    before = problem_id(load_problem(folder).problem)
    text = TOML.replace("trials = 7", "trials = 900").replace('name = "packing"', 'name = "other"')
    (folder / "problem.toml").write_text(text.replace("study = 3", "study = 4"))
    (folder / "pack.py").write_text(PACK.replace("x = 1", "x = 2"))
    assert problem_id(load_problem(folder).problem) == before
    (folder / "helpers" / "tool.py").write_text("y = 2\n")
    assert problem_id(load_problem(folder).problem) != before


@pytest.mark.parametrize(
    ("path", "text"),
    [("data/a.csv", "3\n"), ("pack.py", PACK.replace("math", "cmath")), ("problem.toml", TOML.replace("= 2", "= 3"))],
)
def test_data_fixed_text_and_limits_decide_the_problem(folder: Path, path: str, text: str) -> None:
    before = problem_id(load_problem(folder).problem)
    (folder / path).write_text(text)
    assert problem_id(load_problem(folder).problem) != before


def test_defaults_are_a_hundred_trials_and_the_folders_name(folder: Path) -> None:
    (folder / "problem.toml").write_text(
        '[objective]\nmetric = "s"\ndirection = "minimize"\n[artifact]\nfiles = ["pack.py"]\n'
    )
    loaded = load_problem(folder)
    assert (loaded.problem.name, loaded.study.budget) == ("problem", Budget(trials=100))
    assert loaded.problem.evaluator.entry == "evaluator.py"
    assert loaded.interpreter == ""


def test_command_evaluators_keep_the_interpreters_place(folder: Path) -> None:
    text = '[objective]\nmetric = "s"\ndirection = "minimize"\n[artifact]\nfiles = ["pack.py"]\n[evaluator]\n'
    text += "kind = 'command'\ncommand = ['{python}', 'pack.py']\nmetric_pattern = '^s: (.*)'\n"
    (folder / "problem.toml").write_text(text)
    evaluator = load_problem(folder).problem.evaluator
    assert evaluator.command == ("{python}", "pack.py")
    assert (evaluator.metric_pattern, evaluator.files) == ("^s: (.*)", ())


def test_a_relative_interpreter_is_kept_as_the_link_that_it_is(folder: Path) -> None:
    real = folder / "real"
    real.write_text("#!/bin/sh\n")
    real.chmod(0o755)
    link = folder / ".venv" / "bin" / "python"
    link.parent.mkdir(parents=True)
    link.symlink_to(real)
    (folder / "problem.toml").write_text(TOML.replace("[budget]", 'interpreter = ".venv/bin/python"\n[budget]'))
    assert load_problem(folder).interpreter == str(folder.resolve() / ".venv" / "bin" / "python")


def test_options_that_the_file_decides_are_named_in_a_warning(folder: Path) -> None:
    loaded = load_problem(folder, LoadOptions(command=("python", "x.py"), direction="minimize"))
    assert loaded.warnings == ("--command, --direction: not used, problem.toml decides",)
    assert structs.replace(loaded, warnings=()) == load_problem(folder)


def test_starter_loads_and_explains_every_key(tmp_path: Path) -> None:
    written = write_template(tmp_path / "new")
    assert [path.name for path in written] == ["problem.toml", "solution.py", "evaluator.py"]
    loaded = load_problem(tmp_path / "new")
    assert detect_layout(tmp_path / "new") == "own"
    assert loaded.problem.surface.files[0].region == "blocks"
    assert loaded.warnings == ()


def test_starters_commented_parameter_is_valid(tmp_path: Path) -> None:
    toml = write_template(tmp_path / "new")[0]
    lines = [
        line.removeprefix("# ")
        if line.startswith(("# [parameters", "# type", "# low", "# high", "# log", "# default"))
        else line
        for line in toml.read_text().splitlines()
    ]
    toml.write_text("\n".join(lines))
    assert load_problem(tmp_path / "new").baseline.parameters == {"scale": 1.0}


def test_starter_refuses_a_folder_with_something_in_it(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(UsageError, match="not empty"):
        write_template(tmp_path)
    with pytest.raises(UsageError, match="cannot write"):
        write_template(tmp_path / "mine.txt")
    assert (tmp_path / "mine.txt").read_text() == "precious"
