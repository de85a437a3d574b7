"""Novelty: when two artifacts are the same candidate, and how far apart two different ones are.

Rules:
    1. Comments, formatting, docstrings and names of local variables do not make a candidate new;
       constants, structure and parameter values do.
    2. Equal normal forms have distance 0, and nothing else does.
    3. Pure and cached by text: looking twice costs nothing.

Data flow: Artifact -> normal form (novelty gate) and shapes (distance -> governor).
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache

from consilience.core.artifact import Artifact
from consilience.core.canonical import canonical_bytes, sha256_hex
from consilience.core.problem import ParameterValue
from consilience.search.normal_tree import normal_tree, written

_CACHED_FORMS = 1024
_CACHED_SHAPES = 128  # the few candidates that a new one is compared with, and some of those to come
_SHAPE_HEIGHT = 2  # a node with its children and grandchildren: small edits touch few shapes
_NAMING_FIELDS = ("attr", "arg", "name", "module")  # what syntax nodes are told apart by, beside their children
_LEAST = 1e-6  # of different artifacts, whatever rounds to nothing

Shapes = Counter[str]


def normal_form(artifact: Artifact) -> str:
    """Name what an artifact does, as far as its syntax shows: equal candidates have equal names."""
    files = {file.path: _file_form(file.path, file.text) for file in artifact.files}
    return sha256_hex(canonical_bytes({"files": files, "parameters": artifact.parameters}))


def distance(one: Artifact, other: Artifact) -> float:
    """Return how different two artifacts are, from 0 (equal) to 1 (nothing in common).

    For files the generalised Jaccard distance between the multisets of small syntax shapes; for parameters
    the mean relative change; over all of them the mean, weighted by the number of files and one for parameters.
    """
    if normal_form(one) == normal_form(other):
        return 0.0
    texts, others = _texts(one), _texts(other)
    parts = [
        _shape_distance(_shapes(path, texts.get(path, "")), _shapes(path, others.get(path, "")))
        for path in sorted(texts.keys() | others.keys())
    ]
    if one.parameters or other.parameters:
        parts.append(_parameter_distance(one.parameters, other.parameters))
    return max(sum(parts) / len(parts), _LEAST) if parts else 0.0


def _texts(artifact: Artifact) -> dict[str, str]:
    return {file.path: file.text for file in artifact.files}


def _shape_distance(one: Shapes, other: Shapes) -> float:
    union = sum((one | other).values())
    return 1.0 - sum((one & other).values()) / union if union else 0.0


def _parameter_distance(one: dict[str, ParameterValue], other: dict[str, ParameterValue]) -> float:
    names = sorted(one.keys() | other.keys())
    return sum(_value_distance(one.get(name), other.get(name)) for name in names) / len(names)


def _value_distance(one: ParameterValue | None, other: ParameterValue | None) -> float:
    if one == other:
        return 0.0
    if isinstance(one, int | float) and isinstance(other, int | float):
        return min(abs(one - other) / max(abs(one), abs(other)), 1.0)
    return 1.0


@lru_cache(maxsize=_CACHED_FORMS)
def _file_form(path: str, text: str) -> str:
    """Hash a Python file's normalised tree, or the words of any other text."""
    tree = normal_tree(path, text)
    return sha256_hex((" ".join(text.split()) if tree is None else written(tree)).encode(errors="surrogatepass"))


@lru_cache(maxsize=_CACHED_SHAPES)
def _shapes(path: str, text: str) -> Shapes:
    """Return the shapes of a Python file, or the words of any other text."""
    tree = normal_tree(path, text)
    return Counter(text.split()) if tree is None else Counter(_shape(node, _SHAPE_HEIGHT) for node in _nodes(tree))


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    return (node for node in ast.walk(tree) if not isinstance(node, ast.expr_context))


def _shape(node: ast.AST, height: int) -> str:
    if isinstance(node, ast.Constant):
        return repr(node.value)
    if isinstance(node, ast.Name):
        return node.id
    below = [_shape(child, height - 1) for child in ast.iter_child_nodes(node)] if height else []
    label = next((str(getattr(node, field)) for field in _NAMING_FIELDS if getattr(node, field, None)), "")
    return sys.intern(f"{type(node).__name__} {label}({','.join(below)})")  # candidates share nearly all of them
