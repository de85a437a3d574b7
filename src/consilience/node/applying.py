"""Taking the winner home: into the working tree, or as a commit on a new branch.

Rules:
    1. Uncommitted or unknown work is never written over; the refusal names the file.
    2. A branch is made with git's plumbing, so the working tree and index stay as they are.
    3. What was applied becomes an event.

Data flow: StudyReader + trial -> files or commit -> ArtifactApplied.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
import tomllib
from functools import partial
from pathlib import Path

from msgspec import Struct

from consilience.core.artifact import Artifact
from consilience.core.errors import ApplyError
from consilience.core.problem import ParameterValue
from consilience.journal.views.trials import TrialRow
from consilience.node.durable import draft_of
from consilience.node.reading import StudyReader

_PROBLEM_FILE = "problem.toml"
_BY_HAND = "set them by hand: `consilience diff` shows the values"
_LINK_MODE = "120000"


class Applied(Struct, frozen=True, kw_only=True):
    """What was written. `commit` is "" for the working tree."""

    trial: int
    candidate: str
    proposed: str
    files: tuple[str, ...]
    target: str
    commit: str


def apply(reader: StudyReader, root: Path, row: TrialRow, branch: str) -> Applied:
    """Write a trial's candidate to the working tree, or to a new branch.

    Raises:
        ApplyError: the candidate was excised, work would be lost, or git refuses.
    """
    excision = reader.excisions.of(row.proposed_event)
    if excision is not None:
        hint = f"take another, or `consilience excise --withdraw {excision.event[:16]}`"
        raise ApplyError(f"trial {row.number} was excised: {excision.reason}", hint=hint)
    texts = _texts(reader.artifact(row.candidate), root)
    if branch:
        commit = _commit(root, branch, texts, f"{reader.problem.name}: trial {row.number}\n\n{row.change}")
        target = branch
    else:
        _check_recoverable(reader, root, texts)
        _write(root, texts)
        commit, target = "", "working tree"
    return Applied(
        trial=row.number,
        candidate=row.candidate,
        proposed=row.proposed_event,
        files=tuple(texts),
        target=target,
        commit=commit,
    )


def _texts(artifact: Artifact, root: Path) -> dict[str, str]:
    texts = {file.path: file.text for file in artifact.files}
    if artifact.parameters:
        path = root / _PROBLEM_FILE
        if not path.exists():
            raise ApplyError(f"{path} is not there, and the candidate's parameters belong in it")
        texts[_PROBLEM_FILE] = set_defaults(_read(path), artifact.parameters)
    return texts


def set_defaults(text: str, values: dict[str, ParameterValue]) -> str:
    """Return a problem.toml in which each parameter's `default` is its value; all else stays as it is.

    Raises:
        ApplyError: the file is written in a way that this cannot change safely.
    """
    for name, value in values.items():
        header = rf'^[ \t]*\[parameters\.(?:{re.escape(name)}|"{re.escape(name)}")\]'
        place = re.compile(rf"({header}.*?^[ \t]*default\s*=[ \t]*)[^\n#]*", re.MULTILINE | re.DOTALL)
        text = place.sub(partial(_with_value, _toml(value)), text, count=1)
    _check_defaults(text, values)
    return text


def _check_defaults(text: str, values: dict[str, ParameterValue]) -> None:
    """Read the changed file back: every default, and nothing but defaults, is what was meant."""
    try:
        tables = tomllib.loads(text)["parameters"]
        wrong = [name for name, value in values.items() if tables[name]["default"] != value]
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise ApplyError(f"cannot set the defaults in {_PROBLEM_FILE}: {error}", hint=_BY_HAND) from error
    if wrong:
        raise ApplyError(f"cannot set the default of {wrong[0]} in {_PROBLEM_FILE}", hint=_BY_HAND)


def _with_value(shown: str, match: re.Match[str]) -> str:
    return match[1] + shown


def _toml(value: ParameterValue) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value) if isinstance(value, str) else repr(value)  # TOML's basic strings escape as JSON's do


def _check_recoverable(reader: StudyReader, root: Path, texts: dict[str, str]) -> None:
    """Refuse to write over what neither git nor the journal could give back.

    Of problem.toml only default values change, and the journal has the old ones.
    """
    for path, text in texts.items():
        current = _read(root / path)
        if path == _PROBLEM_FILE or current in ("", text):
            continue
        if not _is_committed(root, path) and not _is_known(reader, path, current):
            raise ApplyError(
                f"{root / path} has changes that are in no commit and no candidate",
                hint="commit or move them, or use --branch NAME",
            )


def _read(path: Path) -> str:
    """Return a file's text with its line endings as they are; "" when there is none."""
    return path.read_bytes().decode(errors="surrogateescape") if path.exists() else ""


