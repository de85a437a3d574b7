"""Whatever bytes a child writes, in whatever pieces: one line or a refusal, never another error."""

from __future__ import annotations

import os
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from consilience.trials.executors.candidate_process import Reply
from consilience.trials.executors.messages import NotPlainError, check_plain, decode_line
from consilience.trials.executors.pipes import Lines

CAP = 64


@given(st.binary(max_size=200) | st.text(alphabet='{}[]",:0123456789.eE+-ntrufalsvNI\\ ', max_size=60).map(str.encode))
def test_any_bytes_decode_or_are_refused(line: bytes) -> None:
    with suppress(NotPlainError):
        check_plain(decode_line(line, Reply).value)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8))
def test_pieces_do_not_matter(pieces: list[bytes]) -> None:
    together = b"".join(pieces)
    first, newline, rest = together.partition(b"\n")
    for chunks in (pieces, [together] if together else []):
        lines = _lines(chunks)
        if not newline:
            assert lines.overflow == (len(first) > CAP)
            assert lines.take() is None
            continue
        assert lines.overflow == (len(first) > CAP or len(rest) > CAP)
        assert lines.take() == first or lines.overflow
        assert lines.overflow or lines.spoke == bool(rest)  # an overflow ends the trial, whatever follows


def _lines(chunks: list[bytes]) -> Lines:
    reading, writing = os.pipe()
    lines = Lines(reading, CAP)
    for chunk in chunks:
        os.write(writing, chunk)
        lines.read()
    os.close(writing)
    lines.close()
    return lines
