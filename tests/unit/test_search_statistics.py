from __future__ import annotations

import math

import pytest

from consilience.search.noise import moments
from consilience.search.statistics import (
    Evidence,
    Judgement,
    NoiseFloor,
    PromotionRule,
    contest_level,
    judge,
    noise_floor,
    pool,
)
from consilience.search.student import critical_value, upper_tail

RULE = PromotionRule(level=1e-4, maximum_pairs=32, minimum_gain=0.0)


def noisy(*gains: float, deviation: float = 1.0) -> Evidence:
    return Evidence(gains=gains, noise_deviation=deviation, noise_degrees=4, deterministic=False)


def exact(*gains: float) -> Evidence:
    return Evidence(gains=gains, noise_deviation=0.0, noise_degrees=4, deterministic=True)


# Published table values (two-sided tables halved) and closed forms for 1 and 2 degrees.
@pytest.mark.parametrize(
    ("level", "degrees", "expected"),
    [(0.025, 10, 2.228139), (0.005, 5, 4.032143), (0.0005, 30, 3.645959), (0.05, 120, 1.657651)],
)
def test_critical_values_match_tables(level: float, degrees: int, expected: float) -> None:
    assert critical_value(level, degrees) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("t", [0.1, 0.7, 1.0, 3.0, 40.0])
def test_tails_match_closed_forms(t: float) -> None:
    cauchy = math.atan2(1.0, t) / math.pi
    two = 0.5 - t / (2.0 * math.sqrt(2.0 + t * t))
    assert upper_tail(t, 1) == pytest.approx(cauchy, rel=1e-9)
    assert upper_tail(t, 2) == pytest.approx(two, rel=1e-9)
    assert upper_tail(-t, 3) == pytest.approx(1.0 - upper_tail(t, 3), rel=1e-12)


def test_far_tail_is_accurate_where_promotion_works() -> None:
    assert critical_value(1e-9, 1) == pytest.approx(1.0 / math.tan(math.pi * 1e-9), rel=1e-6)


def test_shares_of_all_contests_add_up_to_the_total() -> None:
    spent = math.fsum(contest_level(0.05, index) for index in range(20_000))
    assert spent < 0.05
    assert spent == pytest.approx(0.05, rel=0.02)
    assert math.fsum(contest_level(0.05, index) for index in range(200)) == pytest.approx(0.025)


def test_deterministic_gain_is_promoted_with_one_pair() -> None:
    assert judge(exact(1e-9), RULE).decision == "promote"
    assert judge(exact(0.0), RULE).decision == "discard"
    assert judge(exact(-1.0), RULE).decision == "discard"


@pytest.mark.parametrize("evidence", [exact(0.5), noisy(*(0.5 + 0.001 * (i % 2) for i in range(32)), deviation=0.001)])
def test_gain_must_exceed_the_minimum(evidence: Evidence) -> None:
    assert judge(evidence, RULE).decision == "promote"
    assert judge(evidence, PromotionRule(level=1e-4, maximum_pairs=32, minimum_gain=0.6)).decision == "discard"


def test_no_pair_asks_for_one() -> None:
    judgement = judge(noisy(), RULE)
    assert (judgement.decision, judgement.wanted_pairs) == ("continue", 1)


def test_poor_first_pair_ends_the_contest() -> None:
    judgement = judge(noisy(-1.0), RULE)
    assert (judgement.decision, judgement.wanted_pairs) == ("discard", 1)


def test_large_steady_gain_is_promoted_before_the_last_look() -> None:
    gains = [3.0 + 0.3 * math.sin(i) for i in range(32)]
    promoted = _first_decision(gains)
    assert promoted.decision == "promote"
    assert promoted.wanted_pairs < 32
    assert promoted.lower_bound > 0.0
    assert promoted.gain > promoted.floor


def test_one_lucky_pair_is_not_a_promotion() -> None:
    judgement = judge(noisy(50.0), RULE)
    assert (judgement.decision, judgement.wanted_pairs) == ("continue", 2)


