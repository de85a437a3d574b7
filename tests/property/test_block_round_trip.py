from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from consilience.core import blocks

START, END = "# EVOLVE-BLOCK-START\n", "# EVOLVE-BLOCK-END\n"
LINES = st.lists(
    st.text(alphabet="ab =#\t\f\u2028", max_size=6).map(lambda line: line + "\n"),
    max_size=4,
).map("".join)
BLOCKS = st.lists(st.tuples(LINES, LINES), min_size=1, max_size=4)


def build(parts: list[tuple[str, str]], tail: str) -> str:
    return "".join(fixed + START + body + END for fixed, body in parts) + tail


@given(st.text())
def test_lines_join_to_the_text(text: str) -> None:
    assert "".join(blocks.split_lines(text)) == text


@given(BLOCKS, LINES)
def test_splitting_finds_what_was_put_in(parts: list[tuple[str, str]], tail: str) -> None:
    text = build(parts, tail)
    assert blocks.editable_texts(text) == tuple(body for _, body in parts)
    assert blocks.fixed_text(text) == build([(fixed, "") for fixed, _ in parts], tail)


@given(BLOCKS, LINES)
def test_replacing_blocks_by_themselves_changes_nothing(parts: list[tuple[str, str]], tail: str) -> None:
    text = build(parts, tail)
    assert blocks.replace_spans(text, blocks.editable_texts(text)) == text


@given(BLOCKS, LINES, st.data())
def test_replacing_changes_blocks_and_nothing_else(
    parts: list[tuple[str, str]], tail: str, data: st.DataObject
) -> None:
    text = build(parts, tail)
    new = [data.draw(LINES) for _ in parts]
    result = blocks.replace_spans(text, new)
    assert blocks.editable_texts(result) == tuple(new)
    assert blocks.same_fixed_text(text, result)


@given(BLOCKS, LINES, st.data())
def test_another_fixed_part_is_always_noticed(parts: list[tuple[str, str]], tail: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(parts) - 1))
    fixed, body = parts[place]
    changed = [*parts[:place], (fixed + "z\n", body), *parts[place + 1 :]]
    assert not blocks.same_fixed_text(build(parts, tail), build(changed, tail))
