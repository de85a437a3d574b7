"""Wording of what is wrong in a problem's files: what was found, what was expected, the likely intent.

Rules:
    1. Every fault is a `ProblemError` that names file and dotted key.
    2. A misspelt word gets the nearest right one as a hint.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from consilience.core.errors import ProblemError

_SHOWN = 80  # characters of a wrong value that are worth showing
_NEAR = 0.6  # difflib's usual cutoff: "maximise" and "maximize" are 0.88 apart, unrelated words below 0.5

_NAMES: tuple[tuple[type, str], ...] = (
    (bool, "a boolean"),
    (int, "an integer"),
    (float, "a number"),
    (str, "a string"),
    (list, "a list"),
    (dict, "a table"),
)


def show(value: Any) -> str:
    """Name a wrong value by type and content, e.g. ``a string "fast"``."""
    text = repr(value).lower() if isinstance(value, bool) else repr(value)
    if len(text) > _SHOWN:
        text = text[: _SHOWN - 3] + "..."
    kind = next((name for type_, name in _NAMES if isinstance(value, type_)), type(value).__name__)
    return f"{kind} {text}"


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return a hint with the nearest choice, or "" when none is near."""
    near = difflib.get_close_matches(word, list(choices), n=1, cutoff=_NEAR)
    return f"did you mean {near[0]!r}?" if near else ""


def one_of(choices: Iterable[str]) -> str:
    """Word a closed set of choices."""
    return "one of " + ", ".join(choices)


def require(holds: bool, where: tuple[str, str], *, found: str, expected: str) -> None:  # noqa: FBT001 - reads as a claim
    """Raise when a claim about one key does not hold.

    Args:
        holds: the claim.
        where: file and dotted key.
        found: what is there.
        expected: what should be there.

    Raises:
        ProblemError: it does not hold.
    """
    if not holds:
        raise ProblemError(*where, found=found, expected=expected)
