from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from consilience.problems.results_tsv import ResultRow, parse_results, write_results

FINITE = st.floats(allow_nan=False, allow_infinity=False)
WORDS = st.text().map(lambda text: " ".join(text.split()))
NAMES = st.from_regex(r"[a-zA-Z0-9_.-]{1,12}", fullmatch=True)

CRASHES = st.builds(
    ResultRow, commit=NAMES, value=st.none(), memory_gb=st.none(), status=st.just("crash"), description=WORDS
)
RUNS = st.builds(
    ResultRow,
    commit=NAMES,
    value=FINITE,
    memory_gb=st.none() | FINITE,
    status=st.sampled_from(["keep", "discard"]),
    description=WORDS,
)


@given(st.lists(CRASHES | RUNS, max_size=5), NAMES)
def test_rows_survive_writing_and_reading(rows: list[ResultRow], metric: str) -> None:
    table = parse_results(write_results(rows, metric), "results.tsv")
    assert table.metric == metric
    assert table.rows == tuple(rows)