def _is_committed(root: Path, path: str) -> bool:
    """Tell whether HEAD has these very bytes; `git status` would believe flags that hide a change."""
    here = _git(root, ("hash-object", "--no-filters", "--", path))
    there = _git(root, ("rev-parse", "--verify", "--quiet", f"HEAD:./{path}"))
    return here.returncode == 0 and there.returncode == 0 and here.stdout == there.stdout


def _is_known(reader: StudyReader, path: str, text: str) -> bool:
    names = {candidate.candidate for candidate in reader.trials.candidates.values()}
    return any(file.path == path and file.text == text for name in names for file in reader.artifact(name).files)


def _write(root: Path, texts: dict[str, str]) -> None:
    for path, text in texts.items():
        target = (root / path).resolve()  # through a link, to the file that it names
        temporary = draft_of(target)
        try:
            with temporary.open("xb") as file:
                file.write(text.encode(errors="surrogateescape"))
            if target.exists():
                temporary.chmod(target.stat().st_mode)
            temporary.replace(target)
        except OSError as error:
            raise ApplyError(f"cannot write {root / path}: {error}", hint="make the folder writable") from error


def _commit(root: Path, branch: str, texts: dict[str, str], message: str) -> str:
    """Commit the texts on a new branch from HEAD, through an index of its own."""
    reference = f"refs/heads/{branch}"
    if _git(root, ("check-ref-format", reference)).returncode:
        raise ApplyError(f"{branch!r} is no branch name", hint="use letters, digits, - and /")
    if _git(root, ("rev-parse", "--verify", "--quiet", reference)).returncode == 0:
        raise ApplyError(f"branch {branch!r} exists already", hint="name another, or delete it first")
    head = _must(root, ("rev-parse", "--verify", "HEAD"))
    prefix = _must(root, ("rev-parse", "--show-prefix"))
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        _must(root, ("read-tree", head), index)
        for path, text in texts.items():
            blob = _must(root, ("hash-object", "-w", "--stdin"), index, text)
            mode = _git(root, ("ls-tree", "HEAD", "--", path)).stdout.partition(" ")[0] or "100644"
            if mode == _LINK_MODE:
                raise ApplyError(f"{path} is a symbolic link in HEAD", hint="apply to the working tree instead")
            _must(root, ("update-index", "--add", "--cacheinfo", f"{mode},{blob},{prefix}{path}"), index)
        tree = _must(root, ("write-tree",), index)
    commit = _must(root, ("commit-tree", tree, "-p", head, "-m", message))
    _must(root, ("update-ref", reference, commit, ""))
    return commit


def _must(root: Path, arguments: tuple[str, ...], environment: dict[str, str] | None = None, text: str = "") -> str:
    done = _git(root, arguments, environment, text)
    if done.returncode:
        words = done.stderr.strip().splitlines()
        raise ApplyError(
            f"git {arguments[0]}: {words[-1] if words else 'failed'}",
            hint="a branch needs a git repository with a commit, user.name and user.email",
        )
    return done.stdout.strip()


def _git(
    root: Path, arguments: tuple[str, ...], environment: dict[str, str] | None = None, text: str = ""
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603  fixed program, arguments never pass a shell
            ["git", "-C", str(root), *arguments],  # noqa: S607  the user's own git
            env={**os.environ, **(environment or {})},
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        return subprocess.CompletedProcess(arguments, 127, "", "git is not installed")
