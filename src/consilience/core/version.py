"""The installed version of consilience, which runs write into the journal."""

from __future__ import annotations


def version() -> str:
    """Return the installed version."""
    from importlib.metadata import version as installed  # noqa: PLC0415 - costs more than all else of our package

    return installed("consilience")
