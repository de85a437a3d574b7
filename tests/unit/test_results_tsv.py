from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from consilience.core.errors import ProblemError
from consilience.problems.results_tsv import (
    ResultRow,
    parse_results,
    read_result_table,
    read_results,
    write_results,
)

SHARED = Path(__file__).parents[3] / "shared" / "data" / "autoresearch_mar8_results.tsv"
HEADER = "commit\tval_bpb\tmemory_gb\tstatus\tdescription\n"
TEXT = (
    HEADER
    + "baseline\t0.997900\t44.0\tkeep\tbaseline\n"
    + "bea057b\t0.986041\t43.9\tdiscard\thalve the batch\n"
    + "0c0ffee\t0.000000\t0.0\tcrash\tdouble the width (out of memory)\n"
)


def test_rows_are_read_and_a_crash_has_no_value(tmp_path: Path) -> None:
    path = tmp_path / "results.tsv"
    path.write_text(TEXT)
    table = read_result_table(path)
    assert table.metric == "val_bpb"
    assert table.rows == read_results(path)
    assert table.rows[1] == ResultRow(
        commit="bea057b", value=0.986041, memory_gb=43.9, status="discard", description="halve the batch"
    )
    assert (table.rows[2].value, table.rows[2].memory_gb, table.rows[2].status) == (None, None, "crash")


def test_what_is_written_is_what_was_read() -> None:
    table = parse_results(TEXT, "results.tsv")
    assert write_results(table.rows, table.metric) == TEXT


def test_line_ends_of_another_system_and_blank_lines_do_not_matter() -> None:
    assert parse_results(TEXT.replace("\n", "\r\n") + "\r\n\n", "r").rows == parse_results(TEXT, "r").rows


def test_memory_may_be_unknown() -> None:
    (row,) = parse_results(HEADER + "a\t1.5\t\tkeep\tx\n", "r").rows
    assert (row.memory_gb, row.value) == (None, 1.5)


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("", "line 1", "commit METRIC memory_gb"),
        ("commit,val_bpb\n", "line 1", "separated by tabs"),
        (HEADER + "a\t1\t1\tkeep\n", "line 2", "4 columns"),
        (HEADER + "a\t1\t1\tkeep\tx\nb\t1\t1\tkeeep\tx\n", "line 3", "did you mean 'keep'"),
        (HEADER + "a\tlow\t1\tkeep\tx\n", "line 2", "'low' for the metric"),
        (HEADER + "a\tnan\t1\tdiscard\tx\n", "line 2", "a finite number"),
        (HEADER + "a\t1\tinf\tkeep\tx\n", "line 2", "'inf' for memory_gb"),
        (HEADER + "\t1\t1\tkeep\tx\n", "line 2", "no commit"),
    ],
)
def test_a_wrong_line_is_named(text: str, key: str, words: str) -> None:
    with pytest.raises(ProblemError) as caught:
        parse_results(text, "results.tsv")
    assert (caught.value.file, caught.value.key) == ("results.tsv", key)
    assert words in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.skipif(not SHARED.exists(), reason="the published results are not beside this checkout")
def test_published_results_are_read_whole() -> None:
    rows = read_results(SHARED)
    assert Counter(row.status for row in rows) == {"keep": 23, "discard": 102, "crash": 1}
    assert [row.value for row in rows if row.status == "crash"] == [None]
    assert rows[0].value == 0.9979
