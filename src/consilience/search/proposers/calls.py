"""`swap-call`: a library call swapped for a relative from the catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import libcst as cst

from consilience.search.proposers.catalogue import CLIPPED, TAKES_ONE, Owner, owner_of, relatives
from consilience.search.proposers.edits import Edit, Family, Site, edit_at, one_line
from consilience.search.proposers.syntax import Replacement, Source

_WHY = "a related function may fit better"
_WHY_CLIPPED = "a bend at a bound may do as well as a smooth curve, and the other way round"


def _sites(source: Source) -> Iterator[Site]:
    for node in source.nodes():
        if isinstance(node, cst.Call) and (named := _named(node)) is not None:
            owner, name = named
            if any(relatives(owner, name.value)) or (owner == "numpy" and _clip(source, node, name) is not None):
                yield partial(_swapped, source, node, owner, name)


def _named(call: cst.Call) -> tuple[Owner, cst.Name] | None:
    """Return whose function is called, and its name."""
    if isinstance(call.func, cst.Name):
        return owner_of(None, attribute=False), call.func
    if isinstance(call.func, cst.Attribute):
        module = call.func.value.value if isinstance(call.func.value, cst.Name) else None
        return owner_of(module, attribute=True), call.func.attr
    return None


def _swapped(source: Source, call: cst.Call, owner: Owner, name: cst.Name) -> list[Edit]:
    shown = one_line(source.code(call))
    edits = []
    fitting = [other for other in relatives(owner, name.value) if other not in TAKES_ONE or len(call.args) == 1]
    for other in fitting if owner == "builtins" else relatives(owner, name.value):
        words = (f"`{name.value}` -> `{other}` in `{shown}`", _WHY)
        edits.append(edit_at(source, call, [(*source.span(name), other)], words))
    clip = _clip(source, call, name) if owner == "numpy" else None
    if clip is not None:
        other, replacement = clip
        words = (f"`{name.value}` -> `{other}` in `{shown}`", _WHY_CLIPPED)
        edits.append(edit_at(source, call, [(*source.span(name), other), replacement], words))
    return edits


def _clip(source: Source, call: cst.Call, name: cst.Name) -> tuple[str, Replacement] | None:
    """Return the name of the clip, or of the curve, and how the bound comes in or goes out."""
    if any(argument.keyword is not None or argument.star for argument in call.args):
        return None
    if len(call.args) == 1 and name.value in CLIPPED:
        other, bound = CLIPPED[name.value]
        end = source.span(call.args[0])[1]
        return other, (end, end, f", {bound}")
    if len(call.args) == 2:  # noqa: PLR2004  value and bound
        bound = source.code(call.args[1])
        curves = [curve for curve, clip in CLIPPED.items() if clip[0] == name.value and _equal(clip[1], bound)]
        gone = (source.span(call.args[0])[1], source.span(call.args[1])[1], "")
        return (curves[0], gone) if curves else None
    return None


def _equal(number: str, code: str) -> bool:
    return code in (number, number.removesuffix(".0"), number.removesuffix("0"))


SWAP_CALL = Family(operator="swap-call", sites=_sites)
