"""Where the promotion rule could be fooled: few pairs, no spread, ties, coarse and huge scores, many looks."""

import itertools
import math
import random

import pytest
from scipy import stats

from consilience.search.statistics import LOOKS, Evidence, PromotionRule, _shares, contest_level, judge

LOOSE = PromotionRule(level=0.05, maximum_pairs=32, minimum_gain=0.0)


def evidence(gains: tuple[float, ...], deviation: float = 1.0, degrees: int = 4) -> Evidence:
    return Evidence(gains=gains, noise_deviation=deviation, noise_degrees=degrees, deterministic=False)


@pytest.mark.parametrize("most", [1, 2, 3, 5, 6, 7, 8, 30, 32, 33, 500])
def test_looks_share_the_whole_level_and_the_last_pair_is_one(most: int) -> None:
    shares = _shares(most)
    assert math.fsum(shares.values()) == pytest.approx(1.0)
    assert max(shares) == most
    assert all(look in LOOKS or look == most for look in shares)
    assert list(shares.values()) == sorted(shares.values())


def test_the_level_falls_from_contest_to_contest() -> None:
    levels = [contest_level(0.05, index) for index in range(1000)]
    assert all(later < earlier for earlier, later in itertools.pairwise(levels))
    assert levels[0] < 0.05 / 200


def test_one_pair_is_as_uncertain_as_one_pair() -> None:
    rule = PromotionRule(level=0.01, maximum_pairs=1, minimum_gain=0.0)
    needed = float(stats.t.isf(0.01, 4)) * math.sqrt(2.0)  # a difference of two runs, spread known from five
    assert judge(evidence((needed * 1.001,)), rule).decision == "promote"
    assert judge(evidence((needed * 0.999,)), rule).decision == "discard"


def test_one_pair_without_any_spread_proves_nothing() -> None:
    rule = PromotionRule(level=0.1, maximum_pairs=1, minimum_gain=0.0)
    assert judge(evidence((1.0,), deviation=0.0), rule).decision == "discard"


def test_the_last_look_is_a_plain_t_test_at_its_share() -> None:
    gains = tuple(0.9 + 1.7 * math.sin(3.0 * index) for index in range(32))
    shown = judge(evidence(gains, deviation=0.0), LOOSE)
    share = 0.05 * _shares(32)[32]
    error = float(stats.sem(gains))
    assert shown.lower_bound == pytest.approx(shown.gain - float(stats.t.isf(share, 31)) * error, rel=1e-9)


def test_equal_scores_without_spread_end_at_once() -> None:
    assert judge(evidence((0.0,), deviation=0.0), LOOSE).decision == "discard"
    assert judge(evidence((0.0, 0.0), deviation=0.0), LOOSE).decision == "discard"


def test_a_change_that_changes_nothing_ends_soon_under_noise() -> None:
    """The same program on the same seeds gives the same scores: gains of exactly 0."""
    rule = PromotionRule(level=1e-4, maximum_pairs=32, minimum_gain=0.0)
    assert judge(evidence((0.0, 0.0)), rule).decision == "discard"


def test_a_gain_that_can_only_equal_the_minimum_ends_at_once() -> None:
    rule = PromotionRule(level=1e-4, maximum_pairs=32, minimum_gain=0.5)
    assert judge(evidence((0.5,), deviation=0.0), rule).decision == "discard"


@pytest.mark.parametrize("gain", [1e308, math.inf])
@pytest.mark.parametrize("deterministic", [True, False])
def test_differences_that_overflow_are_held_finite(gain: float, deterministic: bool) -> None:
    huge = Evidence(gains=(gain,) * 32, noise_deviation=1e200, noise_degrees=4, deterministic=deterministic)
    judgement = judge(huge, LOOSE)
    assert all(map(math.isfinite, (judgement.gain, judgement.lower_bound, judgement.floor)))
    assert judgement.decision == "promote"


def test_tiny_scores_are_judged_like_large_ones() -> None:
    gains = [3.0 + 0.3 * math.sin(index) for index in range(8)]
    decisions = {
        scale: judge(evidence(tuple(scale * gain for gain in gains), deviation=scale), LOOSE).decision
        for scale in (1e-120, 1e-9, 1.0, 1e9, 1e120)
    }
    assert set(decisions.values()) == {"promote"}


def test_pairs_beyond_the_most_are_not_read() -> None:
    rule = PromotionRule(level=0.05, maximum_pairs=8, minimum_gain=0.0)
    weak = tuple(0.1 * (-1) ** index for index in range(8))
    assert judge(evidence((*weak, *(50.0,) * 24)), rule).decision == "discard"


def _promotes(stream: random.Random, draw_one: object, level: float) -> bool:
    """Carry one contest between equals to its end."""
    rule = PromotionRule(level=level, maximum_pairs=32, minimum_gain=0.0)
    gains: list[float] = []
    while True:
        judgement = judge(evidence(tuple(gains)), rule)
        if judgement.decision != "continue":
            return judgement.decision == "promote"
        while len(gains) < judgement.wanted_pairs:
            gains.append(draw_one(stream) - draw_one(stream))  # type: ignore[operator]


@pytest.mark.parametrize(
    "draw_one",
    [
        lambda stream: stream.gauss(0.0, 1.0),
        lambda stream: stream.expovariate(1.0),
        lambda stream: float(stream.random() < 0.5) * 2.0,
        lambda stream: float(round(stream.gauss(0.0, 1.0))),
        lambda stream: stream.gauss(0.0, 1.0) ** 3 / math.sqrt(15.0),
    ],
    ids=["normal", "exponential", "two-valued", "whole numbers", "heavy tails"],
)
def test_the_level_of_one_contest_holds_over_all_its_looks(draw_one: object) -> None:
    """At the level 0.1, 1500 contests between equals: more than 187 promotions would refute it (3 deviations)."""
    stream = random.Random(7)
    promoted = sum(_promotes(stream, draw_one, 0.1) for _ in range(1500))
    assert promoted <= 150 + 3 * math.sqrt(150 * 0.9)
