"""A float beyond 2^53 has digits only in canonical form; a row that holds one is canonical all the same."""

import pytest

from consilience.core.bodies import PhaseSwitched
from consilience.core.events import payload_bytes
from consilience.journal.feed import FeedHead, check_canonical, next_payload

HEAD = FeedHead(hive="h", author="a", feed="f")


@pytest.mark.parametrize("figure", [2.0**53, 1e16, -3e20, 1e21, 1e300])
def test_large_floats_are_canonical_on_receipt(figure: float) -> None:
    body = PhaseSwitched(phase="explore", figures={"x": figure}, reason="")
    assert check_canonical(payload_bytes(next_payload(HEAD, body, at=0))) == ""


def test_digits_that_no_float_has_are_not() -> None:
    assert check_canonical(b'{"x":10000000000000000}') == ""
    assert check_canonical(b'{"x":10000000000000001}') == "the payload is not in canonical form"
