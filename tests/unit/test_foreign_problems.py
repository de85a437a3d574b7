from __future__ import annotations

from pathlib import Path

import pytest

from consilience.core.errors import ProblemError
from consilience.core.problem import problem_id
from consilience.core.study import Budget
from consilience.problems.load import LoadOptions, detect_layout, load_problem
from consilience.problems.openevolve import load_openevolve

LAYOUTS = Path(__file__).parents[1] / "layouts"
EVALUATE = "def evaluate(path):\n    return {'combined_score': 1.0}\n"
STAGE = "def evaluate_stage1(path):\n    return {'combined_score': 1.0}\n"


def folder(root: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def openevolve(root: Path, config: str = "", **files: str) -> Path:
    given = {"initial_program.py": "x = 1\n", "evaluator.py": EVALUATE, **files}
    return folder(root, given | ({"config.yaml": config} if config else {}))


@pytest.mark.parametrize(
    ("name", "trials", "seed", "wall", "thresholds", "excluded"),
    [
        ("function_minimization", 120, 7, 30.0, (0.5, 0.75), ("complexity", "diversity")),
        ("circle_packing", 60, 42, 30.0, (), ("complexity", "diversity")),
        ("signal_processing", 80, 42, 20.0, (), ("complexity", "correlation")),
    ],
)
def test_openevolve_layouts_are_read_as_they_are(
    name: str, trials: int, seed: int, wall: float, thresholds: tuple[float, ...], excluded: tuple[str, ...]
) -> None:
    loaded = load_problem(LAYOUTS / name)
    problem = loaded.problem
    assert (problem.name, problem.evaluator.kind, problem.evaluator.entry) == (name, "openevolve", "evaluator.py")
    assert (loaded.study.budget, loaded.study.seed) == (Budget(trials=trials), seed)
    assert problem.limits.wall_seconds == wall
    assert problem.evaluator.cascade_thresholds == thresholds
    assert problem.evaluator.excluded_metrics == excluded
    assert (problem.objective.metric, problem.objective.direction) == ("combined_score", "maximize")
    assert [(file.path, file.region) for file in problem.surface.files] == [("initial_program.py", "blocks")]
    assert list(loaded.support) == ["evaluator.py"]


def test_warnings_name_each_unused_group_and_unknown_key_once() -> None:
    warnings = load_problem(LAYOUTS / "signal_processing").warnings
    assert warnings == (
        "config.yaml: not used here: log_level",
        "config.yaml: unknown key early_stop_patience is ignored; did you mean 'early_stopping_patience'?",
        "config.yaml: not used here: database.feature_bins",
        "config.yaml: not used here: llm.api_base, llm.primary_model",
    )
    assert load_problem(LAYOUTS / "signal_processing").problem.goal.startswith("You improve causal filters.\nLow lag")


def test_defaults_are_openevolves_but_for_the_budget(tmp_path: Path) -> None:
    loaded = load_problem(openevolve(tmp_path, **{"evaluator.py": EVALUATE + STAGE}))
    assert (loaded.study.budget, loaded.study.seed) == (Budget(trials=100), 42)
    assert loaded.problem.limits.wall_seconds == 300.0
    assert loaded.problem.evaluator.cascade_thresholds == (0.5, 0.75, 0.9)
    assert loaded.problem.surface.files[0].region == "whole"


def test_the_cascade_needs_a_first_stage_and_no_veto(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    plain = load_problem(openevolve(tmp_path / "one"))
    assert plain.problem.evaluator.cascade_thresholds == ()
    config = "evaluator:\n  cascade_evaluation: false\n"
    (tmp_path / "two").mkdir()
    vetoed = load_problem(openevolve(tmp_path / "two", config, **{"evaluator.py": EVALUATE + STAGE}))
    assert vetoed.problem.evaluator.cascade_thresholds == ()


def test_null_means_the_default(tmp_path: Path) -> None:
    loaded = load_problem(openevolve(tmp_path, "random_seed: null\nmax_iterations:\nevaluator:\n"))
    assert (loaded.study.seed, loaded.study.budget.trials) == (42, 100)


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ("max_iterations: 0", "max_iterations"),
        ("max_iterations: many", "max_iterations"),
        ("random_seed: -1", "random_seed"),
        ("evaluator: {timeout: 0}", "evaluator.timeout"),
        ("evaluator: {timeout: .nan}", "evaluator.timeout"),
        ("evaluator: {cascade_evaluation: maybe}", "evaluator.cascade_evaluation"),
        ("evaluator: {cascade_thresholds: []}", "evaluator.cascade_thresholds"),
        ("evaluator: {cascade_thresholds: [high]}", "evaluator.cascade_thresholds"),
        ("evaluator: 3", "evaluator"),
        ("llm: [a]", "llm"),
        ("database: {feature_dimensions: score}", "database.feature_dimensions"),
        ("prompt: {system_message: 3}", "prompt.system_message"),
        ("- a list", ""),
        ("key: [unclosed", ""),
    ],
)
def test_a_wrong_config_is_named(tmp_path: Path, config: str, key: str) -> None:
    with pytest.raises(ProblemError) as caught:
        load_problem(openevolve(tmp_path, config))
    assert (caught.value.file, caught.value.key) == ("config.yaml", key)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"evaluator.py": "x = 1\n"}, "evaluator.py: found no function evaluate"),
        ({"evaluator.py": "def (\n"}, "syntax error in line 1"),
        ({"initial_program.py": "x = (\n"}, "initial_program.py: found .* syntax error"),
        ({"initial_program.py": "# EVOLVE-BLOCK-END\n"}, "balanced markers"),
        ({"initial_program.rs": "fn main() {}"}, "initial_program.py, initial_program.rs"),
    ],
)
def test_wrong_openevolve_files_are_named(tmp_path: Path, files: dict[str, str], words: str) -> None:
    with pytest.raises(ProblemError, match=words):
        load_problem(openevolve(tmp_path, **files))


