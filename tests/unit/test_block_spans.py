from __future__ import annotations

import pytest

from consilience.core import blocks

TWO = """import math
# EVOLVE-BLOCK-START
a = 1
b = 2
# EVOLVE-BLOCK-END
c = 3
// EVOLVE-BLOCK-START
// EVOLVE-BLOCK-END
"""


def test_spans_count_lines_from_one_and_leave_the_markers_out() -> None:
    assert blocks.editable_spans(TWO) == ((3, 4), (8, 7))
    assert blocks.editable_texts(TWO) == ("a = 1\nb = 2\n", "")


def test_text_without_markers_may_change_wholly() -> None:
    assert blocks.editable_spans("a\r\nb\rc") == ((1, 3),)
    assert blocks.fixed_text("a\nb\n") == ""
    assert blocks.replace_spans("a\n", ["b"]) == "b"
    assert blocks.same_fixed_text("a\n", "quite another\n")


@pytest.mark.parametrize(
    "marker",
    [
        "# EVOLVE-BLOCK-START",
        "    #EVOLVE-BLOCK-START: search",
        "/* EVOLVE-BLOCK-START */",
        "-- EVOLVE-BLOCK-START",
        "x = 1  # EVOLVE-BLOCK-START",
        "EVOLVE-BLOCK-START",
    ],
)
def test_comment_signs_of_any_language_and_trailing_comments_mark(marker: str) -> None:
    assert blocks.editable_spans(f"{marker}\nx\n# EVOLVE-BLOCK-END\n") == ((2, 2),)


@pytest.mark.parametrize("line", ["# see EVOLVE-BLOCK-START", "EVOLVE-BLOCK-STARTED = 1", "x = 'EVOLVE-BLOCK-END'"])
def test_mentions_do_not_mark(line: str) -> None:
    assert not blocks.has_markers(line)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("# EVOLVE-BLOCK-START\n", "START in line 1 without an END"),
        ("\n# EVOLVE-BLOCK-END\n", "END in line 2 without a START"),
        ("# EVOLVE-BLOCK-START\n# EVOLVE-BLOCK-START\n# EVOLVE-BLOCK-END\n", "line 2 inside the block of line 1"),
    ],
)
def test_unbalanced_markers_make_nothing_editable(text: str, fault: str) -> None:
    assert fault in blocks.marker_fault(text)
    with pytest.raises(ValueError, match="EVOLVE-BLOCK"):
        blocks.editable_spans(text)
    assert not blocks.same_fixed_text(text, text)


def test_replacing_keeps_the_fixed_text_and_ends_lines() -> None:
    new = blocks.replace_spans(TWO, ["a = 9", "d = 4\n"])
    assert blocks.same_fixed_text(TWO, new)
    assert blocks.editable_texts(new) == ("a = 9\n", "d = 4\n")


@pytest.mark.parametrize("texts", [["one"], ["a", "b", "c"], ["# EVOLVE-BLOCK-END\n", ""]])
def test_replacing_refuses_a_wrong_number_and_new_markers(texts: list[str]) -> None:
    with pytest.raises(ValueError, match=r"block|EVOLVE"):
        blocks.replace_spans(TWO, texts)


@pytest.mark.parametrize(
    "new",
    [
        TWO.replace("c = 3", "c = 4"),
        TWO.replace("import math\n", ""),
        TWO.replace("a = 1\n", "# EVOLVE-BLOCK-END\nsmuggled = 1\n# EVOLVE-BLOCK-START\n"),
        TWO.replace("# EVOLVE-BLOCK-START\na", "a"),
        TWO.replace("EVOLVE-BLOCK-", ""),
    ],
)
def test_changes_outside_the_blocks_are_seen(new: str) -> None:
    assert not blocks.same_fixed_text(TWO, new)


def test_lines_inside_one_span_are_editable() -> None:
    spans = blocks.editable_spans(TWO)
    assert blocks.is_editable(spans, 3, 4)
    assert not blocks.is_editable(spans, 4, 5)
    assert not blocks.is_editable(spans, 6, 6)
