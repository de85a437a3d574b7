"""Winners that were forked are measured again in a fresh process before they are promoted."""

from __future__ import annotations

import pytest

from consilience.search.noise import NoiseFloor
from consilience.search.recheck import recheck_fault, recheck_seed

NOISY = NoiseFloor(mean=1.0, deviation=0.1, degrees=4, deterministic=False)
EXACT = NoiseFloor(mean=1.0, deviation=0.0, degrees=4, deterministic=True)


@pytest.mark.parametrize("noise", [None, NOISY, EXACT])
def test_equal_scores_agree(noise: NoiseFloor | None) -> None:
    assert recheck_fault(2.0, 2.0, noise) == ""
    assert recheck_fault(0.1 + 0.2, 0.3, noise) == "", "the last bits of a sum are no difference"


@pytest.mark.parametrize("noise", [None, EXACT])
def test_where_there_is_no_noise_any_difference_is_a_fault(noise: NoiseFloor | None) -> None:
    assert "scored 1.99 where the forked one scored 2" in recheck_fault(2.0, 1.99, noise)


def test_where_there_is_noise_only_what_it_does_not_explain_is_a_fault() -> None:
    # t(0.0005, 4) = 8.610, times 0.1 and the square root of 2: 1.2176
    assert recheck_fault(2.0, 0.79, NOISY) == ""
    assert recheck_fault(2.0, 0.78, NOISY) != ""
    assert recheck_fault(0.78, 2.0, NOISY) != "", "a fresh run that is far better is no agreement either"


def test_the_seed_that_won_most_is_measured_again_and_may_have_been_lucky() -> None:
    assert recheck_seed({7: 1.0, 3: 5.0, 9: 5.0}) == 3
    # t(0.0005 / 4, 4) = 12.55 or so: the best of four runs may differ by more than one run may
    assert recheck_fault(2.0, 0.5, NOISY) != ""
    assert recheck_fault(2.0, 0.5, NOISY, chosen_among=4) == ""
    assert recheck_fault(2.0, 0.0, NOISY, chosen_among=4) != ""
