"""Reading a problem's files: inside its folder only, as bytes that are hashed at once.

Rules:
    1. A path from a problem file is relative, uses ``/``, and leads nowhere but into the folder, symbolic links
       included.
    2. Support files are small and kept in memory; larger files are data, which stays on disk under its hash.
    3. Lists are sorted by path, so that the same folder gives the same problem everywhere.

Data flow: folder -> bytes and digests -> loaders.
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from consilience.core.canonical import sha256_hex
from consilience.core.errors import ProblemError
from consilience.core.problem import FileDigest
from consilience.problems.faults import did_you_mean

MEBIBYTE = 1 << 20
_SHOWN = 80  # characters of a wrong pattern that are worth showing
SUPPORT_FILE_LIMIT = MEBIBYTE  # a larger file of a foreign folder is data
SUPPORT_TOTAL_LIMIT = 32 * MEBIBYTE  # what is held in memory and written for trials
FOLDER_FILE_LIMIT = 2000  # more files than this is a home directory, not a problem


def inside(root: Path, relative: str, where: tuple[str, str]) -> Path:
    """Resolve a path from a problem file to a regular file of its folder.

    Raises:
        ProblemError: it is absolute, leaves the folder, or is no readable regular file.
    """
    _check_relative(relative, where)
    path = root / relative
    if not path.exists():
        siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        hint = did_you_mean(path.name, siblings) or f"create {relative} or correct the name"
        raise ProblemError(*where, found=f"{relative!r}, which does not exist", expected="an existing file", hint=hint)
    if not path.resolve().is_relative_to(root.resolve()):
        raise _outside(relative, where)
    if not path.is_file():
        raise ProblemError(*where, found=f"{relative!r}, which is not a file", expected="a regular file")
    return path


def _check_relative(relative: str, where: tuple[str, str]) -> None:
    pure = PurePosixPath(relative)
    if not relative or "\\" in relative or "\0" in relative:
        raise ProblemError(*where, found=repr(relative), expected="a relative path with forward slashes")
    if pure.is_absolute() or ".." in pure.parts:
        raise _outside(relative, where)


def _outside(relative: str, where: tuple[str, str]) -> ProblemError:
    hint = "copy the file into the problem's folder"
    expected = "a file inside the problem's folder"
    return ProblemError(*where, found=f"{relative!r}, which leads outside the folder", expected=expected, hint=hint)


def expand(root: Path, patterns: Iterable[str], where: tuple[str, str]) -> tuple[str, ...]:
    """Return the files that glob patterns name, as sorted relative paths.

    Raises:
        ProblemError: a pattern leaves the folder or matches nothing.
    """
    found: set[str] = set()
    for pattern in patterns:
        _check_relative(pattern, where)
        try:
            matches = [path for path in root.glob(pattern) if path.is_file()]
        except (OSError, ValueError, IndexError) as error:
            raise ProblemError(*where, found=repr(pattern[:_SHOWN]), expected="a glob pattern of files") from error
        if not matches:
            raise ProblemError(*where, found=f"{pattern!r}, which matches no file", expected="existing files")
        found.update(inside(root, relative_name(root, path), where).relative_to(root).as_posix() for path in matches)
    return tuple(sorted(found))


def relative_name(root: Path, path: Path) -> str:
    """Name a file by its path inside the folder, with ``/``."""
    return path.relative_to(root).as_posix()


def read_bytes(path: Path, where: tuple[str, str]) -> bytes:
    """Read a file whole.

    Raises:
        ProblemError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ProblemError(*where, found=f"{path.name!r}: {reason}", expected="a readable file") from error


def read_text(path: Path, where: tuple[str, str]) -> str:
    """Read a UTF-8 text with its line endings as they are.

    Raises:
        ProblemError: it cannot be read or is not UTF-8.
    """
    try:
        return read_bytes(path, where).decode("utf-8")
    except UnicodeDecodeError as error:
        found = f"{path.name!r} with a byte that is not UTF-8 at offset {error.start}"
        raise ProblemError(*where, found=found, expected="UTF-8 text") from error


def read_toml(path: Path, file: str) -> dict[str, Any]:
    """Read a TOML file as tables; `file` names it in errors.

    Raises:
        ProblemError: it cannot be read or is not valid TOML.
    """
    text = read_text(path, (file, ""))
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ProblemError(file, "", found="a value nested beyond reading", expected="valid TOML") from error
    except tomllib.TOMLDecodeError as error:
        hint = "strings need quotes, and true and false are lower-case"
        raise ProblemError(file, "", found=f"a syntax error: {error}", expected="valid TOML", hint=hint) from error


def digest_bytes(files: Mapping[str, bytes]) -> tuple[FileDigest, ...]:
    """Digest files held in memory, sorted by path."""
    return tuple(FileDigest(path=path, sha256=sha256_hex(files[path])) for path in sorted(files))


def digest_files(root: Path, paths: Iterable[str], where: tuple[str, str]) -> tuple[FileDigest, ...]:
    """Digest files on disk, sorted by path, without holding them in memory.

    Raises:
        ProblemError: one cannot be read.
    """
    return tuple(FileDigest(path=path, sha256=_hash_file(root / path, where)) for path in sorted(paths))


def _hash_file(path: Path, where: tuple[str, str]) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ProblemError(*where, found=f"{path.name!r}: {reason}", expected="a readable file") from error


def folder_files(root: Path, keep: Callable[[PurePosixPath], bool]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Split the regular files of a foreign folder into small ones (support) and large ones (data).

    Symbolic links that lead outside are left out, and `keep` decides on folders (by their path) as on files.

    Raises:
        ProblemError: the folder holds too much to be one problem.
    """
    small: list[str] = []
    large: list[str] = []
    total = 0
    for path in _walk(root, keep):
        size = (root / path).stat().st_size
        (small if size <= SUPPORT_FILE_LIMIT else large).append(path)
        total += size if size <= SUPPORT_FILE_LIMIT else 0
        if len(small) + len(large) > FOLDER_FILE_LIMIT or total > SUPPORT_TOTAL_LIMIT:
            hint = "move the problem to a folder of its own, or name its files in a problem.toml"
            expected = f"at most {FOLDER_FILE_LIMIT} files and {SUPPORT_TOTAL_LIMIT // MEBIBYTE} MiB of small files"
            raise ProblemError(root.name, "", found="a folder with more", expected=expected, hint=hint)
    return tuple(sorted(small)), tuple(sorted(large))


def _walk(root: Path, keep: Callable[[PurePosixPath], bool]) -> Iterator[str]:
    home = root.resolve()
    for folder, folders, names in os.walk(root):
        here = PurePosixPath(Path(folder).relative_to(root).as_posix())
        folders[:] = sorted(name for name in folders if keep(here / name))
        for name in sorted(names):
            path = Path(folder) / name
            if keep(here / name) and path.is_file() and path.resolve().is_relative_to(home):
                yield (here / name).as_posix()
