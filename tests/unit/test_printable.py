"""Untrusted text cannot move the cursor, change colours or hide its direction."""

import pytest

from consilience.interfaces.text import counts, duration, number, one_line, printable, signed


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("a\rb\x08\x00", "a\\rb\\x08\\x00"),
        ("abc\u202edef", "abc\\u202edef"),
        ("\u200bzero", "\\u200bzero"),
        ("é 日本 ±", "é 日本 ±"),
        ("\ud800", "\\ud800"),
    ],
)
def test_control_characters_are_shown_not_sent(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_one_line_is_one_line_and_capped() -> None:
    assert one_line("a\n  b\tc") == "a b c"
    assert len(one_line("x" * 500, 80)) == 80


def test_figures() -> None:
    assert [number(1.23456789), number(None), number(float("nan"))] == ["1.23457", "-", "-"]
    assert signed(0.5) == "+0.5"
    assert [duration(950), duration(12_340), duration(247_000), duration(7_500_000)] == [
        "950 ms",
        "12.3 s",
        "4m07s",
        "2h05m",
    ]
    assert counts({}) == "none"
    assert counts({"ok": 4, "crash": 1}) == "ok 4, crash 1"
