"""`scale-constant`: one literal halved, doubled, negated, moved by one or by an order of magnitude.

Coarse steps only; the fine ones are `drift`'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from consilience.search.proposers.constants import Constant, constants_in, written
from consilience.search.proposers.edits import Edit, Family, Site, one_line
from consilience.search.proposers.syntax import Source

_FACTORS = (0.5, 2.0, 0.1, 10.0, -1.0)
_STEPS = (1.0, -1.0)
_WHY = "a setting may be wrong by its order of magnitude"


def _sites(source: Source) -> Iterator[Site]:
    return (partial(_scaled, constant) for constant in constants_in(source))


def _scaled(constant: Constant) -> list[Edit]:
    moved = [constant.value * factor for factor in _FACTORS] + [constant.value + step for step in _STEPS]
    values = [float(round(value)) if constant.whole else value for value in moved]
    return [_edit(constant, value) for value in dict.fromkeys(values) if value != constant.value]


def _edit(constant: Constant, value: float) -> Edit:
    change = f"{constant.name} {constant.shown(constant.value)} -> {constant.shown(value)}"
    return Edit(
        path=constant.path,
        replacements=((constant.start, constant.end, written(constant, value)),),
        target=constant.place,
        change=one_line(change, 120),
        reason=_WHY,
    )


SCALE_CONSTANT = Family(operator="scale-constant", sites=_sites)
