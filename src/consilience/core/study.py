"""How a problem is worked on: total budget, seeds, autonomy and policy. Versioned by `study.configured` events.

Rules:
    1. Budgets are totals over the life of the study, not "n more": a resumed run counts what was spent.
    2. A missing amount in a Budget means no limit; a Spend has no missing amounts.
    3. Amounts are integers (milliseconds, micro-dollars as decimal strings), so that sums never depend on order.
"""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct

from consilience.core.outcome import IsolationLevel

ExecutionPolicy = Literal["auto", "fresh", "fork"]
_AMOUNT = re.compile("-?[0-9]{1,30}")  # far beyond any budget, and short enough to be added up
Autonomy = Literal["suggest", "sandbox", "auto", "portfolio"]


def _check_money(amount: str | None) -> None:
    """Refuse what is no amount when it is read, for folds add it up later."""
    if amount is not None and not _AMOUNT.fullmatch(amount):
        raise ValueError("an amount of money is a whole number in decimal digits, at most 30 of them")


class Budget(Struct, frozen=True, kw_only=True):
    """Total limits of a study; None is no limit."""

    trials: int | None = None
    wall_ms: int | None = None
    cpu_ms: int | None = None
    tokens: int | None = None
    money_microusd: str | None = None

    def __post_init__(self) -> None:
        """Refuse money that is no number."""
        _check_money(self.money_microusd)


class Spend(Struct, frozen=True, kw_only=True):
    """An amount reserved or spent, in the units of Budget."""

    trials: int = 0
    wall_ms: int = 0
    cpu_ms: int = 0
    tokens: int = 0
    money_microusd: str = "0"

    def __post_init__(self) -> None:
        """Refuse money that is no number."""
        _check_money(self.money_microusd)

    def __add__(self, other: Spend) -> Spend:
        return self._combine(other, 1)

    def __sub__(self, other: Spend) -> Spend:
        return self._combine(other, -1)

    def _combine(self, other: Spend, sign: int) -> Spend:
        return Spend(
            trials=self.trials + sign * other.trials,
            wall_ms=self.wall_ms + sign * other.wall_ms,
            cpu_ms=self.cpu_ms + sign * other.cpu_ms,
            tokens=self.tokens + sign * other.tokens,
            money_microusd=str(int(self.money_microusd) + sign * int(other.money_microusd)),
        )


class Policy(Struct, frozen=True, kw_only=True):
    """What the loop must and may do.

    Attributes:
        minimum_isolation: a trial whose probed level is lower is refused.
        baseline_seeds: runs of the baseline that measure the noise floor.
        false_promotion_rate: chance, over the whole study, that any promotion is noise.
        maximum_pairs: most paired seeds spent on one candidate before it is discarded as not separable.
        minimum_gain: a gain that is real but smaller than this is not promoted; in the metric's unit.
        deterministic: None lets the baseline tell; True or False overrides it.
        execution: how candidates are started: `fresh` for each trial, `fork` from a warm process, or `auto`,
            which forks where that is as well confined.
        bound: the best score that can be true (known optimum, roofline, label-noise ceiling), in the metric's
            unit; what lies beyond it is quarantined as implausible. None is no bound.
        allow_gpu: whether trials may be given a device of the machine.
        holdout_queries: how often the holdout may be asked over the life of the study.
        excision_roles: roles of the hive whose members may excise results of others; authors may always excise
            their own.
        retention_days: how long logs and other erasable blobs are kept at least; `retain` refuses to erase younger
            ones. None is no lower limit.
    """

    minimum_isolation: IsolationLevel = "strong"
    baseline_seeds: int = 5
    false_promotion_rate: float = 0.05
    maximum_pairs: int = 32
    minimum_gain: float = 0.0
    deterministic: bool | None = None
    execution: ExecutionPolicy = "auto"
    bound: float | None = None
    allow_gpu: bool = False
    holdout_queries: int = 20
    excision_roles: tuple[str, ...] = ("owner",)
    retention_days: int | None = None


class StudySettings(Struct, frozen=True, kw_only=True):
    """One version of how a study is run."""

    budget: Budget
    seed: int = 0
    autonomy: Autonomy = "sandbox"
    policy: Policy = Policy()
