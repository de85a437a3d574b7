"""Laws of redaction: twice is once, and no known value is left, whatever stands around it."""

from hypothesis import given
from hypothesis import strategies as st

from consilience.core.redaction import LEAST_KNOWN, ShapeRedactor

PIECES = st.sampled_from(
    [
        "password=", "token: ", "sk-abc1", "ghp_", "eyJabcdefgh.", "://u:", "@", "Bearer ",
        "-----BEGIN PRIVATE KEY-----",
        "-----END PRIVATE KEY-----", "[redacted: known]", "[redacted: ", "]", "'", '"', "\\", "\n", " ", "=", "AKIA",
        "ABCDEFGHIJKLMNOP", "0123456789", "a" * 40,
    ]
)  # fmt: skip
TEXTS = st.lists(st.one_of(PIECES, st.text(max_size=12)), max_size=14).map("".join)
VALUES = st.one_of(
    st.text(min_size=LEAST_KNOWN, max_size=20), st.lists(PIECES, min_size=1, max_size=3).map("".join)
).filter(lambda value: len(value.strip()) >= LEAST_KNOWN and "redacted" not in value)


@given(TEXTS, st.lists(VALUES, max_size=3))
def test_twice_is_once(text: str, known: list[str]) -> None:
    redactor = ShapeRedactor(known)
    once = redactor.text(text)
    assert redactor.text(once) == once


@given(VALUES, TEXTS, TEXTS)
def test_no_known_value_is_left(secret: str, before: str, after: str) -> None:
    hidden = ShapeRedactor([secret]).text(before + secret + after)
    assert secret.strip() not in hidden


@given(TEXTS)
def test_text_without_a_find_is_untouched(text: str) -> None:
    redactor = ShapeRedactor()
    assert (redactor.text(text) == text) == (not redactor.finds(text))
