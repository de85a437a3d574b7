"""Logs of a trial, put together and capped.

Rules:
    1. What is kept is the end: that is where errors are.

Data flow: tails of several processes -> one text in the Outcome.
"""

from __future__ import annotations

from collections.abc import Mapping

LOG_CHARACTERS = 64 * 1024
FEEDBACK_CHARACTERS = 16 * 1024


def joined_log(parts: Mapping[str, str]) -> str:
    """Join the logs that say anything, each under its process's name, within the cap."""
    spoken = {name: text for name, text in parts.items() if text.strip()}
    if not spoken:
        return ""
    share = LOG_CHARACTERS // len(spoken)
    return "".join(f"[{name}]\n{text[-share:].rstrip()}\n" for name, text in spoken.items())
