"""Edits: one small change of one file, the sites that offer them, and how one is made.

Rules:
    1. A family lists its sites cheaply; only the site that chance picks is worked out into edits.
    2. An edit that leaves the editable spans, changes nothing or does not compile is not offered.
    3. A family looks at source text only, never at scores.

Data flow: Source -> sites (cached by text) -> one site -> its edits -> one edit -> new artifact.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import libcst as cst
from msgspec import Struct

from consilience.core.artifact import Artifact
from consilience.core.blocks import same_fixed_text
from consilience.core.untrusted import cap
from consilience.search.proposers.syntax import Replacement, Source, compiles, replace_bytes

_LONGEST_CODE = 48  # characters of code shown; two of them fit in a line
_LONGEST_LINE = 120
_WORD = re.compile(r"\w|\ufffd")  # a byte of a longer letter decodes to the second


class Edit(Struct, frozen=True, kw_only=True):
    """Replacements of byte ranges in one file; what changes where, and why, in one line each."""

    path: str
    replacements: tuple[Replacement, ...]
    target: str
    change: str
    reason: str


Site = Callable[[], Sequence[Edit]]
"""A place that a family may change: called, it gives the edits there; there may be none after all."""


class Family(Struct, frozen=True, kw_only=True):
    """One family of rewrites: an operator's name, and the sites that it finds in a program."""

    operator: str
    sites: Callable[[Source], Iterable[Site]]


def edit_at(source: Source, node: cst.CSTNode, replacements: Iterable[Replacement], words: tuple[str, str]) -> Edit:
    """Return an edit at a node; `words` are what changes and why."""
    change, reason = words
    return Edit(
        path=source.path,
        replacements=tuple(replacements),
        target=source.place(node),
        change=one_line(change, _LONGEST_LINE),
        reason=reason,
    )


def one_line(text: str, longest: int = _LONGEST_CODE) -> str:
    """Return a text on one line, cut where it is too long to show."""
    return cap(" ".join(text.split()), longest)


def instead_of(source: Source, node: cst.CSTNode, code: str) -> Replacement:
    """Return the replacement of an expression, kept apart from a word that touches it, as in ``return-x``."""
    start, end = source.span(node)
    before = " " if _touch(source.data[max(start - 1, 0) : start].decode(errors="replace"), code[:1]) else ""
    behind = " " if _touch(code[-1:], source.data[end : end + 1].decode(errors="replace")) else ""
    return start, end, f"{before}{code}{behind}"


def _touch(one: str, other: str) -> bool:
    return bool(_WORD.match(one) and _WORD.match(other))


def edited(artifact: Artifact, edit: Edit) -> Artifact | None:
    """Return the artifact with the edit made, or None when it is not to be offered."""
    old = artifact.text(edit.path)
    new = replace_bytes(old, edit.replacements)
    if new == old or not same_fixed_text(old, new) or not compiles(edit.path, new):
        return None
    return artifact.with_text(edit.path, new)
