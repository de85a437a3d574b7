"""The generated table of docs/isolation.md is whole, and tells of no leak at `strong`."""

from __future__ import annotations

from pathlib import Path

from consilience.trials.sandbox.canaries import full_names, quick_names

PAGE = Path(__file__).resolve().parents[2] / "docs" / "isolation.md"


def rows() -> dict[str, dict[str, str]]:
    table = PAGE.read_text().split("<!-- canaries", 1)[1].split("<!-- end of canaries -->", 1)[0]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:1] == "|"]
    heads = lines[0][1:]
    return {line[0].split("(`")[-1].rstrip("`)"): dict(zip(heads, line[1:], strict=True)) for line in lines[2:]}


def test_every_canary_has_its_row() -> None:
    assert tuple(rows()) == full_names(), "run: python scripts/write_isolation.py"


def test_nothing_is_reached_at_strong_and_two_things_at_restricted() -> None:
    for name, cells in rows().items():
        assert {cells["`strong`, root"], cells["`strong`, user"]} == {"held"}, name
        seen = "**reached**" if name in {"find_process", "mark_outside"} else "held"
        assert {cells["`restricted`, root"], cells["`restricted`, user"]} == {seen}, name


def test_the_start_up_probe_demands_all_but_what_is_stated_and_the_hogs() -> None:
    assert set(full_names()) - set(quick_names()) == {
        *("find_process", "memory_of_one", "memory_of_four", "fork_bomb"),
        *("disk_fill", "hidden_fill", "inode_fill", "sparse_file"),
    }
