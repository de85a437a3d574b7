"""The installed version of consilience, which runs write into the journal."""

from __future__ import annotations

from importlib.metadata import version as _installed_version


def version() -> str:
    """Return the installed version."""
    return _installed_version("consilience")
