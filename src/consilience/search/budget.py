"""Budget rules: reserve before spending, fail closed, totals over the life of the study.

Rules:
    1. A trial starts only when every limited amount still has room; what it may use is cut to the room.
    2. Nothing here measures: what was spent arrives in events.

Data flow: BudgetView + per-trial limits -> Reservation or the reason to stop.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from consilience.core.problem import Limits
from consilience.core.study import Spend
from consilience.journal.views.budget import BudgetView

_MILLISECONDS = 1000


class Reservation(Struct, frozen=True, kw_only=True):
    """What a trial may use: amounts to reserve, limits to run under, and whether the budget cut them."""

    spend: Spend
    limits: Limits
    cut: bool


def reserve_trial(budget: BudgetView, limits: Limits) -> Reservation | None:
    """Return what one more trial may use, or None when the budget has no room for it."""
    left = {amount: budget.remaining(amount) for amount in ("trials", "wall_ms", "cpu_ms", "tokens", "money_microusd")}
    if any(room is not None and room <= 0 for room in left.values()):
        return None
    wall_ms = _fit(limits.wall_seconds, left["wall_ms"])
    cpu_ms = _fit(limits.cpu_seconds, left["cpu_ms"])
    fitted = replace(limits, wall_seconds=wall_ms / _MILLISECONDS, cpu_seconds=cpu_ms / _MILLISECONDS)
    cut = fitted.wall_seconds < limits.wall_seconds or fitted.cpu_seconds < limits.cpu_seconds
    return Reservation(spend=Spend(trials=1, wall_ms=wall_ms, cpu_ms=cpu_ms), limits=fitted, cut=cut)


def exhausted_reason(budget: BudgetView) -> str:
    """Return which amounts are used up, in words; "" when there is room for a trial."""
    words = {
        "trials": "trials",
        "wall_ms": "wall time",
        "cpu_ms": "CPU time",
        "tokens": "tokens",
        "money_microusd": "money",
    }
    used = [name for amount, name in words.items() if (room := budget.remaining(amount)) is not None and room <= 0]
    if not used:
        return ""
    over = budget.remaining("trials") or 0
    more = f" ({budget.spent.trials} trials are spent; a budget is a total, not more)" if over < 0 else ""
    return f"the budget of {' and '.join(used)} is used up{more}"


def _fit(seconds: float, room_ms: int | None) -> int:
    wanted = round(seconds * _MILLISECONDS)
    return wanted if room_ms is None else min(wanted, room_ms)
