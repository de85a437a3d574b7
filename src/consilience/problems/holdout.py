"""The holdout: files that only a holdout trial's evaluator gets, and a commitment to them in the problem's id.

Rules:
    1. No holdout file, and no copy of one, is among what a candidate or the everyday evaluator can read.
    2. The commitment hashes a salt with the files' digests: labels can be few enough to guess, a salt cannot. The
       salt is made once, kept beside the problem, and goes wherever the holdout goes and nowhere else.
    3. Holdout files are held in memory, not read again.

Data flow: [holdout] -> `read_holdout` -> Holdout -> LoadedProblem.holdout, Problem.holdout_commitment.
"""

from __future__ import annotations

import os
import re
import secrets
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from consilience.core.canonical import hash_value
from consilience.core.errors import ProblemError
from consilience.core.problem import FileDigest
from consilience.core.study import Policy
from consilience.problems.faults import require
from consilience.problems.files import MEBIBYTE, digest_bytes, expand, read_bytes, read_text
from consilience.problems.schema import FILE, ProblemFile

SALT = ".holdout-salt"
SALT_BYTES = 32  # as many as the hash has
TOTAL_LIMIT = 256 * MEBIBYTE  # of all holdout files, which are held in memory
MOST_QUERIES = 1_000_000
_KINDS = ("function", "program")  # those whose evaluator is apart from the candidate
_SALT_TEXT = re.compile(rf"[0-9a-f]{{{2 * SALT_BYTES}}}\n?")


class Holdout(Struct, frozen=True, kw_only=True):
    """Bytes by path, and the commitment to them; nothing and "" where a problem has no holdout."""

    files: dict[str, bytes] = {}
    commitment: str = ""


def read_holdout(root: Path, table: ProblemFile, others: tuple[FileDigest, ...]) -> Holdout:
    """Read the holdout's files; make the salt if there is none yet.

    Args:
        root: the problem's folder.
        table: the whole `problem.toml`.
        others: every other file of the problem.

    Raises:
        ProblemError: no files, files that something else can read too, another kind of evaluator, a bad salt.
    """
    if table.holdout is None:
        return Holdout()
    where = (FILE, "holdout.files")
    kind = table.evaluator.kind
    require(kind in _KINDS, (FILE, "holdout"), found=f"a holdout where kind is {kind}", expected="function or program")
    require(bool(table.holdout.files), where, found="no files", expected='files such as ["holdout.csv"]')
    paths = expand(root, table.holdout.files, where)
    named = {*paths, *(file.path for file in others)}
    require(SALT not in named, where, found=f"{SALT!r} among the problem's files", expected="the salt to stay out")
    total = sum((root / path).stat().st_size for path in paths)
    fits = total <= TOTAL_LIMIT
    require(fits, where, found=f"{total} bytes", expected=f"at most {TOTAL_LIMIT // MEBIBYTE} MiB")
    files = {path: read_bytes(root / path, where) for path in paths}
    digests = digest_bytes(files)
    _check_hidden(digests, files, others)
    return Holdout(files=files, commitment=hash_value({"salt": _salt(root), "files": digests}))


def check_interpreter(root: Path, holdout: Holdout, interpreter: str) -> None:
    """See that the holdout is not in the interpreter's own folder, which candidates may read.

    Args:
        root: the problem's folder.
        holdout: its holdout.
        interpreter: path of the Python that runs candidates; "" is the one that runs us.

    Raises:
        ProblemError: it is.
    """
    prefix = (Path(interpreter).parent.parent if interpreter else Path(sys.prefix)).resolve()
    for path in holdout.files:
        is_open = (root / path).resolve().is_relative_to(prefix)
        found = f"{path!r} in {prefix}, the interpreter's folder, which candidates may read"
        require(not is_open, (FILE, "holdout.files"), found=found, expected="files elsewhere")


def queries(table: ProblemFile) -> int:
    """Return how often the holdout may be asked.

    Raises:
        ProblemError: a negative number, or one past all sense.
    """
    if table.holdout is None:
        return Policy().holdout_queries
    number = table.holdout.queries
    expected = f"between 0 and {MOST_QUERIES}"
    require(0 <= number <= MOST_QUERIES, (FILE, "holdout.queries"), found=str(number), expected=expected)
    return number


def _check_hidden(digests: Iterable[FileDigest], files: dict[str, bytes], others: tuple[FileDigest, ...]) -> None:
    """Refuse a holdout that something else of the problem gives away, by name or by content."""
    paths, contents = {file.path for file in others}, {file.sha256: file.path for file in others}
    hint = "candidates, or the evaluator of everyday trials, could read it; keep the holdout in files of its own"
    for file in digests:
        copy = file.path if file.path in paths else contents.get(file.sha256, "")
        if not copy:
            require(bool(files[file.path]), (FILE, "holdout.files"), found=f"{file.path!r}, empty", expected="content")
            continue
        found = f"{file.path!r}, also among the problem's other files" + (f" as {copy!r}" if copy != file.path else "")
        raise ProblemError(FILE, "holdout.files", found=found, expected="files that nothing else names", hint=hint)


def _salt(root: Path) -> str:
    """Return the folder's salt, making it at first."""
    path, where = root / SALT, (SALT, "")
    if not path.exists():
        _make_salt(path)
    text = read_text(path, where)
    expected = f"{2 * SALT_BYTES} hexadecimal digits"
    require(_SALT_TEXT.fullmatch(text) is not None, where, found="something else", expected=expected)
    return text.strip()


def _make_salt(path: Path) -> None:
    """Write a new salt at one stroke: of two processes that start together, one wins and both read the same."""
    draft = path.with_name(f"{SALT}.{os.getpid()}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(SALT_BYTES) + "\n")
        with suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()
    except OSError as error:
        reason = error.strerror or str(error)
        hint = f"make the folder writable once, or put {2 * SALT_BYTES} random hexadecimal digits into {SALT}"
        raise ProblemError(
            SALT, "", found=f"no salt, and none can be written: {reason}", expected="a salt", hint=hint
        ) from error
