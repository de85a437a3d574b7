"""Canonical bytes: one value, one name; what JSON cannot say is refused."""

import math

import pytest

from consilience.core.canonical import canonical_bytes, hash_value


def test_key_order_does_not_matter() -> None:
    assert hash_value({"b": 1, "a": [1.5, None]}) == hash_value({"a": [1.5, None], "b": 1})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 2**53, {"a": object()}])
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="no canonical form"):
        canonical_bytes(value)
