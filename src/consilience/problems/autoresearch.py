r"""autoresearch folders, unchanged: a `train.py` that may change, a command, and a metric in what it prints.

Their rules (karpathy/autoresearch, program.md): only train.py changes, prepare.py with the evaluation is
read-only, a run trains for 300 s and counts as failed when it has not ended after 10 minutes, ``val_bpb: x``
in the output is the result, lower is better.

Rules:
    1. The script that the command runs is the artifact (`train.py` by default); all other files are fixed.
    2. The wall limit is their 10 minutes, whatever the script's own training budget is.
    3. Another metric needs its direction said: which way is better is never guessed.

Data flow: folder and options -> command, pattern, support -> LoadedProblem.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from consilience.core.errors import ProblemError
from consilience.core.ports import LoadedProblem
from consilience.core.problem import Direction, EvaluatorSpec, Limits, Objective, Problem
from consilience.core.study import Budget, StudySettings
from consilience.problems.checks import check_metric, check_pattern
from consilience.problems.files import digest_bytes, inside, read_text
from consilience.problems.foreign import CPU_PER_WALL, data_warnings, read_fixed
from consilience.problems.interpreters import find_interpreter, venv_interpreter
from consilience.problems.options import LoadOptions
from consilience.problems.schema import DEFAULT_TRIALS
from consilience.problems.surface import make_surface

SCRIPT = "train.py"
MARKS = ("prepare.py", "program.md")  # either of them beside train.py makes the layout
METRIC = "val_bpb"
PYTHON = "{python}"  # stands for the interpreter that runs candidates
WALL_SECONDS = 600.0  # "kill at 10 min = failure" in their program.md

_MEMORY_MB = 16384  # training frameworks; their limit is the GPU's
_PYTHON_NAME = re.compile(r"python(3(\.\d+)?)?")


def load_autoresearch(root: Path, options: LoadOptions) -> LoadedProblem:
    """Read a folder in autoresearch's layout, or any folder with a command that prints a metric.

    Raises:
        ProblemError: no script to change, or an option that does not fit.
    """
    root = root.resolve()
    command = _command(options.command)
    script = _script(root, command)
    objective = _objective(options)
    text = read_text(inside(root, script, (script, "")), (script, ""))
    surface, baseline = make_surface({script: text}, (), (script, ""))
    fixed = read_fixed(root, {script})
    evaluator = EvaluatorSpec(
        kind="command",
        command=command,
        metric_pattern=_pattern(options, objective.metric),
        files=digest_bytes(fixed.support),
    )
    problem = Problem(
        name=root.name,
        goal=f"{objective.direction.capitalize()} {objective.metric}, printed by {script}.",
        objective=objective,
        surface=surface,
        evaluator=evaluator,
        data=fixed.data,
        limits=Limits(wall_seconds=WALL_SECONDS, cpu_seconds=CPU_PER_WALL * WALL_SECONDS, memory_mb=_MEMORY_MB),
    )
    return LoadedProblem(
        problem=problem,
        root=root,
        baseline=baseline,
        study=StudySettings(budget=Budget(trials=DEFAULT_TRIALS)),
        support=fixed.support,
        interpreter=_interpreter(root, options),
        warnings=(*_command_warnings(options.command, command), *data_warnings(fixed)),
    )


def _command(words: tuple[str, ...]) -> tuple[str, ...]:
    """Return the command with its interpreter replaced by ours; ``uv run`` would need the network."""
    if not words:
        return (PYTHON, SCRIPT)
    if words[:2] == ("uv", "run"):
        words = words[2:] if _PYTHON_NAME.fullmatch("".join(words[2:3])) else (PYTHON, *words[2:])
    if _PYTHON_NAME.fullmatch(words[0]):
        words = (PYTHON, *words[1:])
    return words


def _command_warnings(given: tuple[str, ...], used: tuple[str, ...]) -> tuple[str, ...]:
    if not given or given == used:
        return ()
    return (f"command: {' '.join(given)} is run as {' '.join(used)}",)


def _script(root: Path, command: tuple[str, ...]) -> str:
    for word in command:
        pure = PurePosixPath(word)
        if pure.suffix == ".py" and not pure.is_absolute() and (root / word).is_file():
            return str(pure)
    if (root / SCRIPT).is_file():
        return SCRIPT
    hint = "name a script of the folder in the command, such as: python train.py"
    expected = f"{SCRIPT}, or a .py file of the folder in the command"
    raise ProblemError(str(root), "", found=f"no script in {' '.join(command)!r}", expected=expected, hint=hint)


def _objective(options: LoadOptions) -> Objective:
    metric = options.metric or METRIC
    check_metric(metric, ("--metric", ""))
    if options.metric_pattern and not options.metric:
        raise ProblemError("--metric", "", found="nothing", expected="the name of what --metric-pattern finds")
    if metric != METRIC and options.direction is None:
        raise ProblemError("--direction", "", found="nothing", expected=f"maximize or minimize for {metric}")
    direction: Direction = options.direction or "minimize"
    return Objective(metric=metric, direction=direction)


def _pattern(options: LoadOptions, metric: str) -> str:
    pattern = options.metric_pattern or rf"^{re.escape(metric)}:\s*(\S+)"
    check_pattern(pattern, ("--metric-pattern", ""))
    return pattern


def _interpreter(root: Path, options: LoadOptions) -> str:
    if options.interpreter:
        return find_interpreter(Path.cwd(), options.interpreter, ("--interpreter", ""))
    return venv_interpreter(root)
