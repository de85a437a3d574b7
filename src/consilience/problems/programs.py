"""Evaluator kind `program`: the command, the files that it may read and the files that it hands over.

Rules:
    1. Artifact, visible files and outputs are different files; so are the evaluator's own.
    2. Outputs are data: no archives, which unpack to any size, and no pickles, which run code when read.

Data flow: EvaluatorTable -> `read_program` -> EvaluatorSpec.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from consilience.core.errors import ProblemError
from consilience.core.problem import PARAMETERS_FILE, EvaluatorSpec
from consilience.problems.faults import require, show
from consilience.problems.files import digest_bytes, digest_files, expand
from consilience.problems.schema import DEFAULT_ENTRY, FILE, EvaluatorTable

MAXIMUM_OUTPUTS = 64
_ARCHIVES = (".npz", ".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z")
_PICKLES = (".pkl", ".pickle", ".joblib", ".pt", ".pth")


def check_command(table: EvaluatorTable) -> None:
    """Refuse an empty command.

    Raises:
        ProblemError: there is no word, or an empty first one.
    """
    expected = 'the words of a command, such as ["{python}", "train.py"]'
    has_command = bool(table.command and table.command[0])
    require(has_command, (FILE, "evaluator.command"), found="no command", expected=expected)


def read_program(
    root: Path, table: EvaluatorTable, support: Mapping[str, bytes], texts: Mapping[str, str]
) -> EvaluatorSpec:
    """Return the evaluator of a whole-program problem.

    Raises:
        ProblemError: no command, a pattern, an output that is no plain file, or a file with two parts to play.
    """
    check_command(table)
    where = (FILE, "evaluator.metric_pattern")
    require(not table.metric_pattern, where, found=repr(table.metric_pattern), expected="none where kind is program")
    visible = expand(root, table.visible, (FILE, "evaluator.visible"))
    outputs = tuple(_output(path) for path in table.outputs)
    few = len(outputs) == len(set(outputs)) <= MAXIMUM_OUTPUTS
    found = f"{len(outputs)} outputs, {len(set(outputs))} of them different"
    expected = f"at most {MAXIMUM_OUTPUTS}, each once"
    require(few, (FILE, "evaluator.outputs"), found=found, expected=expected)
    _check_apart(visible, {**dict.fromkeys(texts, "artifact"), **dict.fromkeys(support, "evaluator")}, "visible")
    _check_apart(outputs, {**dict.fromkeys(texts, "artifact"), **dict.fromkeys(visible, "visible files")}, "outputs")
    _check_apart([PARAMETERS_FILE], dict.fromkeys((*texts, *visible, *outputs), "files of the program"), "outputs")
    return EvaluatorSpec(
        kind="program",
        entry=table.entry or DEFAULT_ENTRY,
        command=table.command,
        files=digest_bytes(support),
        visible=digest_files(root, visible, (FILE, "evaluator.visible")),
        outputs=outputs,
    )


def _output(path: str) -> str:
    """Return an output's path in its plain spelling."""
    where, pure = (FILE, "evaluator.outputs"), PurePosixPath(path)
    plain = path and "\\" not in path and "\0" not in path and not pure.is_absolute() and ".." not in pure.parts
    expected = "a relative path with forward slashes"
    require(bool(plain) and str(pure) != ".", where, found=show(path), expected=expected)
    hint = "write JSON, text, or a NumPy array with numpy.save (.npy)"
    for suffixes, what in ((_ARCHIVES, "an archive"), (_PICKLES, "a pickle")):
        if pure.suffix.lower() in suffixes:
            raise ProblemError(*where, found=f"{path!r}, {what}", expected="plain data", hint=hint)
    return str(pure)


def _check_apart(paths: Iterable[str], others: Mapping[str, str], key: str) -> None:
    for path in paths:
        if path in others:
            found = f"{path!r}, also among the {others[path]}"
            raise ProblemError(FILE, f"evaluator.{key}", found=found, expected="another file")
