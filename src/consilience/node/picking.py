"""Picking a candidate by what a person types: a trial, an id, a file, a folder, or `baseline`.

Rules:
    1. Only digits are a trial's number, never a file: write ``./7`` for a file of that name.
    2. A file that changes what the problem has fixed is refused: its score would be another problem's.

Data flow: text, LoadedProblem, StudyReader or None -> Picked.
"""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from consilience.core.artifact import Artifact
from consilience.core.blocks import fixed_text, marker_fault
from consilience.core.canonical import sha256_hex
from consilience.core.errors import NotFoundError, UsageError
from consilience.core.ports import LoadedProblem
from consilience.core.problem import Surface
from consilience.node.reading import StudyReader
from consilience.problems.files import read_text

BASELINE = "baseline"


class Picked(Struct, frozen=True, kw_only=True):
    """A candidate and where it came from, in words."""

    artifact: Artifact
    source: str


def pick_candidate(name: str, loaded: LoadedProblem, reader: StudyReader | None) -> Picked:
    """Return the candidate that a name means.

    Args:
        name: ``baseline``, a trial's number, the beginning of an id, a file, or a folder with the artifact's files.
        loaded: the problem.
        reader: its study; None where nothing has been run yet.

    Raises:
        NotFoundError: no such trial, file or folder.
        UsageError: the file is none of the artifact's, or changes what is fixed.
    """
    if name == BASELINE:
        return Picked(artifact=loaded.baseline, source="the baseline")
    path = Path(name)
    if not name.isdecimal() and path.exists():
        found = _from_folder(path, loaded.baseline) if path.is_dir() else _from_file(path, loaded.baseline)
        _check_fixed(found, loaded.problem.surface, name)
        return Picked(artifact=found, source=name)
    if reader is None:
        hint = "name a file, a folder with the artifact's files, or baseline; trials exist after `consilience run`"
        raise NotFoundError(f"{name!r} is no file, and this problem has no trials yet", hint=hint)
    try:
        row = reader.trial(name)
    except NotFoundError as error:
        hint = f"{error.hint}; or name a file, a folder with the artifact's files, or baseline"
        raise NotFoundError(f"no such file, and {error.message}", hint=hint) from error
    return Picked(artifact=reader.artifact(row.candidate), source=f"trial {row.number}")


def _from_file(path: Path, baseline: Artifact) -> Artifact:
    """Put one file in the place of the artifact's only one, or of the one of its name."""
    names = [file.path for file in baseline.files]
    same = names if len(names) == 1 else [name for name in names if Path(name).name == path.name]
    if len(same) != 1:
        has = f"the artifact's files are {', '.join(names)}" if names else "the artifact has no files, only parameters"
        hint = "give a folder that holds all of them" if names else "name a trial, or baseline"
        raise UsageError(f"{path} cannot be placed: {has}", hint=hint)
    return baseline.with_text(same[0], read_text(path, (str(path), "")))


def _from_folder(path: Path, baseline: Artifact) -> Artifact:
    missing = [file.path for file in baseline.files if not (path / file.path).is_file()]
    if missing or not baseline.files:
        has = f"it lacks {', '.join(missing)}" if missing else "the artifact has no files, only parameters"
        raise UsageError(
            f"{path} is no candidate: {has}", hint="a candidate's folder holds all of the artifact's files"
        )
    for file in baseline.files:
        baseline = baseline.with_text(file.path, read_text(path / file.path, (str(path / file.path), "")))
    return baseline


def _check_fixed(artifact: Artifact, surface: Surface, name: str) -> None:
    for file in surface.files:
        if file.region == "whole":
            continue
        text = artifact.text(file.path)
        if marker_fault(text) or sha256_hex(fixed_text(text).encode()) != file.fixed:
            raise UsageError(
                f"{name} changes {file.path} outside its EVOLVE-BLOCK markers, where it is fixed",
                hint="change only what is between the markers, or edit the problem itself: that makes another problem",
            )
