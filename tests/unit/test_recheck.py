"""Winners that were forked are measured again in fresh processes before they are promoted."""

from __future__ import annotations

import pytest

from consilience.search.noise import NoiseFloor
from consilience.search.recheck import RUNS, recheck_fault, recheck_seeds

NOISY = NoiseFloor(mean=1.0, deviation=0.1, degrees=4, deterministic=False)
EXACT = NoiseFloor(mean=1.0, deviation=0.0, degrees=4, deterministic=True)
SIX = tuple(range(RUNS))


def fault(earlier: float, fresh: float, noise: NoiseFloor | None, among: int = 1) -> str:
    return recheck_fault(dict.fromkeys(range(among), earlier), {0: fresh}, noise)


@pytest.mark.parametrize("noise", [None, NOISY, EXACT])
def test_equal_scores_agree(noise: NoiseFloor | None) -> None:
    assert fault(2.0, 2.0, noise) == ""
    assert fault(0.1 + 0.2, 0.3, noise) == "", "the last bits of a sum are no difference"
    assert recheck_fault(dict.fromkeys(SIX, 0.1 + 0.2), dict.fromkeys(SIX, 0.3), noise) == ""


@pytest.mark.parametrize("noise", [None, EXACT])
def test_where_there_is_no_noise_any_difference_is_a_fault(noise: NoiseFloor | None) -> None:
    assert "scored 1.99 where the forked one scored 2" in fault(2.0, 1.99, noise)


def test_where_there_is_noise_only_what_it_does_not_explain_is_a_fault() -> None:
    # t(0.0005, 4) = 8.610, times 0.1 and the square root of 2: 1.2176
    assert fault(2.0, 0.79, NOISY) == ""
    assert fault(2.0, 0.78, NOISY) != ""
    assert fault(0.78, 2.0, NOISY) != "", "a fresh run that is far better is no agreement either"
    assert fault(2.0, 0.5, NOISY, among=4) == "", "the best of four runs is a lucky one"
    assert fault(2.0, 0.0, NOISY, among=4) != ""


def test_a_steady_difference_over_all_runs_is_a_fault_however_small_beside_the_noise() -> None:
    forked = {seed: 1.0 + 0.1 * seed for seed in SIX}
    assert "over 6 seeds" in recheck_fault(forked, {seed: score - 0.2 for seed, score in forked.items()}, NOISY)
    # t(0.0005, 5) = 6.869: differences of mean 0.05 and deviation 0.0548 are t = 2.24
    unsteady = {seed: score - (0.1 if seed % 2 else 0.0) for seed, score in forked.items()}
    assert recheck_fault(forked, unsteady, NOISY) == ""
    few = {seed: forked[seed] - 0.2 for seed in SIX[:-1]}
    assert recheck_fault(forked, few, NOISY) == "", "it is told only when all runs are there"


def test_the_seeds_that_won_most_are_measured_again() -> None:
    gains = {7: 1.0, 3: 5.0, 9: 5.0, 1: -1.0, 2: 2.0, 4: 4.0, 5: 3.0}
    assert recheck_seeds(gains, noisy=False) == (3,)
    assert recheck_seeds(gains, noisy=True) == (3, 9, 4, 5, 2, 7)