def test_programs_of_other_languages_are_not_parsed(tmp_path: Path) -> None:
    files = {"initial_program.rs": "// EVOLVE-BLOCK-START\nfn f() {}\n// EVOLVE-BLOCK-END\n", "evaluator.py": EVALUATE}
    assert load_problem(folder(tmp_path, files)).problem.surface.files[0].region == "blocks"


def test_outputs_prose_and_hidden_files_are_no_part_of_the_problem(tmp_path: Path) -> None:
    root = openevolve(tmp_path, "max_iterations: 5\n", **{"helper.py": "y = 1\n", "tables/a.json": "{}"})
    before = load_problem(root)
    assert sorted(before.support) == ["evaluator.py", "helper.py", "tables/a.json"]
    noise = ("openevolve_output/best.py", "__pycache__/x.pyc", ".git/HEAD", ".consilience/j.db", "README.md", "run.log")
    folder(root, dict.fromkeys(noise, "noise"))
    (root / "config.yaml").write_text("max_iterations: 9\n")
    assert problem_id(load_problem(root).problem) == problem_id(before.problem)
    (root / "helper.py").write_text("y = 2\n")
    assert problem_id(load_problem(root).problem) != problem_id(before.problem)


def test_a_config_that_the_evaluator_reads_is_support(tmp_path: Path) -> None:
    evaluator = EVALUATE + "CONFIG = open('config.yaml').read()\n"
    assert "config.yaml" in load_problem(openevolve(tmp_path, "a: 1\n", **{"evaluator.py": evaluator})).support


def test_large_files_are_data_and_links_outside_are_left_out(tmp_path: Path) -> None:
    root = openevolve(tmp_path)
    (root / "big.bin").write_bytes(bytes(1_100_000))
    (root / "link.txt").symlink_to("/etc/hostname")
    loaded = load_problem(root)
    assert [file.path for file in loaded.problem.data] == ["big.bin"]
    assert list(loaded.support) == ["evaluator.py"]
    assert loaded.warnings == ("big.bin: larger than 1 MiB, taken for data",)