def test_gain_that_stays_between_is_discarded_at_the_last_look() -> None:
    gains = [1.0 + 1.4 * (-1) ** i for i in range(32)]
    rule = PromotionRule(level=1e-6, maximum_pairs=32, minimum_gain=0.0)
    assert judge(noisy(*gains, deviation=1.0), rule).decision == "discard"


def test_nothing_is_promoted_between_looks() -> None:
    gains = tuple(5.0 + 0.01 * i for i in range(7))
    assert judge(noisy(*gains[:6], deviation=0.01), RULE).decision == "promote"
    between = judge(noisy(*gains, deviation=0.01), RULE)
    assert (between.decision, between.wanted_pairs) == ("continue", 8)


def test_equal_gains_without_spread_need_enough_seeds() -> None:
    few = judge(noisy(*[0.01] * 8, deviation=0.0), RULE)
    many = judge(noisy(*[0.01] * 24, deviation=0.0), RULE)
    assert few.decision == "continue"
    assert many.decision == "promote"


def test_gains_that_agree_by_chance_are_weighed_with_the_pooled_spread() -> None:
    alone = judge(noisy(*[0.5] * 6, deviation=1.0), RULE)
    assert alone.decision != "promote"


def test_small_limit_of_pairs_still_ends() -> None:
    rule = PromotionRule(level=0.01, maximum_pairs=1, minimum_gain=0.0)
    assert judge(noisy(1.0), rule).decision == "discard"
    assert judge(noisy(40.0), rule).decision == "promote"


def test_huge_scores_give_finite_figures() -> None:
    judgement = judge(noisy(1e308, -1e308, 1e308, deviation=1e300), RULE)
    assert all(math.isfinite(x) for x in (judgement.gain, judgement.lower_bound, judgement.floor))


def test_reason_is_one_sentence_with_figures() -> None:
    judgement = judge(noisy(-1.0), RULE)
    assert judgement.reason == (
        "even read with optimism, too small to become separable: mean gain -1 over 1 paired seed, "
        f"lower bound {judgement.lower_bound:.4g}, floor 1.414"
    )


def test_noise_floor_is_the_sample_deviation() -> None:
    floor = noise_floor((1.0, 2.0, 3.0, 4.0, 5.0))
    assert floor == NoiseFloor(mean=3.0, deviation=pytest.approx(math.sqrt(2.5)), degrees=4, deterministic=False)


@pytest.mark.parametrize(("scores", "deterministic"), [((2.5,) * 5, True), ((2.5,), False), ((), False)])
def test_equal_scores_are_deterministic_when_there_are_two(scores: tuple[float, ...], deterministic: bool) -> None:
    floor = noise_floor(scores)
    assert floor.deterministic is deterministic
    assert floor.deviation == 0.0


def test_equal_scores_have_no_spread_from_rounding() -> None:
    assert moments((0.1,) * 7) == (0.1, 0.0)


def test_pooling_keeps_the_mean_and_weighs_by_degrees() -> None:
    pooled = pool(noise_floor((0.0, 2.0)), [(10.0, 10.0, 10.0), (7.0,)])
    assert pooled.mean == 1.0
    assert pooled.degrees == 3
    assert pooled.deviation == pytest.approx(math.sqrt(2.0 / 3.0))


def test_pooling_finds_noise_that_the_baseline_did_not_show() -> None:
    steady = noise_floor((1.0, 1.0, 1.0))
    assert pool(steady, [(2.0, 2.0)]).deterministic
    assert not pool(steady, [(2.0, 2.1)]).deterministic


def _first_decision(gains: list[float]) -> Judgement:
    wanted = 1
    while True:
        judgement = judge(noisy(*gains[:wanted]), RULE)
        if judgement.decision != "continue":
            return judgement
        assert judgement.wanted_pairs > wanted
        wanted = judgement.wanted_pairs
