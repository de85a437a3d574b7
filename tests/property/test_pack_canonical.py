"""The pack's own canonical form is that of RFC 8785, as another implementation writes it."""

import json

from hypothesis import given
from hypothesis import strategies as st

from consilience.core.canonical import canonical_bytes
from consilience.node.pack.verify_pack import SAFE, canonical, number_text

FINITE = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(1 - SAFE, SAFE - 1) | FINITE | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(FINITE)
def test_numbers_are_those_of_ecmascript(value: float) -> None:
    assert number_text(value).encode() == canonical_bytes(value)


@given(VALUES)
def test_values_are_written_alike(value: object) -> None:
    assert canonical(value).encode() == canonical_bytes(value)


@given(VALUES)
def test_what_was_written_reads_and_writes_the_same(value: object) -> None:
    text = canonical_bytes(value).decode()
    assert canonical(json.loads(text)) == text
