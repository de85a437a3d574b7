"""What OpenEvolve and autoresearch folders have in common: which of their files a trial needs.

Rules:
    1. Outputs, caches, hidden files and prose are not part of the problem: writing them makes no other problem.
    2. Everything else is fixed: small files as support, large ones as data.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path, PurePosixPath

from msgspec import Struct

from consilience.core.problem import FileDigest
from consilience.problems.files import digest_files, folder_files, read_bytes

COMPANION = "consilience.toml"  # what such a folder may use of this machine; see `companion`
CPU_PER_WALL = 4  # these layouts limit wall time only; four busy cores for all of it is the most we allow

_OUTPUT_FOLDERS = frozenset(
    {"__pycache__", "build", "checkpoints", "dist", "logs", "node_modules", "output", "outputs", "venv"}
)
_OUTPUT_PREFIX = "openevolve_output"
_PROSE = frozenset({".ipynb", ".log", ".md", ".pyc"})
_OUTPUT_FILES = frozenset({"results.tsv", COMPANION})


class Fixed(Struct, frozen=True, kw_only=True):
    """The files of a foreign folder that may not change."""

    support: dict[str, bytes]
    data: tuple[FileDigest, ...]


def read_fixed(root: Path, leave_out: Collection[str]) -> Fixed:
    """Read all fixed files of a folder.

    Args:
        root: the folder.
        leave_out: paths of the artifact and of files that decide no score.

    Raises:
        ProblemError: a file cannot be read, or there is too much for one problem.
    """

    def keep(path: PurePosixPath) -> bool:
        return str(path) not in leave_out and not _is_output(path)

    small, large = folder_files(root, keep)
    support = {path: read_bytes(root / path, (path, "")) for path in small}
    return Fixed(support=support, data=digest_files(root, large, (root.name, "")))


def _is_output(path: PurePosixPath) -> bool:
    name = path.name
    return (
        name.startswith((".", _OUTPUT_PREFIX))
        or name in _OUTPUT_FOLDERS
        or name in _OUTPUT_FILES
        or path.suffix in _PROSE
    )


def data_warnings(fixed: Fixed) -> tuple[str, ...]:
    """Say which files are taken for data."""
    return tuple(f"{file.path}: larger than 1 MiB, taken for data" for file in fixed.data)
