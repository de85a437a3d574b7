"""Normalised syntax trees: a Python text without what makes no difference to what it does.

Rules:
    1. Comments, formatting, docstrings and the names of a function's own variables go; all else stays.
    2. A name is replaced only where every use of it is known to mean the function's own variable; in doubt
       it stays. So equal trees mean equal programs, and a repeat is never refused that is none.
    3. The written form is the same under every supported Python.

Data flow: text -> `normal_tree` -> `written` (normal form) and shapes (distance), both in `novelty`.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

_CACHED_TREES = 8  # form and shapes of a text are asked for one after the other; a tree is some 100 kB
_SCOPES = (ast.Global, ast.Nonlocal, ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_LOOK_AT_NAMES = frozenset({"locals", "vars", "dir", "eval", "exec"})

Function = ast.FunctionDef | ast.AsyncFunctionDef


@lru_cache(maxsize=_CACHED_TREES)
def normal_tree(path: str, text: str) -> ast.Module | None:
    """Return the normalised syntax tree of a Python file, None for any other text."""
    tree = _parsed(text) if path.endswith(".py") else None
    for node in ast.walk(tree) if tree is not None else ():
        _drop_docstring(node)
        if isinstance(node, Function):
            _rename_locals(node)
    return tree


def written(tree: ast.AST) -> str:
    """Write a tree as text: node types and fields in order, empty fields left out.

    `ast.dump` will not do: it recurses (a long sum is a deep tree), and Python 3.13 changed what it leaves out.
    """
    parts: list[str] = []
    stack: list[tuple[Any]] = [(tree,)]
    while stack:
        (item,) = stack.pop()
        if isinstance(item, _Sign):
            parts.append(item)
        elif isinstance(item, ast.AST):
            parts.append(type(item).__name__)
            stack += reversed([(below,) for below in _fields(item)])
        elif isinstance(item, list):
            stack += reversed([(_Sign("["),), *((below,) for below in item), (_Sign("]"),)])
        else:
            parts.append(repr(item))
    return " ".join(parts)


class _Sign(str):
    """Text of the written form itself, as against a text that stands in the program."""

    __slots__ = ()


def _fields(node: ast.AST) -> list[Any]:
    found: list[Any] = [_Sign("(")]
    for name, value in ast.iter_fields(node):
        if value not in (None, []) or isinstance(node, ast.Constant):
            found += [_Sign(name), value]
    return [*found, _Sign(")")]


def _parsed(text: str) -> ast.Module | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a warning about the candidate's code must not change its form
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last is "too deeply nested"
            return None


def _drop_docstring(node: ast.AST) -> None:
    if isinstance(node, ast.Module | ast.ClassDef | Function) and ast.get_docstring(node, clean=False):
        node.body = node.body[1:] or [ast.Pass()]


def _rename_locals(function: Function) -> None:
    """Number the variables of a function in order of appearance.

    Arguments keep their names (callers may use them), and so do all names of a function that shares its scope
    with another, or that looks at its own names while it runs.
    """
    inside = [node for statement in function.body for node in ast.walk(statement)]
    names = [node for node in inside if isinstance(node, ast.Name)]
    if any(isinstance(node, _SCOPES) for node in inside) or any(node.id in _LOOK_AT_NAMES for node in names):
        return
    arguments = {node.arg for node in ast.walk(function.args) if isinstance(node, ast.arg)}
    own = _own_names(inside, names) - _bound_by_text(inside) - arguments
    ordered = sorted((node for node in names if node.id in own), key=lambda node: (node.lineno, node.col_offset))
    numbers = {name: f"<{place}>" for place, name in enumerate(dict.fromkeys(node.id for node in ordered))}
    for node in ordered:  # no identifier looks like "<0>", so no other name can be taken for one
        node.id = numbers[node.id]


def _own_names(inside: Iterable[ast.AST], names: Iterable[ast.Name]) -> set[str]:
    """Return the names that a function binds, and those of comprehensions that mean nothing else in it."""
    within = {node for above in inside if isinstance(above, _COMPREHENSIONS) for node in _bound_within(above)}
    outside = [node for node in names if node not in within]
    bound = {node.id for node in outside if not isinstance(node.ctx, ast.Load)}
    return bound | ({node.id for node in within} - {node.id for node in outside})


def _bound_within(above: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> list[ast.Name]:
    """Return the uses of a comprehension's own variables; its first iterable is read outside of it."""
    first = set(ast.walk(above.generators[0].iter))
    targets = [node for part in above.generators for node in ast.walk(part.target) if isinstance(node, ast.Name)]
    bound = {node.id for node in targets if isinstance(node.ctx, ast.Store)}
    return [node for node in ast.walk(above) if isinstance(node, ast.Name) and node.id in bound and node not in first]


def _bound_by_text(inside: Iterable[ast.AST]) -> set[str]:
    """Return the names that are bound by plain text in the tree: imports, `except ... as`, patterns."""
    found: set[str] = set()
    for node in inside:
        if isinstance(node, ast.alias):
            found.add(node.asname or node.name.partition(".")[0])
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar):
            found.add(node.name or "")
        elif isinstance(node, ast.MatchMapping):
            found.add(node.rest or "")
    return found
