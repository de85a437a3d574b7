"""`call-arguments`: positional arguments swapped, keyword arguments left to their default, flags flipped."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import combinations

import libcst as cst

from consilience.search.proposers.edits import Edit, Family, Site, edit_at, one_line
from consilience.search.proposers.syntax import Source

_FLAGS = {"True": ("False", "None"), "False": ("True", "None"), "None": ("True", "0")}

_WHY_SWAPPED = "arguments of one type are easily given in the wrong order"
_WHY_LEFT_OUT = "a default is often chosen with more care than what overrides it"
_WHY_FLAG = "the other setting of a flag is seldom tried out"


def _sites(source: Source) -> Iterator[Site]:
    for node in source.nodes():
        if isinstance(node, cst.Call):
            yield from (partial(_swapped, source, node, pair) for pair in combinations(_positional(node), 2))
            yield from (partial(_left_out, source, node, number) for number in _keywords(node))
            yield from (partial(_flipped, source, node, argument) for argument in node.args if _is_flag(argument))


def _positional(call: cst.Call) -> list[cst.Arg]:
    return [argument for argument in call.args if argument.keyword is None and not argument.star]


def _keywords(call: cst.Call) -> list[int]:
    return [number for number, argument in enumerate(call.args) if argument.keyword is not None]


def _is_flag(argument: cst.Arg) -> bool:
    return isinstance(argument.value, cst.Name) and argument.value.value in _FLAGS


def _swapped(source: Source, call: cst.Call, pair: tuple[cst.Arg, cst.Arg]) -> list[Edit]:
    spans = [source.outer_span(argument.value) for argument in pair]
    codes = [source.outer_code(argument.value) for argument in pair]
    change = f"`{one_line(codes[0])}` and `{one_line(codes[1])}` swapped in `{_called(source, call)}`"
    swap = [(*spans[0], codes[1]), (*spans[1], codes[0])]
    return [edit_at(source, call, swap, (change, _WHY_SWAPPED))] if codes[0] != codes[1] else []


def _left_out(source: Source, call: cst.Call, number: int) -> list[Edit]:
    argument = call.args[number]
    if argument.keyword is None or argument.keyword.value in _required(source, call):
        return []
    change = f"`{one_line(source.code(argument))}` left out of `{_called(source, call)}`"
    return [edit_at(source, argument, [(*_span_with_comma(source, call, number), "")], (change, _WHY_LEFT_OUT))]


def _span_with_comma(source: Source, call: cst.Call, number: int) -> tuple[int, int]:
    """Return the bytes to take away for an argument: up to the next one, else from the one before."""
    start, end = source.span(call.args[number])
    if number + 1 < len(call.args):
        return start, source.span(call.args[number + 1])[0]
    return (source.span(call.args[number - 1])[1], end) if number else (start, end)


def _required(source: Source, call: cst.Call) -> set[str]:
    """Return the parameters that have no default, where the called function is in the same file."""
    name = call.func.value if isinstance(call.func, cst.Name) else None
    for node in source.nodes():
        if isinstance(node, cst.FunctionDef) and node.name.value == name:
            named = (*node.params.params, *node.params.kwonly_params)
            return {parameter.name.value for parameter in named if parameter.default is None}
    return set()


def _flipped(source: Source, call: cst.Call, argument: cst.Arg) -> list[Edit]:
    old, shown = source.code(argument.value), one_line(source.code(argument))
    return [
        edit_at(
            source,
            argument,
            [(*source.span(argument.value), new)],
            (f"`{shown}` -> `{new}` in `{_called(source, call)}`", _WHY_FLAG),
        )
        for new in _FLAGS[old]
    ]


def _called(source: Source, call: cst.Call) -> str:
    return f"{one_line(source.outer_code(call.func))}(...)"


CALL_ARGUMENTS = Family(operator="call-arguments", sites=_sites)
