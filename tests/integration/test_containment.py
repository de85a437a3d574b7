"""The whole list of canaries at each level: none is reached at `strong`, and what is reached below it is stated."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from sandbox_bench import SYSTEM_PYTHON

from consilience.core.errors import IsolationError
from consilience.core.outcome import IsolationLevel
from consilience.trials.sandbox.canaries import Canary, full_names, run_canaries
from consilience.trials.sandbox.cgroups import Lack, find_place
from consilience.trials.sandbox.probe import TreeLimits, sandbox_of

RESTRICTED_LEAKS = {"find_process", "mark_outside"}  # the second where processes may be started
# What anybody reaches without a sandbox, whatever the kernel's settings and whoever runs it.
NONE_LEAKS = {
    *("find_process", "read_outside", "write_outside", "tcp_loopback", "udp_loopback", "unix_abstract"),
    *("unix_pathname", "signal_outside", "limit_outside", "end_with_parent_undone", "fork_denied", "exec_denied"),
    *("disk_fill", "inode_fill", "mark_outside", "file_lease"),
}
# What holds even there: limits, and what we do not hand on.
NONE_HOLDS = {
    *("inherited_environment", "foreign_descriptors", "daemon_killed"),
    *("memory_of_one", "memory_of_four", "fork_bomb", "sparse_file"),
}


def canaries(level: IsolationLevel, trees: TreeLimits) -> dict[str, Canary]:
    if trees == "hard" and isinstance(place := find_place(), Lack):
        pytest.skip(place.reason)
    reasons = []
    for interpreter in filter(os.path.exists, (sys.executable, SYSTEM_PYTHON)):
        try:
            sandbox = sandbox_of(level, interpreter, trees=trees)
        except IsolationError as error:
            reasons.append(error.message)
            continue
        return {canary.name: canary for canary in run_canaries(sandbox, interpreter, full=True)}
    pytest.skip("; ".join(reasons))


def lost(found: dict[str, Canary]) -> dict[str, str]:
    return {name: canary.detail for name, canary in found.items() if not canary.held}


@pytest.mark.parametrize("trees", ["hard", "soft"])
def test_nothing_leaks_at_strong(trees: TreeLimits) -> None:
    found = canaries("strong", trees)
    assert tuple(found) == full_names()
    assert lost(found) == {}


@pytest.mark.parametrize("trees", ["hard", "soft"])
def test_the_leaks_of_restricted_are_those_stated(trees: TreeLimits) -> None:
    assert lost(canaries("restricted", trees)).keys() == RESTRICTED_LEAKS


def test_the_leaks_of_none_are_those_stated() -> None:
    found = canaries("none", "soft")
    assert lost(found).keys() >= NONE_LEAKS, "a canary that is not reached without a sandbox proves nothing"
    assert not lost(found).keys() & NONE_HOLDS, lost(found)


def test_canaries_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    canaries("none", "soft")
    assert list(tmp_path.iterdir()) == []
