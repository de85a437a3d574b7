"""Promotion under noise: is this candidate better than the incumbent, or only luckier?

Rules:
    1. A contest compares candidate and incumbent on the same seeds (paired, common random numbers).
    2. Success is tested only at looks fixed beforehand, each with its own share of the contest's
       level, so the chance of a false promotion stays below the level at all looks together.
    3. Futility may stop a contest at any time: giving up can lose a gain, but never invents one.

How a contest runs: after 1, 2, 3, 4, 6, 8, 12 ... pairs it is given up when even an optimistic reading
of the gains stays below what the last look could detect. From 6 pairs on it succeeds when a one-sided
paired t-test (Student 1908) passes at that look's share of the level and the mean clears the noise
floor. Shares add up to the level (alpha spending, Lan and DeMets 1983, Biometrika 70:659, in its
simplest form: a union bound), so no joint distribution is assumed. Under the null with equal noise the
paired gain is symmetric, whatever the skew of one run; for symmetric variables with heavy tails the
t-test is conservative (Efron 1969, JASA 64:1278; Benjamini 1983, JASA 78:645). `benchmarks/noise.py`
measures level and power through the whole engine, beside keep-if-better, and shows the weakest case:
noise that is both skewed towards bad luck and larger in the candidate.

Data flow: outcomes on the panel -> `engine` -> Evidence -> `judge` -> Judgement -> verdict.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

from msgspec import Struct

from consilience.search.noise import LARGEST, NoiseFloor, hold, moments, noise_floor, pool
from consilience.search.student import critical_value

__all__ = [
    "Evidence",
    "Judgement",
    "NoiseFloor",
    "PromotionRule",
    "contest_level",
    "judge",
    "noise_floor",
    "pool",
]

Decision = Literal["promote", "discard", "continue"]

# What these constants cost and find is measured by `benchmarks/noise.py`.
LOOKS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
FIRST_SUCCESS = 6  # with fewer pairs the critical value is beyond any gain worth waiting for
OPTIMISM = 1.4  # standard errors: a gain at the edge of detection survives one look with chance 0.92
LARGEST_TARGET = math.sqrt(2.0)  # in deviations of one pair: two deviations of one run, unpaired
PRIOR_DEGREES = 2  # weight of the pooled spread beside the contest's own, in pairs
HALF_OF_CONTESTS = 200  # contests among which the first half of the false-promotion rate is shared


class Evidence(Struct, frozen=True, kw_only=True):
    """What a contest has shown so far.

    Attributes:
        gains: the candidate's gain over the incumbent on each common seed; positive is better.
        noise_deviation: pooled spread of one run over seeds, in the metric's unit.
        noise_degrees: degrees of freedom of that spread.
        deterministic: one artifact always gets one score, so one pair decides.
    """

    gains: tuple[float, ...]
    noise_deviation: float
    noise_degrees: int
    deterministic: bool


class PromotionRule(Struct, frozen=True, kw_only=True):
    """What a promotion must satisfy.

    Attributes:
        level: this contest's share of the study's false-promotion rate (see `contest_level`).
        maximum_pairs: most pairs to spend before the candidate counts as not separable; at least 1.
        minimum_gain: a gain that is real but not larger than this is not promoted.
    """

    level: float
    maximum_pairs: int
    minimum_gain: float


class Judgement(Struct, frozen=True, kw_only=True):
    """What to do with a candidate, and why.

    Attributes:
        decision: promote, discard, or continue until there are `wanted_pairs`.
        wanted_pairs: how many pairs to have before looking again.
        gain: mean gain over the pairs; 0 without any.
        lower_bound: one-sided bound of the gain at this look's share of the level.
        floor: what a mean over this many pairs must exceed: the noise floor or the minimum gain.
        reason: one sentence with figures.
    """

    decision: Decision
    wanted_pairs: int
    gain: float
    lower_bound: float
    floor: float
    reason: str


def contest_level(total: float, index: int) -> float:
    """Return the share of the false-promotion rate `total` that contest `index` (from 0) may spend.

    The shares H / ((index + H)(index + H + 1)) telescope to 1, so any number of contests stays within
    `total` (union bound), and the first H contests share half of it almost evenly.
    """
    offset = index + HALF_OF_CONTESTS
    return total * HALF_OF_CONTESTS / (offset * (offset + 1))


def judge(evidence: Evidence, rule: PromotionRule) -> Judgement:
    """Decide whether the candidate is promoted, discarded or run on more seeds."""
    gains = tuple(hold(gain) for gain in evidence.gains[: rule.maximum_pairs])
    if not gains:
        return _judgement("continue", _Reading(0, 0.0, 0.0, 0.0, rule.minimum_gain), rule, "no paired seed yet")
    if evidence.deterministic:
        return _judge_exact(gains[0], rule)
    return _judge_noisy(_read(gains, evidence, rule), rule)


class _Reading(Struct, frozen=True):
    """The figures of one look. `spread` is the deviation of one paired gain."""

    pairs: int
    gain: float
    spread: float
    lower_bound: float
    floor: float


def _judge_exact(gain: float, rule: PromotionRule) -> Judgement:
    better = gain > rule.minimum_gain
    words = f"the evaluator is deterministic and the gain {'exceeds' if better else 'does not exceed'} the minimum"
    return _judgement("promote" if better else "discard", _Reading(1, gain, 0.0, gain, rule.minimum_gain), rule, words)


def _judge_noisy(reading: _Reading, rule: PromotionRule) -> Judgement:
    is_look = reading.pairs in _shares(rule.maximum_pairs)
    if is_look and reading.lower_bound > 0.0 and reading.gain > reading.floor:
        return _judgement("promote", reading, rule, "the gain is beyond noise")
    if reading.pairs >= rule.maximum_pairs:
        return _judgement("discard", reading, rule, "not separable from noise within the most pairs allowed")
    if _is_futile(reading, rule):
        return _judgement("discard", reading, rule, "even read with optimism, too small to become separable")
    return _judgement("continue", reading, rule, "not yet separable from noise")


def _judgement(decision: Decision, reading: _Reading, rule: PromotionRule, words: str) -> Judgement:
    pairs = reading.pairs
    figures = (
        f"mean gain {reading.gain:.4g} over {pairs} paired seed{'' if pairs == 1 else 's'}, "
        f"lower bound {reading.lower_bound:.4g}, floor {reading.floor:.4g}"
    )
    return Judgement(
        decision=decision,
        wanted_pairs=_next_look(pairs, rule.maximum_pairs) if decision == "continue" else pairs,
        gain=reading.gain,
        lower_bound=reading.lower_bound,
        floor=reading.floor,
        reason=f"{words}: {figures}",
    )


def _read(gains: tuple[float, ...], evidence: Evidence, rule: PromotionRule) -> _Reading:
    """Take the figures of one look.

    The spread of a pair blends the contest's own with the pooled one (two runs: twice the variance), so
    that a few gains that happen to agree do not look certain.
    """
    pairs = len(gains)
    gain, squares = moments(gains)
    noise = min(evidence.noise_deviation, LARGEST)
    blended = math.sqrt((PRIOR_DEGREES * 2.0 * noise**2 + squares) / (PRIOR_DEGREES + pairs - 1))
    own = math.sqrt(squares / (pairs - 1)) if pairs > 1 else 0.0
    degrees = pairs - 1 if pairs > 1 else max(evidence.noise_degrees, 1)
    return _Reading(
        pairs=pairs,
        gain=gain,
        spread=blended,
        lower_bound=_lower_bound(gain, max(own, blended), (pairs, degrees), _share(pairs, rule)),
        floor=max(noise * math.sqrt(2.0 / pairs), rule.minimum_gain),
    )


def _lower_bound(gain: float, spread: float, counts: tuple[int, int], share: float) -> float:
    """Return the one-sided Student bound of a mean; `counts` are its pairs and the degrees of its spread.

    Without any spread there is no t: equal gains on n seeds refute luck at 2^-n (the sign test).
    """
    pairs, degrees = counts
    if spread > 0.0:
        return gain - critical_value(share, degrees) * spread / math.sqrt(pairs)
    return gain if 0.5**pairs <= share else min(gain, 0.0)


def _is_futile(reading: _Reading, rule: PromotionRule) -> bool:
    most = rule.maximum_pairs
    last = critical_value(_share(most, rule), max(most - 1, 1))
    target = min((last + OPTIMISM) / math.sqrt(most), LARGEST_TARGET) * reading.spread
    optimistic = reading.gain + OPTIMISM * reading.spread / math.sqrt(reading.pairs)
    return optimistic <= max(target, rule.minimum_gain)  # equal: no gain, no spread


def _share(pairs: int, rule: PromotionRule) -> float:
    """Return this look's share of the level; between looks nothing is tested, and the last look's is shown."""
    shares = _shares(rule.maximum_pairs)
    return rule.level * shares.get(pairs, shares[rule.maximum_pairs])


@lru_cache(maxsize=256)
def _shares(most: int) -> dict[int, float]:
    """Return each success look with its share of the level: in proportion to its pairs, adding up to 1."""
    looks = [*(look for look in LOOKS if FIRST_SUCCESS <= look < most), most]
    return {look: look / sum(looks) for look in looks}


def _next_look(pairs: int, most: int) -> int:
    return min(most, min((look for look in LOOKS if look > pairs), default=most))
