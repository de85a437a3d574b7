"""What a terminal of 80 columns shows of a board, and what a pipe gets of any table."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console

from consilience.core.outcome import Isolation
from consilience.interfaces.cli.output import stdout, table
from consilience.interfaces.cli.showing import show_board
from consilience.journal.views.leaderboard import BoardRow
from consilience.node.reports import BoardReport

SPLIT = Isolation(level="strong", domain="split")
SHARED = Isolation(level="strong", domain="shared-process")


def board(*isolations: Isolation) -> BoardReport:
    rows = [
        BoardRow(
            place=place,
            trial=1000 + place,
            candidate="c" * 64,
            mean=0.000123456,
            bound=-0.000123456,
            runs=12,
            failures=0,
            violates=False,
            verdict="discarded",
            operator="wrap-in-a-call",
            events=(),
            isolation=isolation,
        )
        for place, isolation in enumerate(isolations, start=1)
    ]
    said = {"problem": "p", "name": "valley", "metric": "depth", "unit": "", "direction": "minimize"}
    return BoardReport(**said, rankings={"k" * 64: rows}, quarantined={}, records=[])


def shown(width: int, *isolations: Isolation) -> str:
    stream = io.StringIO()
    show_board(Console(file=stream, width=width, markup=False, highlight=False), board(*isolations), 10)
    return stream.getvalue()


def test_figures_are_whole_in_80_columns() -> None:
    out = shown(80, SPLIT, SPLIT)
    assert max(map(len, out.splitlines())) <= 80
    assert out.count(" 0.000123456") == 2
    assert out.count("-0.000123456") == 2
    assert "…" not in out
    assert "isolation of each: strong/split/fresh" in out


def test_results_that_were_held_differently_are_told_apart() -> None:
    out = shown(80, SPLIT, SHARED)
    assert "isolation of each" not in out
    assert "* shared-process" in out


def test_a_wide_terminal_shows_candidate_and_operator() -> None:
    assert "wrap-in-a-call" in shown(120, SPLIT)


def test_a_pipe_gets_whole_lines_without_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", stream := io.StringIO())
    made = table("", "a", "b")
    made.add_row("short", "x")
    made.add_row("longer", "word " * 100)
    stdout().print(made)
    assert [line.count("word") for line in stream.getvalue().splitlines()] == [0, 0, 100]
    assert all(line == line.rstrip() for line in stream.getvalue().splitlines())
