"""Text for people: numbers with a sensible precision, and untrusted text made harmless.

Rules:
    1. Whatever came from a candidate, evaluator or peer passes `printable` before it reaches a terminal.
"""

from __future__ import annotations

import math
import unicodedata

_KEPT = "\n\t"
_HOUR, _MINUTE = 3600, 60


def printable(text: str, limit: int = 0) -> str:
    """Return the text with control and direction-changing characters shown as escapes, cut at `limit`."""
    shown = "".join(character if _is_harmless(character) else _escaped(character) for character in text)
    return shown if not limit or len(shown) <= limit else f"{shown[: limit - 1]}…"


def one_line(text: str, limit: int = 80) -> str:
    """Return harmless text on one line."""
    return printable(" ".join(text.split()), limit)


def number(value: float | None) -> str:
    """Show a figure: six digits, a dash where there is none."""
    return "-" if value is None or math.isnan(value) else f"{value:.6g}"


def signed(value: float | None) -> str:
    """Show a difference with its sign."""
    return "-" if value is None or math.isnan(value) else f"{value:+.6g}"


def duration(milliseconds: int) -> str:
    """Show a duration: 950 ms, 12.3 s, 4m07s, 2h05m."""
    seconds = milliseconds / 1000
    if seconds < 1:
        return f"{milliseconds} ms"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    if seconds < _HOUR:
        return f"{int(seconds // _MINUTE)}m{int(seconds % _MINUTE):02d}s"
    return f"{int(seconds // _HOUR)}h{int(seconds % _HOUR // _MINUTE):02d}m"


def counts(values: dict[str, int]) -> str:
    """Show counts by name: ``ok 41, timeout 2``."""
    return ", ".join(f"{name} {count}" for name, count in values.items()) or "none"


def _is_harmless(character: str) -> bool:
    return character in _KEPT or unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
