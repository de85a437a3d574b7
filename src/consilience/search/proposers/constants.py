"""Numeric constants lifted from the editable parts of a program, to be moved like parameters.

Rules:
    1. Subscripts, slices and the whole-number arguments of `range` count as structure and stay.
    2. A whole number stays whole; a float is written so that it reads back exactly.
    3. A minus before a literal belongs to its value.

Data flow: artifact text -> Constant sites -> values -> new text.
"""

from __future__ import annotations

import ast
from functools import lru_cache

import libcst as cst
from msgspec import Struct

from consilience.core.artifact import Artifact
from consilience.search.proposers.syntax import Source, parse, replace_bytes, sources
from consilience.search.proposers.values import shown

_CACHED_TEXTS = 256
_SMALLEST_SETTING = 3
_LARGEST = 1e12  # larger values are sentinels (infinity, masks), not settings
_LONGEST = 64  # characters; a longer literal is data, and Python refuses to read some thousand digits
_LONGEST_NAME = 40


class Constant(Struct, frozen=True, kw_only=True):
    """One literal: its file, byte range, value, whether it is whole, and what it is called."""

    path: str
    start: int
    end: int
    value: float
    whole: bool
    name: str
    place: str

    def shown(self, value: float) -> str:
        """Return a value of this constant for a line that people read."""
        return shown(round(value) if self.whole else value)


def constants_of(artifact: Artifact) -> tuple[Constant, ...]:
    """Return the movable constants of an artifact, in order of file and position."""
    return tuple(constant for source in sources(artifact) for constant in _constants(source.path, source.text))


def settings_of(artifact: Artifact) -> tuple[Constant, ...]:
    """Return the constants that look like settings: not 0, 1 or -1, and no whole number below 3.

    Those are mostly structure (an identity, a count, a factor of a formula): moved all at once they break
    a program. `constant-drift` still tries them one by one.
    """
    return tuple(constant for constant in constants_of(artifact) if _is_setting(constant))


def _is_setting(constant: Constant) -> bool:
    smallest = _SMALLEST_SETTING if constant.whole else 0.0
    return abs(constant.value) not in (0.0, 1.0) and abs(constant.value) >= smallest


def with_values(artifact: Artifact, changes: dict[Constant, float]) -> Artifact:
    """Return the artifact in which some constants have other values."""
    for path in sorted({constant.path for constant in changes}):
        replacements = tuple(
            (constant.start, constant.end, written(constant, value))
            for constant, value in changes.items()
            if constant.path == path
        )
        artifact = artifact.with_text(path, replace_bytes(artifact.text(path), replacements))
    return artifact


def written(constant: Constant, value: float) -> str:
    """Return a value as source text for the place of a constant."""
    text = str(round(value)) if constant.whole else repr(float(value))
    return f"({text})" if text.startswith("-") and constant.value >= 0 else text


@lru_cache(maxsize=_CACHED_TEXTS)
def _constants(path: str, text: str) -> tuple[Constant, ...]:
    source = parse(path, text)
    return constants_in(source) if source is not None else ()


def constants_in(source: Source) -> tuple[Constant, ...]:
    """Return the movable constants of one parsed file."""
    found = (_constant(source, node) for node in source.nodes() if isinstance(node, cst.Integer | cst.Float))
    return tuple(constant for constant in found if constant is not None)


def _constant(source: Source, node: cst.Integer | cst.Float) -> Constant | None:
    if len(node.value) > _LONGEST or _is_structure(source, node):
        return None
    value = ast.literal_eval(node.value)
    if abs(value) > _LARGEST:
        return None
    start, end = source.span(node)
    above = source.parent(node)
    if isinstance(above, cst.UnaryOperation) and isinstance(above.operator, cst.Minus):
        value, (start, end) = -value, source.span(above)
    return Constant(
        path=source.path,
        start=start,
        end=end,
        value=float(value),
        whole=isinstance(node, cst.Integer),
        name=_name(source, node),
        place=source.place(node),
    )


def _is_structure(source: Source, node: cst.CSTNode) -> bool:
    """Tell whether a literal selects or counts rather than sets: an index, or a small argument of `range`."""
    for above in source.ancestors(node):
        if isinstance(above, cst.SubscriptElement | cst.Annotation):
            return True
        if isinstance(above, cst.Call):
            small = isinstance(node, cst.Integer) and node.value in {"0", "1"}
            return small and isinstance(above.func, cst.Name) and above.func.value in {"range", "enumerate"}
        if isinstance(above, cst.BaseStatement):
            return False
    return False


def _name(source: Source, node: cst.CSTNode) -> str:
    """Return the name that a literal is assigned or passed to, else its place."""
    for above in source.ancestors(node):
        if isinstance(above, cst.Assign):
            return " ".join(source.code(above.targets[0].target).split())[:_LONGEST_NAME]
        if isinstance(above, cst.Arg) and above.keyword is not None:
            return above.keyword.value
        if isinstance(above, cst.BaseStatement | cst.Arg):
            break
    return f"the number in {source.place(node)}"
