"""Structural rewrites: for each family, every small edit that a program offers.

Rules:
    1. A family is a function from parsed source to edits; it never looks at scores.
    2. An edit replaces tokens or statements by position, so formatting and fixed text stay.

Data flow: Source -> edits -> `structural` picks one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import libcst as cst

from consilience.search.proposers.constants import constants_in, written
from consilience.search.proposers.syntax import Edit, Source

Family = Callable[[Source], Iterator[Edit]]

_OPERATORS: dict[str, tuple[str, ...]] = {
    "+": ("-",),
    "-": ("+",),
    "*": ("/", "+"),
    "/": ("*",),
    "//": ("/",),
    "%": ("//",),
    "**": ("*",),
    "<": ("<=", ">"),
    "<=": ("<", ">="),
    ">": (">=", "<"),
    ">=": (">", "<="),
    "==": ("!=",),
    "!=": ("==",),
    "and": ("or",),
    "or": ("and",),
}
_CALLS: tuple[tuple[str, ...], ...] = (
    ("min", "max"),
    ("minimum", "maximum"),
    ("sin", "cos"),
    ("sinh", "cosh"),
    ("sqrt", "log1p", "cbrt"),
    ("exp", "expm1"),
    ("tanh", "arctan"),
    ("floor", "ceil", "rint"),
    ("zeros", "ones"),
    ("zeros_like", "ones_like"),
    ("mean", "median"),
    ("sum", "max", "min"),
    ("std", "ptp"),
    ("argmin", "argmax"),
    ("any", "all"),
    ("append", "extend"),
    ("uniform", "triangular"),
    ("random", "standard_normal"),
    ("gauss", "normalvariate"),
    ("hypot", "dist"),
)
_FACTORS = (0.5, 2.0, 0.1, 10.0, -1.0)
_SHOWN = 60


def swap_operators(source: Source) -> Iterator[Edit]:
    """Swap arithmetic, comparison and boolean operators for their neighbours."""
    for node in source.nodes():
        if isinstance(node, cst.BinaryOperation | cst.BooleanOperation | cst.ComparisonTarget):
            start, end, token = _token(source, node.operator)
            for other in _OPERATORS.get(token, ()):
                yield _edit(source, node, ((start, end, other),), f"`{token}` -> `{other}` in `{_short(source, node)}`")


def scale_constants(source: Source) -> Iterator[Edit]:
    """Halve, double, negate or shift a literal by an order of magnitude, or a whole number by one."""
    for constant in constants_in(source):
        values = [constant.value * factor for factor in _FACTORS]
        values += [constant.value + 1, constant.value - 1] if constant.whole else []
        old = written(constant, constant.value)
        for new in dict.fromkeys(written(constant, value) for value in values):
            if new != old:
                replacement = ((constant.start, constant.end, new),)
                change = f"{constant.name} {old} -> {new}"
                yield Edit(path=source.path, replacements=replacement, target=constant.place, change=change)


def change_arguments(source: Source) -> Iterator[Edit]:
    """Swap neighbouring positional arguments, or leave out a keyword argument."""
    for node in source.nodes():
        if isinstance(node, cst.Call) and len(node.args) > 0:
            yield from _swapped_arguments(source, node)
            yield from _dropped_arguments(source, node)


def _swapped_arguments(source: Source, call: cst.Call) -> Iterator[Edit]:
    for one, other in zip(call.args, call.args[1:], strict=False):
        if one.keyword is None and other.keyword is None and not one.star and not other.star:
            texts = source.code(one.value), source.code(other.value)
            if texts[0] != texts[1]:
                swap = ((*source.span(one.value), texts[1]), (*source.span(other.value), texts[0]))
                yield _edit(source, call, swap, f"arguments `{texts[0]}` and `{texts[1]}` swapped")


def _dropped_arguments(source: Source, call: cst.Call) -> Iterator[Edit]:
    start = source.span(call.args[0])[0]
    end = source.span(call.args[-1])[1]
    for dropped in call.args:
        if dropped.keyword is not None:
            kept = ", ".join(_argument(source, other) for other in call.args if other is not dropped)
            change = f"`{_argument(source, dropped)}` left out of `{_short(source, call.func)}(...)`"
            yield _edit(source, call, ((start, end, kept),), change)


def _argument(source: Source, argument: cst.Arg) -> str:
    keyword = f"{argument.keyword.value}=" if argument.keyword else ""
    return f"{argument.star}{keyword}{source.code(argument.value)}"


def change_statements(source: Source) -> Iterator[Edit]:
    """Swap neighbouring statements, run one twice, or leave one out."""
    for node in source.nodes():
        if isinstance(node, cst.IndentedBlock):
            body = [statement for statement in node.body if _is_movable(source, statement)]
            for place, statement in enumerate(body):
                yield from _statement_edits(source, statement, body[place + 1 : place + 2])


def _is_movable(source: Source, node: cst.CSTNode) -> bool:
    if isinstance(node, cst.FunctionDef | cst.ClassDef) or not source.editable(node):
        return False
    inside = node.body[0] if isinstance(node, cst.SimpleStatementLine) else None
    docstring = isinstance(inside, cst.Expr) and isinstance(inside.value, cst.SimpleString)
    return not docstring and not isinstance(inside, cst.Import | cst.ImportFrom | cst.Return | cst.Pass | cst.Global)


def _statement_edits(source: Source, statement: cst.CSTNode, after: Sequence[cst.CSTNode]) -> Iterator[Edit]:
    start, end = source.span(statement)
    text, shown = source.code(statement), _short(source, statement)
    yield _edit(source, statement, ((start, end, "pass"),), f"`{shown}` left out")
    line_start = source.data.rfind(b"\n", 0, start) + 1
    indent = source.data[line_start:start].decode()
    if indent.strip() == "":
        twice = ((start, end, f"{text.rstrip()}\n{indent}{text}"),)
        yield _edit(source, statement, twice, f"`{shown}` run twice")
    for other in after:
        first, last = source.span(other)
        swap = ((start, end, source.code(other)), (first, last, text))
        yield _edit(source, statement, swap, f"`{shown}` and `{_short(source, other)}` swapped")


def swap_calls(source: Source) -> Iterator[Edit]:
    """Swap a library call for a relative from a small catalogue."""
    for node in source.nodes():
        if isinstance(node, cst.Call):
            name = node.func.attr if isinstance(node.func, cst.Attribute) else node.func
            if isinstance(name, cst.Name):
                for other in _relatives(name.value):
                    change = f"`{name.value}(...)` -> `{other}(...)` in `{_short(source, node)}`"
                    yield _edit(source, node, ((*source.span(name), other),), change)


def _relatives(name: str) -> list[str]:
    return list(dict.fromkeys(other for group in _CALLS if name in group for other in group if other != name))


def change_expressions(source: Source) -> Iterator[Edit]:
    """Replace an operation by one of its operands, or a name by another of the same function."""
    names: dict[cst.FunctionDef, list[str]] = {}
    for node in source.nodes():
        if isinstance(node, cst.FunctionDef):
            names[node] = _bound_names(node)
        if isinstance(node, cst.BinaryOperation):
            for operand in (node.left, node.right):
                text = source.code(operand)
                change = f"`{_short(source, node)}` -> `{_short(source, operand)}`"
                yield _edit(source, node, ((*source.span(node), f"({text})"),), change)
                if isinstance(operand, cst.Name):
                    yield from _renamed(source, operand, names)


def _renamed(source: Source, name: cst.Name, names: dict[cst.FunctionDef, list[str]]) -> Iterator[Edit]:
    function = next((above for above in source.ancestors(name) if isinstance(above, cst.FunctionDef)), None)
    for other in names.get(function, []) if function else []:
        if other != name.value:
            yield _edit(source, name, ((*source.span(name), other),), f"`{name.value}` -> `{other}`")


def _bound_names(function: cst.FunctionDef) -> list[str]:
    names = [parameter.name.value for parameter in function.params.params]
    stack: list[cst.CSTNode] = [function.body]
    while stack:
        node = stack.pop()
        if isinstance(node, cst.AssignTarget | cst.For | cst.AugAssign) and isinstance(node.target, cst.Name):
            names.append(node.target.value)
        stack.extend(node.children)
    return sorted(dict.fromkeys(names))


def _token(source: Source, operator: cst.CSTNode) -> tuple[int, int, str]:
    """Return an operator's own bytes, without the white space around it."""
    start, end = source.span(operator)
    text = source.data[start:end].decode()
    lead = len(text) - len(text.lstrip())
    token = text.strip()
    return start + len(text[:lead].encode()), start + len(text[:lead].encode()) + len(token.encode()), token


def _edit(source: Source, node: cst.CSTNode, replacements: tuple[tuple[int, int, str], ...], change: str) -> Edit:
    return Edit(path=source.path, replacements=replacements, target=source.place(node), change=change)


def _short(source: Source, node: cst.CSTNode) -> str:
    text = " ".join(source.code(node).split())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
