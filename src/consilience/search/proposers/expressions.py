"""`expression`: an operation cut down to one operand, an expression scaled, a name swapped for another local one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import libcst as cst

from consilience.search.proposers.edits import Edit, Family, Site, edit_at, instead_of, one_line
from consilience.search.proposers.names import names_known_at, uses_of
from consilience.search.proposers.syntax import Source

_FACTORS = ("0.5", "0.9", "1.1", "2.0")

_WHY_CUT = "a simpler expression may do as well or better"
_WHY_SCALED = "a term may carry the wrong weight"
_WHY_RENAMED = "a neighbouring variable may be the one that was meant"

_Operation = cst.BinaryOperation | cst.BooleanOperation
_NO_NUMBERS = cst.AssignTarget | cst.Attribute | cst.Call | cst.Expr | cst.CompFor | cst.Decorator | cst.Del
_READING = (
    cst.BaseExpression | cst.ComparisonTarget | cst.Index | cst.Slice | cst.Return | cst.Assign | cst.Element | cst.If
)
_NOT_READING = cst.Call | cst.NamedExpr | cst.Lambda

_COUNTING = frozenset({"range", "len", "round", "int"})
_WITHOUT_SENSE = frozenset({"range", "len", "enumerate", "zip", "iter", "next", "super", "print", "isinstance"})
"""Built-ins whose argument cannot stand for their result."""

_HasParts = cst.BinaryOperation | cst.BooleanOperation | cst.IfExp | cst.Call
_Weighable = cst.BinaryOperation | cst.Call | cst.Subscript
_Atom = cst.Name | cst.Call | cst.Attribute | cst.Subscript


def _sites(source: Source) -> Iterator[Site]:
    for node in source.nodes():
        if isinstance(node, _HasParts) and not isinstance(source.parent(node), cst.Expr):
            yield partial(_cut, source, node)
        if isinstance(node, _Weighable):
            yield partial(_scaled, source, node)
        if isinstance(node, cst.Name) and _is_read(source, node):
            yield partial(_renamed, source, node)


def _cut(source: Source, node: _HasParts) -> list[Edit]:
    shown = one_line(source.code(node))
    return [
        edit_at(
            source,
            node,
            [instead_of(source, node, source.outer_code(part))],
            (f"`{shown}` -> `{one_line(source.code(part))}`", _WHY_CUT),
        )
        for part in _parts(node)
    ]


def _parts(node: _HasParts) -> tuple[cst.BaseExpression, ...]:
    """Return what may stand for the whole: operands, branches, or the only argument of a call."""
    if isinstance(node, _Operation):
        return node.left, node.right
    if isinstance(node, cst.IfExp):
        return node.body, node.orelse
    if _is_call_of(node, _WITHOUT_SENSE):
        return ()
    alone = len(node.args) == 1 and node.args[0].keyword is None and not node.args[0].star
    return (node.args[0].value,) if alone else ()


def _scaled(source: Source, node: cst.BaseExpression) -> list[Edit]:
    code = source.code(node)
    if not _is_number_like(source, node):
        return []
    inner = code if isinstance(node, _Atom) else f"({code})"
    within = isinstance(source.parent(node), cst.BaseExpression) and not node.lpar
    edits = []
    for factor in _FACTORS:
        product = f"({factor} * {inner})" if within else f"{factor} * {inner}"
        words = (f"`{one_line(code)}` -> `{one_line(product)}`", _WHY_SCALED)
        edits.append(edit_at(source, node, [instead_of(source, node, product)], words))
    return edits


def _is_number_like(source: Source, node: cst.BaseExpression) -> bool:
    """Tell whether an expression may be a number that need not be whole: no text, index, count, type or target."""
    above = source.parent(node)
    aimed_at = isinstance(above, cst.AugAssign) and above.target is node
    if aimed_at or isinstance(above, _NO_NUMBERS) or any(quote in source.code(node) for quote in "\"'"):
        return False
    if _is_call_of(node, _COUNTING) or _has_list(node):
        return False
    for above in source.ancestors(node):
        if isinstance(above, cst.BaseStatement):
            return not isinstance(above, cst.For | cst.With)
        if isinstance(above, cst.Subscript | cst.Annotation) or _is_call_of(above, _COUNTING):
            return False
    return True


def _has_list(node: cst.BaseExpression) -> bool:
    return isinstance(node, cst.BinaryOperation) and isinstance(node.left, cst.List)


def _is_call_of(node: cst.CSTNode, names: frozenset[str]) -> bool:
    return isinstance(node, cst.Call) and isinstance(node.func, cst.Name) and node.func.value in names


def _is_read(source: Source, name: cst.Name) -> bool:
    """Tell whether a name is read as a value: not bound, not called, not that of an attribute or argument."""
    above = source.parent(name)
    if isinstance(above, cst.Attribute | cst.Arg | cst.AugAssign | cst.AnnAssign):
        return above.value is name
    return isinstance(above, _READING) and not isinstance(above, _NOT_READING) and not _is_target(source, name)


def _is_target(source: Source, node: cst.CSTNode) -> bool:
    """Tell whether an element of a tuple or list is bound there."""
    for above in source.ancestors(node):
        if isinstance(above, cst.For | cst.CompFor | cst.AssignTarget | cst.AsName):
            return isinstance(above, cst.AssignTarget | cst.AsName) or above.target is node
        if not isinstance(above, cst.Element | cst.StarredElement | cst.Tuple | cst.List):
            return False
        node = above
    return False


def _renamed(source: Source, name: cst.Name) -> list[Edit]:
    """Put another variable of the function here: one that has its value by now, and is used alike."""
    function = source.function(name)
    if function is None or any(isinstance(above, cst.Annotation) for above in source.ancestors(name)):
        return []
    known, uses = names_known_at(source, name), uses_of(source, function)
    alike = [other for other in known if uses.get(other) == uses.get(name.value) and other != name.value]
    around = next((above for above in source.ancestors(name) if source.code(above) != name.value), name)
    shown = one_line(source.code(around))
    return [
        edit_at(
            source, name, [(*source.span(name), other)], (f"`{name.value}` -> `{other}` in `{shown}`", _WHY_RENAMED)
        )
        for other in (alike if name.value in known else ())
    ]


EXPRESSION = Family(operator="expression", sites=_sites)
