"""OpenEvolve folders, unchanged: `initial_program.*`, `evaluator.py` and perhaps `config.yaml`.

Rules:
    1. The initial program is the artifact; where it has EVOLVE-BLOCK markers only they may change.
    2. The score is `combined_score`, higher is better; where an evaluator returns none, the mean of its numeric
       metrics without booleans and feature dimensions (their rule; the executor applies it).
    3. The cascade is on unless the config turns it off, and only where the evaluator defines `evaluate_stage1`.
    4. The config decides no score beyond what is read of it, so it is no support file unless the evaluator names it.

Data flow: folder -> config, artifact, support -> LoadedProblem.
"""

from __future__ import annotations

import ast
from pathlib import Path

from consilience.core.errors import ProblemError
from consilience.core.ports import LoadedProblem
from consilience.core.problem import EvaluatorSpec, Limits, Objective, Problem
from consilience.core.study import Budget, StudySettings
from consilience.problems.files import digest_bytes, read_text
from consilience.problems.foreign import CPU_PER_WALL, data_warnings, read_fixed
from consilience.problems.interpreters import find_interpreter
from consilience.problems.openevolve_config import OpenEvolveConfig, read_config
from consilience.problems.options import LoadOptions
from consilience.problems.sources import defines, parse_python
from consilience.problems.surface import make_surface

PROGRAM = "initial_program"
EVALUATOR = "evaluator.py"
CONFIGS = ("config.yaml", "config.yml")
METRIC = "combined_score"

_MEMORY_MB = 4096  # NumPy and SciPy with their threads' buffers; their own limit is not implemented


def find_program(root: Path) -> Path | None:
    """Return the folder's initial program, or None.

    Raises:
        ProblemError: there are several.
    """
    found = sorted(path for path in root.glob(f"{PROGRAM}.*") if path.is_file() and path.suffix != ".pyc")
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise ProblemError(str(root), "", found=names, expected=f"one {PROGRAM}.*", hint="move the others away")
    return found[0] if found else None


def load_openevolve_folder(root: Path, options: LoadOptions) -> LoadedProblem:
    """Read a folder in OpenEvolve's layout.

    Raises:
        ProblemError: anything in it is wrong.
    """
    program = find_program(root)
    if program is None:
        raise ProblemError(str(root), "", found=f"no {PROGRAM}.*", expected=f"{PROGRAM}.* with {EVALUATOR}")
    config = next((root / name for name in CONFIGS if (root / name).is_file()), None)
    return load_openevolve(program, root / EVALUATOR, config, options)


def load_openevolve(
    program: Path,
    evaluator: Path,
    config: Path | None = None,
    options: LoadOptions = LoadOptions(),  # noqa: B008 - frozen
) -> LoadedProblem:
    """Read an initial program and an evaluator, as `openevolve-run` takes them.

    The evaluator's folder is the problem's; what else lies in it is fixed.

    Raises:
        ProblemError: a file is missing or wrong.
    """
    root = evaluator.resolve().parent
    settings = read_config(config) if config else OpenEvolveConfig()
    text = read_text(program, (program.name, ""))
    surface, baseline = make_surface({program.name: text}, (), (program.name, ""))
    source = read_text(evaluator, (evaluator.name, ""))
    thresholds = _thresholds(source, evaluator.name, settings)
    fixed = read_fixed(root, {program.name, *_left_out(config, source)})
    problem = Problem(
        name=root.name,
        goal=settings.goal or f"Raise {METRIC} of {program.name}.",
        objective=Objective(metric=METRIC, direction="maximize"),
        surface=surface,
        evaluator=EvaluatorSpec(
            kind="openevolve",
            entry=evaluator.name,
            cascade_thresholds=thresholds,
            excluded_metrics=settings.feature_dimensions,
            files=digest_bytes(fixed.support),
        ),
        data=fixed.data,
        limits=_limits(settings),
    )
    return LoadedProblem(
        problem=problem,
        root=root,
        baseline=baseline,
        study=StudySettings(budget=Budget(trials=settings.trials), seed=settings.seed),
        support=fixed.support,
        interpreter=find_interpreter(Path.cwd(), options.interpreter, ("--interpreter", "")),
        stated=("trials", "seed") if config else (),
        warnings=(*settings.warnings, *data_warnings(fixed)),
    )


def _thresholds(source: str, name: str, settings: OpenEvolveConfig) -> tuple[float, ...]:
    """Return the cascade's thresholds, or none where `evaluate` alone is to be called."""
    where = (name, "")
    tree: ast.Module = parse_python(source, name, where)
    if not defines(tree, "evaluate"):
        raise ProblemError(*where, found="no function evaluate", expected="evaluate(program_path)")
    return settings.thresholds if settings.cascade and defines(tree, "evaluate_stage1") else ()


def _left_out(config: Path | None, evaluator_source: str) -> tuple[str, ...]:
    used = {*CONFIGS, *((config.name,) if config else ())}
    return tuple(sorted(name for name in used if name not in evaluator_source))


def _limits(settings: OpenEvolveConfig) -> Limits:
    wall = settings.timeout
    return Limits(wall_seconds=wall, cpu_seconds=CPU_PER_WALL * wall, memory_mb=_MEMORY_MB)
