"""Where things are kept: a problem's state beside it, keys and settings in the user's XDG folders.

Rules:
    1. A problem's journal is in ``.consilience/`` inside its folder, which ignores itself in git.
    2. Keys, feed marks, user settings and caches follow the XDG base directories.
"""

from __future__ import annotations

from pathlib import Path

import platformdirs
from msgspec import Struct

STATE_NAME = ".consilience"
_APPLICATION = "consilience"


class UserPlaces(Struct, frozen=True, kw_only=True):
    """The user's own folders."""

    key: Path
    marks: Path
    settings: Path
    cache: Path

    @property
    def soul(self) -> Path:
        """The folder of the identity's own journal."""
        return self.key.parent / "soul"

    @property
    def checkpoints(self) -> Path:
        """What this device signed last as a log, by feed."""
        return self.marks.with_name("checkpoints")

    @property
    def witnessed(self) -> Path:
        """What this device cosigned last as a witness, by origin."""
        return self.marks.with_name("witnessed")

    @property
    def leases(self) -> Path:
        """The table of leases on devices, shared by all of the user's runs."""
        return self.marks.with_name("gpu-leases.sqlite")


def user_places() -> UserPlaces:
    """Return the user's folders, by XDG."""
    return UserPlaces(
        key=platformdirs.user_data_path(_APPLICATION) / "key.json",
        marks=platformdirs.user_state_path(_APPLICATION) / "feeds",
        settings=platformdirs.user_config_path(_APPLICATION) / "config.toml",
        cache=platformdirs.user_cache_path(_APPLICATION),
    )


def state_folder(root: Path, stated: str) -> Path:
    """Return the folder that holds a problem's journal; `stated` overrides the place beside the problem."""
    return Path(stated).expanduser() if stated else root / STATE_NAME


def hide_from_git(folder: Path) -> None:
    """Let git overlook the state folder, so that a user's repository stays clean."""
    ignore = folder / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n")
