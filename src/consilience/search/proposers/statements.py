"""`statements`: one statement left out, run twice, swapped with the next, or moved into or out of a loop.

Rules:
    1. Whole lines move, so comments at the end of a line go along.
    2. A body is never left empty: its only statement becomes `pass`.
    3. What would leave a name without a value is not offered: the only binding is not left out, nor put
       behind a use or into a loop that may not run.
    4. Definitions, imports, docstrings, declarations and jumps stay: without them a program breaks or hangs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import libcst as cst

from consilience.core.blocks import split_lines
from consilience.search.proposers.edits import Edit, Family, Site, edit_at, one_line
from consilience.search.proposers.names import bound_names, owed_by, read_names
from consilience.search.proposers.syntax import Replacement, Source

_WHY_LEFT_OUT = "a step may not be needed"
_WHY_TWICE = "one more round of a step may help"
_WHY_SWAPPED = "the order of two steps is often an accident"
_WHY_INTO = "what is done once may be better done in every round"
_WHY_OUT = "what is done in every round may be better done once"

_STAYS = cst.Import | cst.ImportFrom | cst.Global | cst.Nonlocal | cst.Pass | cst.Return | cst.Break | cst.Continue
_Statement = cst.SimpleStatementLine | cst.BaseCompoundStatement
_Loop = cst.For | cst.While


def _sites(source: Source) -> Iterator[Site]:
    for node in source.nodes():
        if isinstance(node, _Statement) and _is_movable(source, node):
            yield partial(_edits, source, node)


def _is_movable(source: Source, node: cst.CSTNode) -> bool:
    if isinstance(node, cst.FunctionDef | cst.ClassDef) or not isinstance(node, _Statement):
        return False
    if isinstance(node, cst.SimpleStatementLine) and any(_stays(small) for small in node.body):
        return False
    start, end = source.rows(node)
    alone = source.data[start : source.span(node)[0]].strip() == b""
    return alone and source.editable(node) and source.data[start:end].endswith((b"\n", b"\r"))


def _stays(small: cst.BaseSmallStatement) -> bool:
    return isinstance(small, _STAYS) or (isinstance(small, cst.Expr) and isinstance(small.value, cst.SimpleString))


def _edits(source: Source, node: cst.CSTNode) -> list[Edit]:
    body = _body_around(source, node)
    place = next((n for n, other in enumerate(body) if other is node), None)
    if place is None:
        return []
    after = body[place + 1] if place + 1 < len(body) else None
    owed = owed_by(source, node)
    edits = [] if owed else [_left_out(source, node, alone=len(body) == 1)]
    edits.append(_twice(source, node))
    if after is not None and _is_movable(source, after) and not owed & read_names(source, after):
        edits += _swapped(source, node, after)
    if after is not None and _is_movable(source, after):
        edits += _into(source, node, after)
    return edits + _out(source, node, body)


def _body_around(source: Source, node: cst.CSTNode) -> Sequence[cst.CSTNode]:
    above = source.parent(node)
    return above.body if isinstance(above, cst.IndentedBlock | cst.Module) else ()


def _left_out(source: Source, node: cst.CSTNode, *, alone: bool) -> Edit:
    gone: Replacement = (*source.span(node), "pass") if alone else (*source.rows(node), "")
    return edit_at(source, node, [gone], (f"`{_shown(source, node)}` left out", _WHY_LEFT_OUT))


def _twice(source: Source, node: cst.CSTNode) -> Edit:
    end = source.rows(node)[1]
    again = (end, end, _lines(source, node))
    return edit_at(source, node, [again], (f"`{_shown(source, node)}` run twice", _WHY_TWICE))


def _swapped(source: Source, node: cst.CSTNode, after: cst.CSTNode) -> list[Edit]:
    lines = _lines(source, node), _lines(source, after)
    swap = [(*source.rows(node), lines[1]), (*source.rows(after), lines[0])]
    words = (f"`{_shown(source, node)}` and `{_shown(source, after)}` swapped", _WHY_SWAPPED)
    return [edit_at(source, node, swap, words)] if lines[0] != lines[1] else []


def _into(source: Source, node: cst.CSTNode, loop: cst.CSTNode) -> list[Edit]:
    """Move a statement before a loop to the start of its body."""
    if not isinstance(loop, _Loop) or not isinstance(loop.body, cst.IndentedBlock):
        return []
    first = loop.body.body[0]
    start = source.rows(first)[0]
    moved = _indented(source, node, first)
    move = [(*source.rows(node), ""), (start, start, moved)]
    words = (f"`{_shown(source, node)}` moved into the loop after it", _WHY_INTO)
    return [edit_at(source, node, move, words)] if moved else []


def _out(source: Source, node: cst.CSTNode, body: Sequence[cst.CSTNode]) -> list[Edit]:
    """Move the first statement of a loop before it, or the last one behind it."""
    above = source.parent(node)
    loop = source.parent(above) if above is not None else None
    if not isinstance(loop, _Loop) or loop.body is not above or len(body) == 1 or not _is_movable(source, loop):
        return []
    moved = _indented(source, node, loop)
    before, behind = source.rows(loop)
    depends = bool(read_names(source, node) & bound_names(source, loop))  # on what the loop has not given a value yet
    places = [before] * (node is body[0] and not depends) + [behind] * (node is body[-1])
    words = (f"`{_shown(source, node)}` moved out of the loop", _WHY_OUT)
    return [edit_at(source, node, [(*source.rows(node), ""), (at, at, moved)], words) for at in places if moved]


def _indented(source: Source, node: cst.CSTNode, beside: cst.CSTNode) -> str:
    """Return a statement's lines indented as those of `beside`; "" where that could change a string."""
    lines, old, new = _lines(source, node), _indent(source, node), _indent(source, beside)
    if '"""' in lines or "'''" in lines:
        return ""
    return "".join(new + line.removeprefix(old) if line.strip() else line for line in split_lines(lines))


def _indent(source: Source, node: cst.CSTNode) -> str:
    return source.data[source.rows(node)[0] : source.span(node)[0]].decode()


def _lines(source: Source, node: cst.CSTNode) -> str:
    start, end = source.rows(node)
    return source.data[start:end].decode()


def _shown(source: Source, node: cst.CSTNode) -> str:
    return one_line(source.code(node))


STATEMENTS = Family(operator="statements", sites=_sites)
