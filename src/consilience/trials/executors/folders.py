"""Folders of a trial: made below the work folder, filled from bytes, removed afterwards.

Rules:
    1. Files come from the loaded problem's bytes and the artifact, never from the problem's folder; data files,
       which may be large, are linked to where they lie.
    2. A path that would leave its folder is refused.

Data flow: LoadedProblem, Artifact -> files below the work folder -> children.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from consilience.core.artifact import Artifact
from consilience.core.errors import EnvironmentLacksError, ProblemError
from consilience.core.ports import LoadedProblem


@contextmanager
def trial_folder(work_dir: Path) -> Iterator[Path]:
    """Make a folder for one trial and remove it with all that is in it.

    Raises:
        EnvironmentLacksError: the work folder cannot be written.
    """
    folder = make_folder(work_dir, "trial-")
    try:
        yield folder
    finally:
        remove(folder)


def make_folder(work_dir: Path, prefix: str) -> Path:
    """Make a new empty folder below the work folder.

    Raises:
        EnvironmentLacksError: the work folder cannot be written.
    """
    try:
        work_dir.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=work_dir)).resolve()
        if os.getuid() == 0:
            folder.chmod(0o711)  # level `restricted` runs root's candidates as another user, who has to get in
    except OSError as error:
        raise EnvironmentLacksError(
            f"cannot make a folder for a trial below {work_dir}: {error.strerror}",
            hint="free some space, or give a work folder that can be written",
        ) from error
    return folder


def remove(folder: Path) -> None:
    """Remove a folder, also one whose permissions a candidate has changed, or that it has nested very deep.

    Python's own removal recurses and gives up on deep folders; `rm` does not, and follows no link.
    """
    with suppress(RecursionError):
        shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        for command in (["chmod", "-R", "u+rwx", "--", str(folder)], ["rm", "-rf", "--", str(folder)]):
            subprocess.run(command, capture_output=True, check=False)  # noqa: S603  fixed commands of the system


def write_artifact(folder: Path, artifact: Artifact) -> None:
    """Write the artifact's files."""
    write_files(folder, {file.path: file.text.encode() for file in artifact.files})


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files by path inside the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for path, data in files.items():
        target = _inside(folder, path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def link_data(folder: Path, loaded: LoadedProblem) -> tuple[str, ...]:
    """Link the problem's data files into the folder and return the real paths that must be readable."""
    real: list[str] = []
    for file in loaded.problem.data:
        target = _inside(folder, file.path)
        if target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        source = (loaded.root / file.path).resolve()
        target.symlink_to(source)
        real.append(str(source))
    return tuple(real)


def _inside(folder: Path, path: str) -> Path:
    target = Path(os.path.normpath(folder / path))
    if not target.is_relative_to(folder):
        raise ProblemError(path, "", found="a path that leaves the problem's folder", expected="a relative path in it")
    return target
