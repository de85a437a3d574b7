r"""EVOLVE-BLOCK markers: which lines of a text may change and which may not.

A marker is a line whose first word is ``EVOLVE-BLOCK-START`` or ``EVOLVE-BLOCK-END`` behind any comment
sign, or a trailing comment that begins with one (OpenEvolve's convention, so that its programs run as
they are). Several blocks are allowed; a text without markers may change wholly.

Rules:
    1. Marker lines are fixed text. What is between them is editable, what is outside is not.
    2. Unbalanced or nested markers make nothing editable: they are a fault, never a guess.
    3. Lines are counted as Python and LibCST count them: from 1, ended by ``\n``, ``\r\n`` or ``\r``.

Data flow: a file's text -> spans -> loaders (hash of the fixed text) and proposers (where to change).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

LineSpan = tuple[int, int]
"""First and last line, counted from 1, both included; an empty block has last = first - 1."""

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_MARKER = re.compile(r"(?:^\W*|(?:\#|//|--|;|%|/\*)\s*)EVOLVE-BLOCK-(START|END)\b")


def split_lines(text: str) -> tuple[str, ...]:
    """Cut a text into lines that keep their endings; joining them gives the text back."""
    return tuple(_LINE.findall(text))


def has_markers(text: str) -> bool:
    """Tell whether any line is a marker."""
    return any(_MARKER.search(line) for line in split_lines(text))


def marker_fault(text: str) -> str:
    """Return what is wrong with the markers, with its line, or "" when they are balanced."""
    opened = 0
    for number, line in enumerate(split_lines(text), start=1):
        marker = _MARKER.search(line)
        if marker is None:
            continue
        if marker[1] == "START" and opened:
            return f"EVOLVE-BLOCK-START in line {number} inside the block of line {opened}"
        if marker[1] == "END" and not opened:
            return f"EVOLVE-BLOCK-END in line {number} without a START before it"
        opened = number if marker[1] == "START" else 0
    return f"EVOLVE-BLOCK-START in line {opened} without an END" if opened else ""


def editable_spans(text: str) -> tuple[LineSpan, ...]:
    """Return the lines that may change, in order; without markers the whole text is one span.

    Raises:
        ValueError: the markers are unbalanced or nested; the message is that of `marker_fault`.
    """
    if fault := marker_fault(text):
        raise ValueError(fault)
    lines = split_lines(text)
    marks = [number for number, line in enumerate(lines, start=1) if _MARKER.search(line)]
    if not marks:
        return ((1, len(lines)),)
    return tuple((start + 1, end - 1) for start, end in zip(marks[::2], marks[1::2], strict=True))


def is_editable(spans: Sequence[LineSpan], first: int, last: int) -> bool:
    """Tell whether the lines from `first` to `last` lie within one span."""
    return any(start <= first and last <= end for start, end in spans)


def editable_texts(text: str) -> tuple[str, ...]:
    """Return the text of each span, in order.

    Raises:
        ValueError: the markers are unbalanced or nested.
    """
    lines = split_lines(text)
    return tuple("".join(lines[first - 1 : last]) for first, last in editable_spans(text))


def fixed_text(text: str) -> str:
    """Return all that may not change, marker lines included; "" for a text without markers.

    Raises:
        ValueError: the markers are unbalanced or nested.
    """
    spans = editable_spans(text)
    return "".join(
        line for number, line in enumerate(split_lines(text), start=1) if not is_editable(spans, number, number)
    )


def replace_spans(text: str, replacements: Sequence[str]) -> str:
    """Return the text with each span's content replaced, in order; the fixed text stays as it is.

    A replacement that does not end a line gets a line ending, so that the END marker keeps its own line.

    Raises:
        ValueError: unbalanced markers, another number of replacements than spans, or a marker in one.
    """
    spans = editable_spans(text)
    if len(spans) != len(replacements):
        raise ValueError(f"{len(replacements)} replacements for {len(spans)} blocks")
    if not has_markers(text):
        return replacements[0]
    if any(has_markers(new) for new in replacements):
        raise ValueError("a replacement holds an EVOLVE-BLOCK marker of its own")
    lines, parts, done = split_lines(text), [], 0
    for (first, last), new in zip(spans, replacements, strict=True):
        parts += [*lines[done : first - 1], _ended(new)]
        done = last
    return "".join([*parts, *lines[done:]])


def same_fixed_text(old: str, new: str) -> bool:
    """Tell whether `new` differs from `old` inside the editable spans only; False for faulty markers."""
    if marker_fault(old) or marker_fault(new) or has_markers(old) != has_markers(new):
        return False
    return fixed_text(old) == fixed_text(new)


def _ended(text: str) -> str:
    return text if not text or text.endswith(("\n", "\r")) else text + "\n"
