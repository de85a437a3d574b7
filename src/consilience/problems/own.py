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
from consilience.core.problem import EvaluatorSpec, FileDigest, Parameter, Problem, Surface
from consilience.core.study import StudySettings
from consilience.problems import checks
from consilience.problems.decode import decode
from consilience.problems.faults import require, show
from consilience.problems.files import (
    digest_bytes,
    digest_files,
    digest_texts,
    expand,
    inside,
    read_bytes,
    read_text,
    read_toml,
)
from consilience.problems.granting import missing_warnings, read_grants
from consilience.problems.holdout import check_interpreter, queries, read_holdout
from consilience.problems.interpreters import find_interpreter
from consilience.problems.options import LoadOptions
from consilience.problems.programs import check_command, read_program
from consilience.problems.schema import DEFAULT_ENTRY, DEFAULT_TRIALS, FILE, EvaluatorTable, ProblemFile
from consilience.problems.sources import defines, parse_python
from consilience.problems.surface import make_surface


def load_own(root: Path, options: LoadOptions = LoadOptions()) -> LoadedProblem:  # noqa: B008 - frozen
    """Read a folder in the own format.

    Raises:
        ProblemError: anything in the folder is wrong.
    """
    root = root.resolve()
    raw = read_toml(root / FILE, FILE)
    table = decode(raw, ProblemFile, FILE)
    checks.check_limits(table.limits, FILE)
    parameters = tuple(checks.read_parameter(name, raw, FILE) for name, raw in table.parameters.items())
    texts = _artifact_texts(root, table, parameters)
    surface, baseline = make_surface(texts, parameters, (FILE, "artifact.files"))
    support = _read_support(root, table.evaluator, wants_holdout=table.holdout is not None)
    evaluator, data = _scoring(root, table, support, texts)
    holdout = read_holdout(root, table, (*digest_bytes(support), *digest_texts(texts), *data, *evaluator.visible))
    grants = read_grants(table.sandbox, FILE)
    interpreter = _interpreter(root, table, options)
    check_interpreter(root, holdout, interpreter)
    return LoadedProblem(
        problem=_problem(root, table, surface, evaluator, data, holdout.commitment),
        root=root,
        baseline=baseline,
        study=_study(table),
        support=support,
        interpreter=interpreter,
        holdout=holdout.files,
        grants=grants,
        stated=_stated(raw),
        warnings=missing_warnings(grants),
    )


def _problem(
    root: Path,
    table: ProblemFile,
    surface: Surface,
    evaluator: EvaluatorSpec,
    data: tuple[FileDigest, ...],
    commitment: str,
) -> Problem:
    return Problem(
        name=table.name or root.name,
        goal=table.goal,
        objective=checks.read_objective(table.objective, FILE),
        surface=surface,
        evaluator=evaluator,
        data=data,
        constraints=tuple(checks.read_constraint(text, (FILE, "constraints")) for text in table.constraints),
        limits=table.limits,
        holdout_commitment=commitment,
        environment=table.sandbox.environment,
    )


def _scoring(
    root: Path, table: ProblemFile, support: dict[str, bytes], texts: dict[str, str]
) -> tuple[EvaluatorSpec, tuple[FileDigest, ...]]:
    """Return evaluator and data, after seeing that no file has two parts to play."""
    _check_disjoint(texts, support, "artifact.files", "the evaluator's files")
    data = _data(root, table, {*texts, *support})
    evaluator = _evaluator(root, table.evaluator, support, texts)
    visible = [file.path for file in evaluator.visible]
    _check_disjoint(visible, [file.path for file in data], "evaluator.visible", "the evaluator's data")
    return evaluator, data


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


def _read_support(root: Path, table: EvaluatorTable, *, wants_holdout: bool) -> dict[str, bytes]:
    paths = set(expand(root, table.support, (FILE, "evaluator.support")))
    where = (FILE, "evaluator.entry")
    if table.kind != "command":
        entry = table.entry or DEFAULT_ENTRY
        text = read_text(inside(root, entry, where), where)
        module = parse_python(text, entry, where)
        for function in ("evaluate", "holdout") if wants_holdout else ("evaluate",):
            expected = f"a module that defines {function}"
            require(defines(module, function), where, found=f"{entry!r} without {function}", expected=expected)
        paths.add(entry)
    elif table.entry:
        raise ProblemError(*where, found=repr(table.entry), expected="no entry where kind is command")
    return {path: read_bytes(root / path, where) for path in sorted(paths)}


def _evaluator(root: Path, table: EvaluatorTable, support: dict[str, bytes], texts: dict[str, str]) -> EvaluatorSpec:
    if table.kind == "program":
        return read_program(root, table, support, texts)
    for field, listed in (("visible", table.visible), ("outputs", table.outputs)):
        expected = f"none where kind is {table.kind}"
        require(not listed, (FILE, f"evaluator.{field}"), found=show(list(listed)), expected=expected)
    if table.kind == "command":
        check_command(table)
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
    return EvaluatorSpec(kind=table.kind, entry=table.entry or DEFAULT_ENTRY, files=digest_bytes(support))


def _data(root: Path, table: ProblemFile, used: set[str]) -> tuple[FileDigest, ...]:
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
    named += ["holdout_queries"] if "queries" in raw.get("holdout", {}) else []
    return (*raw.get("budget", {}), *raw.get("policy", {}), *named)


def _study(table: ProblemFile) -> StudySettings:
    return StudySettings(
        budget=checks.read_budget(table.budget, DEFAULT_TRIALS, FILE),
        seed=table.seeds.study,
        autonomy=table.autonomy,
        policy=structs.replace(
            checks.read_policy(table.policy, table.seeds, FILE),
            bound=table.objective.bound,
            holdout_queries=queries(table),
        ),
    )


def _interpreter(root: Path, table: ProblemFile, options: LoadOptions) -> str:
    if options.interpreter:
        return find_interpreter(Path.cwd(), options.interpreter, ("--interpreter", ""))
    return find_interpreter(root, table.evaluator.interpreter, (FILE, "evaluator.interpreter"))
