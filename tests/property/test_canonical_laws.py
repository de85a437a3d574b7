"""Canonical bytes: our fast way and RFC 8785's reference write the same bytes, and refuse the same values."""

import math
import struct

import rfc8785
from hypothesis import example, given, settings
from hypothesis import strategies as st

from consilience.core.canonical import canonical_bytes

SURROGATES = range(0xD800, 0xE000)
FLOATS = st.floats(allow_nan=False, allow_infinity=False) | st.floats(1e-7, 1e-3) | st.floats(1e14, 1e23)
SCALARS = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | FLOATS | st.text()
KEYS = st.text(st.characters(codec="utf-8"), max_size=6) | st.sampled_from(["é", "\ue000", "\U00010000", "a", "A"])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(KEYS, inner), max_leaves=30
)


@settings(max_examples=200, deadline=None)
@given(VALUES)
@example({"\ue000": 1, "\U00010000": 2})  # UTF-16 and code points order these differently
@example([-0.0, 1e21, 1e-7, 1e-6, 123456789012345680.0, 5e-324, 0.1 + 0.2])
def test_fast_and_reference_agree(value: object) -> None:
    assert canonical_bytes(value) == rfc8785.dumps(value)


def test_every_character_is_written_as_the_reference_writes_it() -> None:
    text = "".join(chr(code) for code in range(0x110000) if code not in SURROGATES)
    assert canonical_bytes([text]) == rfc8785.dumps([text])
    assert canonical_bytes({"key": text}) == rfc8785.dumps({"key": text})


@settings(max_examples=1000, deadline=None)
@given(st.integers(0, 2**64 - 1))
def test_every_double_is_written_as_the_reference_writes_it(bits: int) -> None:
    value = struct.unpack("d", struct.pack("Q", bits))[0]
    if math.isfinite(value):
        assert canonical_bytes(value) == rfc8785.dumps(value)


def test_what_was_given_is_not_changed() -> None:
    value = {"metrics": {"m": 1.0}, "points": [2.0, (3.0,)]}
    assert canonical_bytes(value) == b'{"metrics":{"m":1},"points":[2,[3]]}'
    assert repr(value) == "{'metrics': {'m': 1.0}, 'points': [2.0, (3.0,)]}"
