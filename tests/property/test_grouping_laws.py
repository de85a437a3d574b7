"""Whatever was denied is in some group, and no group is wider than it may be."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from hypothesis import given
from hypothesis import strategies as st

from consilience.node.grouping import group_folders, group_reads

HOME = Path("/no-such-home/u")
names = st.sampled_from(["a", "b", ".cache", ".config", "data", "no-such-home", "u"])
paths = st.lists(names, min_size=1, max_size=6).map(lambda parts: "/no-such-root/" + "/".join(parts))
at_home = st.lists(names, min_size=1, max_size=5).map(lambda parts: f"{HOME}/" + "/".join(parts))
closed = {"/", "/no-such-root", "/no-such-home", str(HOME)}


def allowed(path: str) -> bool:
    return path not in closed


@given(st.lists(st.one_of(paths, at_home), max_size=12))
def test_every_denied_path_is_covered_and_nothing_closed_is_offered(denied: list[str]) -> None:
    groups = group_reads(denied, (), HOME, allowed)
    for path in denied:
        passed = any(other != path and PurePosixPath(other).is_relative_to(path) for other in denied)
        assert passed or any(PurePosixPath(path).is_relative_to(group.path) for group in groups)
    assert not closed & {group.path for group in groups}
    assert all(group.count > 0 for group in groups)
    assert len({group.path for group in groups}) == len(groups)


@given(st.lists(paths, max_size=12))
def test_the_outermost_folders_cover_all_and_overlap_nowhere(folders: list[str]) -> None:
    kept = group_folders(folders)
    assert all(any(PurePosixPath(path).is_relative_to(each) for each in kept) for path in folders)
    assert not any(a != b and PurePosixPath(a).is_relative_to(b) for a in kept for b in kept)
