"""Values of settings: how the text of a flag, a variable or a file is read.

Rules:
    1. A wrong value is a ValueError that says what it is not; `node.settings` adds which setting, and from where.
    2. ``none`` takes away what a lower layer states, where a setting may be absent.

Data flow: text or TOML value -> value -> `node.settings`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, get_args

from consilience.core.chance import SEED_BITS
from consilience.core.study import Autonomy

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_LARGEST = 1e12  # of any amount: what fits JSON's whole numbers in milliseconds


def read_seconds(value: Any) -> float:
    """Read a duration: a number of seconds, or text such as ``90s``, ``15m``, ``8h``.

    Raises:
        ValueError: not a duration.
    """
    if isinstance(value, bool):
        raise ValueError("not a duration")  # noqa: TRY004  one error for every wrong value
    if isinstance(value, int | float):
        return _bounded(float(value))
    text = str(value).strip().lower()
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = text[len(number) :].strip() or "s"
    if unit not in _UNITS:
        raise ValueError(f"unit {unit!r}; use ms, s, m, h or d")
    return _bounded(_read_number(number) * _UNITS[unit])


def _read_number(value: Any) -> float:
    try:
        return float(value)
    except ValueError:
        raise ValueError("not a number") from None


def _bounded(number: float) -> float:
    if not abs(number) <= _LARGEST:
        raise ValueError(f"beyond {_LARGEST:g}")
    return number


def read_count(value: Any) -> int:
    """Read a whole number."""
    number = _bounded(_read_number(value)) if not isinstance(value, bool) else 0.5
    if number != int(number):
        raise ValueError("not a whole number")
    return int(number)


def read_seed(value: Any) -> int:
    """Read the seed of every random choice."""
    seed = read_count(value)
    if not 0 <= seed < 2**SEED_BITS:
        raise ValueError(f"not between 0 and {2**SEED_BITS - 1}")
    return seed


def read_autonomy(value: Any) -> str:
    """Read a level of autonomy that this release has."""
    if value in ("auto", "portfolio"):
        raise ValueError("not in this release; use suggest or sandbox")
    return read_choice(*get_args(Autonomy))(value)


def read_choice(*choices: str) -> Callable[[Any], str]:
    """Return the reader of one of these words."""

    def read(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"not one of {', '.join(choices)}")
        return str(value)

    return read


def read_flag(value: Any) -> bool:
    """Read yes or no."""
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if str(value).strip().lower() not in words:
        raise ValueError("not true or false")
    return words[str(value).strip().lower()]


def read_names(value: Any) -> tuple[str, ...]:
    """Read names: a list, or text with commas between them; ``none`` and the empty text are none."""
    names = str(value).split(",") if isinstance(value, str) else list(value)
    found = tuple(str(name).strip() for name in names if str(name).strip())
    if found == ("none",):
        return ()
    for name in found:
        if not name.isidentifier():
            raise ValueError(f"{name!r} is no name of a role")
    return found


def read_bound(value: Any) -> float | None:
    """Read a number; ``none`` takes a bound that the problem states away."""
    if isinstance(value, str) and value.strip().lower() == "none":
        return None
    bound = _read_number(value)
    if isinstance(value, bool) or not math.isfinite(bound):
        raise ValueError("not a finite number")
    return bound


def read_days(value: Any) -> int | None:
    """Read a number of days; ``none`` takes a limit that the problem states away."""
    if isinstance(value, str) and value.strip().lower() == "none":
        return None
    days = read_count(value.strip().lower().removesuffix("d") if isinstance(value, str) else value)
    if days < 0:
        raise ValueError("below 0")
    return days


def read_rate(value: Any) -> float:
    """Read a chance between 0 and one half."""
    rate = _read_number(value)
    if not 0.0 < rate < 0.5:  # noqa: PLR2004  a rate of one half would accept anything
        raise ValueError("not between 0 and 0.5")
    return rate
