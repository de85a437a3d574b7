"""The own format: a folder with `problem.toml`, an artifact and an evaluator.

Rules:
    1. What is wrong is a ProblemError that names file, key, what was found and what was expected.
    2. Artifact, evaluator and data are disjoint: nothing that scores may change.
    3. Files are read once; a run uses these bytes, whatever happens to the folder meanwhile.

Data flow: problem.toml -> `schema` (shape) -> `checks` (meaning) -> LoadedProblem.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from msgspec import structs

from consilience.core.errors import ProblemError
from consilience.core.ports import LoadedProblem
from consilience.core.problem import EvaluatorSpec, Parameter, Problem
from consilience.core.study import StudySettings
from consilience.problems import checks
from consilience.problems.decode import decode
from consilience.problems.faults import require
from consilience.problems.files import digest_bytes, digest_files, expand, inside, read_bytes, read_text, read_toml
from consilience.problems.granting import missing_warnings, read_grants
from consilience.problems.interpreters import find_interpreter
from consilience.problems.options import LoadOptions
from consilience.problems.schema import DEFAULT_TRIALS, EvaluatorTable, ProblemFile
from consilience.problems.sources import defines, parse_python
from consilience.problems.surface import make_surface

FILE = "problem.toml"
_DEFAULT_ENTRY = "evaluator.py"


def load_own(root: Path, options: LoadOptions = LoadOptions()) -> LoadedProblem:  # noqa: B008 - frozen
    """Read a folder in the own format.

    Raises:
        ProblemError: anything in the folder is wrong.
    """
    root = root.resolve()
    raw = read_toml(root / FILE, FILE)
    table = decode(raw, ProblemFile, FILE)
    objective = checks.read_objective(table.objective, FILE)
    checks.check_limits(table.limits, FILE)
    parameters = tuple(checks.read_parameter(name, raw, FILE) for name, raw in table.parameters.items())
    texts = _artifact_texts(root, table, parameters)
    surface, baseline = make_surface(texts, parameters, (FILE, "artifact.files"))
    support = _read_support(root, table.evaluator)
    _check_disjoint(texts, support, "artifact.files", "the evaluator's files")
    grants = read_grants(table.sandbox, FILE)
    problem = Problem(
        name=table.name or root.name,
        goal=table.goal,
        objective=objective,
        surface=surface,
        evaluator=_evaluator(table.evaluator, support, texts),
        data=_data(root, table, {*texts, *support}),
        constraints=tuple(checks.read_constraint(text, (FILE, "constraints")) for text in table.constraints),
        limits=table.limits,
        environment=table.sandbox.environment,
    )
    return LoadedProblem(
        problem=problem,
        root=root,
        baseline=baseline,
        study=_study(table),
        support=support,
        interpreter=_interpreter(root, table, options),
        grants=grants,
        stated=_stated(raw),
        warnings=missing_warnings(grants),
    )


def _artifact_texts(root: Path, table: ProblemFile, parameters: tuple[Parameter, ...]) -> dict[str, str]:
    where = (FILE, "artifact.files")
    paths = table.artifact.files
    if not paths and not parameters:
        hint = 'add files = ["..."] under [artifact], or a [parameters.NAME] table'
        raise ProblemError(*where, found="nothing that may change", expected="a file or a parameter", hint=hint)
    spelled = {str(PurePosixPath(path)) for path in paths}
    require(len(spelled) == len(paths), where, found="a file named twice", expected="each file once")
    require(FILE not in spelled, where, found=FILE, expected="files that a candidate may change")
    return {path: read_text(inside(root, path, where), where) for path in paths}


def _read_support(root: Path, table: EvaluatorTable) -> dict[str, bytes]:
    paths = set(expand(root, table.support, (FILE, "evaluator.support")))
    where = (FILE, "evaluator.entry")
    if table.kind != "command":
        entry = table.entry or _DEFAULT_ENTRY
        text = read_text(inside(root, entry, where), where)
        has_evaluate = defines(parse_python(text, entry, where), "evaluate")
        require(has_evaluate, where, found=f"{entry!r} without evaluate", expected="a module that defines evaluate")
        paths.add(entry)
    elif table.entry:
        raise ProblemError(*where, found=repr(table.entry), expected="no entry where kind is command")
    return {path: read_bytes(root / path, where) for path in sorted(paths)}


def _evaluator(table: EvaluatorTable, support: dict[str, bytes], texts: dict[str, str]) -> EvaluatorSpec:
    if table.kind == "command":
        where = (FILE, "evaluator.command")
        expected = 'the words of a command, such as ["{python}", "train.py"]'
        require(bool(table.command and table.command[0]), where, found="no command", expected=expected)
        checks.check_pattern(table.metric_pattern, (FILE, "evaluator.metric_pattern"))
        return EvaluatorSpec(
            kind="command", command=table.command, metric_pattern=table.metric_pattern, files=digest_bytes(support)
        )
    for field, value in (("command", table.command), ("metric_pattern", table.metric_pattern)):
        expected = f"none where kind is {table.kind}"
        require(not value, (FILE, f"evaluator.{field}"), found=repr(value), expected=expected)
    single = table.kind == "function" or len(texts) == 1
    expected = "exactly one file where kind is openevolve"
    require(single, (FILE, "artifact.files"), found=f"{len(texts)} files", expected=expected)
    return EvaluatorSpec(kind=table.kind, entry=table.entry or _DEFAULT_ENTRY, files=digest_bytes(support))


def _data(root: Path, table: ProblemFile, used: set[str]) -> tuple[Any, ...]:
    where = (FILE, "data")
    paths = expand(root, table.data, where)
    _check_disjoint(paths, used, "data", "artifact or evaluator")
    return digest_files(root, paths, where)


def _check_disjoint(left: Iterable[str], right: Iterable[str], key: str, other: str) -> None:
    both = sorted(set(left) & set(right))
    if both:
        hint = "what is scored and what scores must be different files"
        raise ProblemError(FILE, key, found=f"{both[0]!r}, also among {other}", expected="another file", hint=hint)


def _stated(raw: dict[str, Any]) -> tuple[str, ...]:
    seeds = {"study": "seed", "baseline": "baseline_seeds"}
    named = [seeds[key] for key in raw.get("seeds", {})]
    named += ["autonomy"] if "autonomy" in raw else []
    named += ["bound"] if "bound" in raw.get("objective", {}) else []
    return (*raw.get("budget", {}), *raw.get("policy", {}), *named)


def _study(table: ProblemFile) -> StudySettings:
    return StudySettings(
        budget=checks.read_budget(table.budget, DEFAULT_TRIALS, FILE),
        seed=table.seeds.study,
        autonomy=table.autonomy,
        policy=structs.replace(checks.read_policy(table.policy, table.seeds, FILE), bound=table.objective.bound),
    )


def _interpreter(root: Path, table: ProblemFile, options: LoadOptions) -> str:
    if options.interpreter:
        return find_interpreter(Path.cwd(), options.interpreter, ("--interpreter", ""))
    return find_interpreter(root, table.evaluator.interpreter, (FILE, "evaluator.interpreter"))
