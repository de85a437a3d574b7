"""`swap-operator`: arithmetic, comparison and boolean operators swapped for neighbours, conditions negated."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import libcst as cst

from consilience.search.proposers.edits import Edit, Family, Site, edit_at, instead_of, one_line
from consilience.search.proposers.syntax import Source

_ARITHMETIC: dict[str, tuple[str, ...]] = {
    "+": ("-", "*"),
    "-": ("+",),
    "*": ("/", "+"),
    "/": ("*", "//"),
    "//": ("/", "%"),
    "%": ("//",),
    "**": ("*",),
    "&": ("|", "^"),
    "|": ("&", "^"),
    "^": ("&", "|"),
    "<<": (">>",),
    ">>": ("<<",),
    "+=": ("-=", "="),
    "-=": ("+=",),
    "*=": ("/=", "+="),
    "/=": ("*=",),
    "//=": ("/=",),
}
_COMPARISON: dict[str, tuple[str, ...]] = {
    "<": ("<=", ">"),
    "<=": ("<", ">="),
    ">": (">=", "<"),
    ">=": (">", "<="),
    "==": ("!=", "<=", ">="),
    "!=": ("==",),
    "in": ("not in",),
    "not in": ("in",),
    "is": ("is not",),
    "is not": ("is",),
}
_BOOLEAN: dict[str, tuple[str, ...]] = {"and": ("or",), "or": ("and",)}

_WHY_ARITHMETIC = "signs and operators of a formula are easily taken for one another"
_WHY_COMPARISON = "comparisons at a boundary are often off by one"
_WHY_BOOLEAN = "conditions are easily joined too strictly or too loosely"
_WHY_NEGATED = "the other branch may be the better one"
_WHY_BARE = "a sign or a negation may be one too many"

_HasOperator = cst.BinaryOperation | cst.AugAssign | cst.BooleanOperation | cst.ComparisonTarget
_HasTest = cst.If | cst.IfExp | cst.CompIf


def _sites(source: Source) -> Iterator[Site]:
    for node in source.nodes():
        if isinstance(node, _HasOperator):
            yield partial(_swapped, source, node)
        elif isinstance(node, _HasTest):
            yield partial(_negated, source, node)
        elif isinstance(node, cst.UnaryOperation) and not isinstance(node.expression, cst.BaseNumber):
            yield partial(_bare, source, node)


def _swapped(source: Source, node: _HasOperator) -> list[Edit]:
    table, reason = _table(node)
    token = " ".join(source.code(node.operator).split())
    start, end = source.span(node.operator)
    whole = source.parent(node) if isinstance(node, cst.ComparisonTarget) else node
    shown = one_line(source.code(whole or node))
    return [
        edit_at(source, node, [(start, end, other)], (f"`{token}` -> `{other}` in `{shown}`", reason))
        for other in table.get(token, ())
    ]


def _table(node: _HasOperator) -> tuple[dict[str, tuple[str, ...]], str]:
    if isinstance(node, cst.ComparisonTarget):
        return _COMPARISON, _WHY_COMPARISON
    if isinstance(node, cst.BooleanOperation):
        return _BOOLEAN, _WHY_BOOLEAN
    return _ARITHMETIC, _WHY_ARITHMETIC


def _negated(source: Source, node: _HasTest) -> list[Edit]:
    """Negate a condition. Not that of `while`: its loop would be left out, or never end."""
    test = node.test
    if isinstance(test, cst.UnaryOperation) and isinstance(test.operator, cst.Not):
        return []  # `_bare` takes the negation away
    code = source.code(test)
    words = (f"`{one_line(code)}` -> `not ({one_line(code)})`", _WHY_NEGATED)
    return [edit_at(source, test, [instead_of(source, test, f"not ({code})")], words)]


def _bare(source: Source, node: cst.UnaryOperation) -> list[Edit]:
    code = source.outer_code(node.expression)
    words = (f"`{one_line(source.code(node))}` -> `{one_line(code)}`", _WHY_BARE)
    return [edit_at(source, node, [instead_of(source, node, code)], words)]


SWAP_OPERATOR = Family(operator="swap-operator", sites=_sites)
