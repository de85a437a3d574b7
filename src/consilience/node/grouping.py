"""Groups paths by the folder that one would grant.

Rules:
    1. A folder on the way to another denied path counts for nothing: programs look at parents as they pass.
    2. A cache or settings folder below the home is granted whole; elsewhere the nearest folder that holds all that was
       asked for in it, but never one that nobody may open: then each file by itself.

Data flow: denied paths -> groups, the largest first.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from msgspec import Struct

_FOLDERS_OF_FOLDERS = (".cache", ".config", ".local/share", ".local/state", "Library/Caches")
_ANCHOR_PARTS = 3  # "/", "data", "corpus"


class Group(Struct, frozen=True):
    """A path to grant, and how many of the denied ones it holds."""

    path: str
    count: int


def group_reads(
    paths: Iterable[str], written: Iterable[str], home: Path, allowed: Callable[[str], bool]
) -> tuple[Group, ...]:
    """Return what to grant for reading.

    Args:
        paths: denied ones, absolute.
        written: places that are to be written; what lies on the way to them, and they themselves, need no reading.
        home: this user's home folder.
        allowed: tells whether a place may be granted at all.
    """
    wanted = _leaves(set(paths), set(written))
    anchored: dict[str, list[str]] = {}
    for path in wanted:
        anchored.setdefault(_anchor(Path(path), home), []).append(path)
    groups: dict[str, int] = {}
    for anchor, members in anchored.items():
        for place in _places(anchor, members, home, allowed):
            groups[place] = sum(Path(path).is_relative_to(place) for path in members)
    return tuple(Group(path, count) for path, count in sorted(groups.items(), key=lambda item: (-item[1], item[0])))


def group_folders(folders: Iterable[str]) -> tuple[str, ...]:
    """Return the outermost ones of some folders."""
    distinct = sorted(set(folders))
    return tuple(path for path in distinct if not any(_inside(path, other) for other in distinct))


def shown(path: str) -> str:
    """Return a path with the home folder as `~`."""
    home = str(Path.home())
    return f"~{path[len(home) :]}" if path == home or path.startswith(f"{home}/") else path


def _inside(path: str, folder: str) -> bool:
    return path != folder and path.startswith(folder.rstrip("/") + "/")


def _leaves(paths: set[str], written: set[str]) -> list[str]:
    passed = paths | written
    return [path for path in sorted(paths) if path not in written and not any(_inside(each, path) for each in passed)]


def _anchor(path: Path, home: Path) -> str:
    """Return the folder beyond which paths are not thought to belong together."""
    if not path.is_relative_to(home):
        return str(Path(*path.parts[:_ANCHOR_PARTS]))
    inside = path.relative_to(home)
    for folder in _FOLDERS_OF_FOLDERS:
        depth = len(Path(folder).parts) + 1
        if inside.is_relative_to(folder) and len(inside.parts) >= depth:
            return str(home.joinpath(*inside.parts[:depth]))
    return str(home / inside.parts[0]) if inside.parts else str(home)


def _places(anchor: str, members: list[str], home: Path, allowed: Callable[[str], bool]) -> list[str]:
    """Return the anchor, the nearest common folder in it, or the members, whichever may be granted first."""
    hidden = anchor.startswith(f"{home}/.")
    folders = [path if os.path.isdir(path) else os.path.dirname(path) for path in members]  # noqa: PTH112, PTH120
    common = anchor if hidden else os.path.commonpath(folders)
    return [common] if common.startswith(anchor) and allowed(common) else members