def test_two_files_may_be_named_instead_of_a_folder(tmp_path: Path) -> None:
    program, evaluator = LAYOUTS / "circle_packing" / "initial_program.py", tmp_path / "score_it.py"
    evaluator.write_text(EVALUATE)
    loaded = load_openevolve(program, evaluator, LAYOUTS / "circle_packing" / "config.yaml")
    assert (loaded.problem.evaluator.entry, loaded.study.budget.trials) == ("score_it.py", 60)
    assert loaded.root == tmp_path.resolve()
    with pytest.raises(ProblemError, match=r"absent\.py"):
        load_openevolve(tmp_path / "absent.py", evaluator)


def test_a_program_may_be_named_for_its_folder() -> None:
    assert load_problem(LAYOUTS / "circle_packing" / "initial_program.py").problem.name == "circle_packing"


def test_autoresearch_layout_is_read_as_it_is() -> None:
    loaded = load_problem(LAYOUTS / "autoresearch")
    problem = loaded.problem
    assert problem.evaluator.command == ("{python}", "train.py")
    assert problem.evaluator.metric_pattern == r"^val_bpb:\s*(\S+)"
    assert (problem.objective.metric, problem.objective.direction) == ("val_bpb", "minimize")
    assert (problem.limits.wall_seconds, loaded.study.budget) == (600.0, Budget(trials=100))
    assert [(file.path, file.region) for file in problem.surface.files] == [("train.py", "whole")]
    assert list(loaded.support) == ["prepare.py"]
    assert loaded.warnings == ()


@pytest.mark.parametrize(
    ("given", "used"),
    [
        (("python", "train.py"), ("{python}", "train.py")),
        (("python3.12", "train.py", "--fast"), ("{python}", "train.py", "--fast")),
        (("uv", "run", "train.py"), ("{python}", "train.py")),
        (("uv", "run", "python", "train.py"), ("{python}", "train.py")),
        (("make", "train"), ("make", "train")),
    ],
)
def test_the_commands_python_is_ours(tmp_path: Path, given: tuple[str, ...], used: tuple[str, ...]) -> None:
    root = folder(tmp_path, {"train.py": "x = 1\n"})
    loaded = load_problem(root, LoadOptions(command=given))
    assert loaded.problem.evaluator.command == used
    assert bool(loaded.warnings) == (given != used)


def test_any_folder_with_a_command_is_a_problem(tmp_path: Path) -> None:
    root = folder(tmp_path, {"solve.py": "x = 1\n", "other.py": "", "results.tsv": "x", "run.log": "x", ".env": "x"})
    options = LoadOptions(command=("{python}", "solve.py"), metric="speed", direction="maximize")
    loaded = load_problem(root, options)
    assert [file.path for file in loaded.problem.surface.files] == ["solve.py"]
    assert loaded.problem.evaluator.metric_pattern == r"^speed:\s*(\S+)"
    assert list(loaded.support) == ["other.py"]
    pattern = LoadOptions(command=("{python}", "solve.py"), metric="v", metric_pattern="v=(.*)", direction="minimize")
    assert load_problem(root, pattern).problem.evaluator.metric_pattern == "v=(.*)"


def test_the_repositorys_own_environment_runs_the_script(tmp_path: Path) -> None:
    root = folder(tmp_path, {"train.py": "", "program.md": "", ".venv/bin/python": "#!/bin/sh\n"})
    (root / ".venv/bin/python").chmod(0o755)
    assert detect_layout(root) == "autoresearch"
    assert load_problem(root).interpreter == str(root.resolve() / ".venv/bin/python")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (LoadOptions(command=("make",)), "no script in 'make'"),
        (LoadOptions(command=("{python}", "a.py"), metric="x"), "--direction: found nothing"),
        (LoadOptions(command=("{python}", "a.py"), metric_pattern="(x)"), "--metric: found nothing"),
        (LoadOptions(command=("{python}", "a.py"), metric="x y", direction="minimize"), "--metric: found a string"),
        (
            LoadOptions(command=("{python}", "a.py"), metric="x", metric_pattern="x", direction="minimize"),
            "--metric-pattern: .* 0 groups",
        ),
    ],
)
def test_options_that_do_not_fit_are_named(tmp_path: Path, options: LoadOptions, words: str) -> None:
    with pytest.raises(ProblemError, match=words):
        load_problem(folder(tmp_path, {"a.py": ""}), options)
