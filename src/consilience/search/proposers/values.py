"""Typed parameter values: moved within their bounds, and mapped to the unit interval and back.

Rules:
    1. Bounds are inclusive and always kept; a whole number stays whole; `log` moves the exponent.
    2. Mapping is monotonic, so that what is close in the unit interval is close in the parameter.

Data flow: Parameter + value <-> position in [0, 1] -> proposers.
"""

from __future__ import annotations

import math
import random

from consilience.core.problem import Parameter, ParameterValue

_UNBOUNDED = 10.0  # factor around the default that an open end reaches


def bounds_of(parameter: Parameter) -> tuple[float, float]:
    """Return the bounds of a number; an end that is not stated is reached from the default."""
    default = float(parameter.default) if not isinstance(parameter.default, str) else 0.0
    reach = max(abs(default), 1.0) * _UNBOUNDED
    low = parameter.low if parameter.low is not None else (default / _UNBOUNDED if parameter.log else default - reach)
    high = (
        parameter.high if parameter.high is not None else (default * _UNBOUNDED if parameter.log else default + reach)
    )
    return low, high


def to_unit(parameter: Parameter, value: ParameterValue) -> float:
    """Return a value's position in [0, 1]."""
    if parameter.type == "categorical":
        return (parameter.choices.index(str(value)) + 0.5) / len(parameter.choices)
    if parameter.type == "boolean":
        return 0.75 if value else 0.25
    low, high = bounds_of(parameter)
    number = float(value)
    if parameter.log:
        low, high, number = math.log(low), math.log(high), math.log(number)
    return (number - low) / (high - low) if high > low else 0.5


def from_unit(parameter: Parameter, position: float) -> ParameterValue:
    """Return the value at a position in [0, 1]; positions outside count as the nearest end."""
    position = min(max(position, 0.0), 1.0)
    if parameter.type == "categorical":
        return parameter.choices[min(int(position * len(parameter.choices)), len(parameter.choices) - 1)]
    if parameter.type == "boolean":
        return position >= 0.5  # noqa: PLR2004  the middle
    low, high = bounds_of(parameter)
    if parameter.log:
        number = math.exp(math.log(low) + position * (math.log(high) - math.log(low)))
    else:
        number = low + position * (high - low)
    number = min(max(number, low), high)  # rounding in exp and log must not leave the bounds
    return round(number) if parameter.type == "integer" else number


def move_parameter(parameter: Parameter, value: ParameterValue, step: float, stream: random.Random) -> ParameterValue:
    """Return another value near this one; `step` is a deviation in the unit interval."""
    if parameter.type == "boolean":
        return not value
    if parameter.type == "categorical":
        others = [choice for choice in parameter.choices if choice != value]
        return stream.choice(others) if others else value
    moved = from_unit(parameter, _reflected(to_unit(parameter, value) + stream.gauss(0.0, step)))
    if parameter.type == "integer" and moved == value:
        low, high = bounds_of(parameter)
        near = [n for n in (int(value) - 1, int(value) + 1) if low <= n <= high]
        return stream.choice(near) if near else value
    return moved


def shown(value: ParameterValue) -> str:
    """Return a value for a line that people read; the artifact has all its digits."""
    return f"{value:.6g}" if isinstance(value, float) else " ".join(str(value).split())


def _reflected(position: float) -> float:
    """Fold a position back into [0, 1], so that steps over a bound do not pile up on it."""
    position = abs(position) % 2.0
    return 2.0 - position if position > 1.0 else position
