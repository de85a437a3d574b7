"""Student's distribution beside SciPy's, over the degrees and levels that contests use."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from consilience.search.student import critical_value, upper_tail

DEGREES = (1, 2, 3, 4, 5, 7, 11, 15, 31, 63, 127, 255, 5_000, 200_000)


@pytest.mark.parametrize("degrees", DEGREES)
@pytest.mark.parametrize("level", [0.4, 0.05, 1e-3, 1e-5, 1e-9, 1e-12])
def test_critical_values_match_scipy(level: float, degrees: int) -> None:
    assert critical_value(level, degrees) == pytest.approx(stats.t.isf(level, degrees), rel=1e-8)


@pytest.mark.parametrize("degrees", DEGREES)
@pytest.mark.parametrize("t", [-30.0, -1.0, 0.0, 1e-6, 0.3, 1.0, 1.7, 2.0, 5.0, 20.0, 300.0])
def test_tails_match_scipy(t: float, degrees: int) -> None:
    expected = float(stats.t.sf(t, degrees))
    assert upper_tail(t, degrees) == pytest.approx(expected, rel=1e-8, abs=1e-290)


@given(st.floats(1e-12, 0.45), st.integers(1, 300))
def test_a_quantile_undoes_its_tail(level: float, degrees: int) -> None:
    assert upper_tail(critical_value(level, degrees), degrees) == pytest.approx(level, rel=1e-6)


@given(st.floats(-50, 50), st.floats(1e-3, 50), st.integers(1, 300))
def test_tails_fall(t: float, step: float, degrees: int) -> None:
    assert upper_tail(t + step, degrees) <= upper_tail(t, degrees)


@pytest.mark.parametrize("degrees", [1, 6, 200])
def test_levels_beyond_reach_still_give_a_finite_value(degrees: int) -> None:
    value = critical_value(1e-300, degrees)
    assert math.isfinite(value)
    assert value > critical_value(1e-12, degrees)


def test_values_out_of_range_have_no_tail() -> None:
    assert upper_tail(1e200, 3) == 0.0
    assert upper_tail(-1e200, 3) == 1.0
    assert upper_tail(0.0, 3) == 0.5
