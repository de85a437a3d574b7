"""Python sources of a problem: does a file parse, and which names does it define?

Rules:
    1. Nothing of a problem is ever imported or run here; sources are parsed only.
    2. Files of other languages are not looked into.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from pathlib import PurePosixPath

from consilience.core.errors import ProblemError

PYTHON_SUFFIX = ".py"


def parse_python(text: str, path: str, where: tuple[str, str]) -> ast.Module:
    """Parse a source.

    Raises:
        ProblemError: it is not valid Python; names the line.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd escapes are the user's affair, not a reason to stop
            return ast.parse(text)
    except SyntaxError as error:
        found = f"{path!r} with a syntax error in line {error.lineno}: {error.msg}"
        raise ProblemError(*where, found=found, expected="valid Python", hint=f"correct {path}") from error
    except (ValueError, RecursionError) as error:
        raise ProblemError(*where, found=f"{path!r} that cannot be parsed: {error}", expected="valid Python") from error


def check_python(text: str, path: str, where: tuple[str, str]) -> None:
    """Parse a source if its name says that it is Python.

    Raises:
        ProblemError: it is not valid Python.
    """
    if PurePosixPath(path).suffix == PYTHON_SUFFIX:
        parse_python(text, path, where)


def top_level_names(tree: ast.Module) -> frozenset[str]:
    """Return the names that a module binds at top level: functions, classes, imports, assignments.

    ``*`` is among them when the module imports everything of another.
    """
    return frozenset(name for node in tree.body for name in _bound(node))


def _bound(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Import | ast.ImportFrom):
        yield from (alias.asname or alias.name for alias in node.names)
    elif isinstance(node, ast.Assign):
        yield from (target.id for target in node.targets if isinstance(target, ast.Name))
    elif isinstance(node, ast.If | ast.Try):
        yield from (name for child in node.body for name in _bound(child))


def defines(tree: ast.Module, name: str) -> bool:
    """Tell whether a module defines a name, as far as its source shows."""
    names = top_level_names(tree)
    return name in names or "*" in names
