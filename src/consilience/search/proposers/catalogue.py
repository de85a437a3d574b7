"""Which library calls may stand in for one another, by the library that they come from.

Rules:
    1. Names in a row take the same arguments, so a swapped call still runs.
    2. A row belongs to one owner: what `numpy` has is not taken for what an array or `math` has.

Data flow: name and owner of a call -> `relatives` -> `calls`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

Owner = Literal["builtins", "math", "random", "numpy", "method"]
Rows = tuple[tuple[str, ...], ...]

_CATALOGUE: dict[Owner, Rows] = {
    "builtins": (
        ("min", "max"),
        ("sum", "max", "min"),
        ("any", "all"),
        ("int", "round"),
        ("sorted", "reversed"),
    ),
    "math": (
        ("sin", "cos"),
        ("tanh", "atan", "erf"),
        ("sinh", "cosh"),
        ("sqrt", "log1p", "cbrt"),
        ("exp", "expm1", "exp2"),
        ("log", "log2", "log10"),
        ("floor", "ceil", "trunc"),
        ("prod", "fsum"),
    ),
    "random": (
        ("uniform", "gauss", "triangular", "normalvariate"),
        ("lognormvariate", "gauss"),
        ("choices", "sample"),
    ),
    "numpy": (
        ("minimum", "maximum", "hypot"),
        ("min", "max", "mean", "median"),
        ("sum", "max", "min", "prod"),
        ("mean", "median", "max"),
        ("std", "var", "ptp"),
        ("argmin", "argmax"),
        ("any", "all"),
        ("sin", "cos"),
        ("sinh", "cosh"),
        ("tanh", "arctan", "sign", "abs"),
        ("sqrt", "log1p", "cbrt", "abs"),
        ("abs", "square"),
        ("exp", "expm1", "exp2", "square"),
        ("log", "log2", "log10", "log1p"),
        ("floor", "ceil", "rint", "trunc"),
        ("zeros", "ones"),
        ("zeros_like", "ones_like"),
        ("linspace", "geomspace"),
        ("cumsum", "cumprod"),
        ("vstack", "hstack", "concatenate"),
        ("add", "subtract", "multiply"),
    ),
    "method": (
        ("uniform", "normal"),
        ("random", "standard_normal", "standard_exponential"),
        ("rand", "randn"),
        ("min", "max", "mean", "sum"),
        ("std", "var"),
        ("argmin", "argmax"),
        ("any", "all"),
        ("cumsum", "cumprod"),
    ),
}

CLIPPED: dict[str, tuple[str, str]] = {"tanh": ("maximum", "0.0"), "abs": ("maximum", "0.0"), "exp": ("minimum", "1.0")}
"""numpy calls of one argument that are swapped for a clip at a bound (tanh -> relu), and back."""

TAKES_ONE = frozenset({"sum", "fsum", "prod"})
"""Calls that stand in for those of one argument only: ``max(a, b)`` has no sum of the same form."""

_MODULES: dict[str, Owner] = {"math": "math", "random": "random", "np": "numpy", "numpy": "numpy", "jnp": "numpy"}


def owner_of(module: str | None, *, attribute: bool) -> Owner:
    """Return whose name a called one is: that of a module by its usual name, a built-in, or some object's method."""
    if not attribute:
        return "builtins"
    return _MODULES.get(module or "", "method")


def relatives(owner: Owner, name: str) -> Iterator[str]:
    """Yield what may stand in for a call, each once."""
    found = (other for row in _CATALOGUE[owner] if name in row for other in row if other != name)
    yield from dict.fromkeys(found)
