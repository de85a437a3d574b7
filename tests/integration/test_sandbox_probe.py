"""The probe runs real canaries: they must be reached without a sandbox, or "held" would mean nothing."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from consilience.core.errors import EnvironmentLacksError, IsolationError
from consilience.trials.sandbox.bubblewrap import BubblewrapSandbox
from consilience.trials.sandbox.canaries import run_canaries
from consilience.trials.sandbox.confinement import Confinement
from consilience.trials.sandbox.interpreter import inspect_interpreter
from consilience.trials.sandbox.probe import (
    Probe,
    cached_probe,
    open_sandbox,
    probe_sandboxes,
    require_level,
    strongest_sandbox,
    unsafe_sandbox,
)
from consilience.trials.sandbox.process import HeldProcess
from consilience.trials.sandbox.tools import Tools, find_tools

NOTHING = Tools()


def reason_of(probe: Probe, level: str) -> str:
    return next(report.reason for report in probe.reports if report.level == level)


def test_canaries_are_reached_without_a_sandbox() -> None:
    results = {canary.name: canary.held for canary in run_canaries(unsafe_sandbox(sys.executable), sys.executable)}
    reached = {name for name, held in results.items() if not held}
    assert reached >= {
        *("read_outside", "write_outside", "tcp_loopback", "udp_loopback", "unix_abstract", "unix_pathname"),
        *("signal_outside", "fork_denied", "exec_denied"),
    }
    assert {"foreign_descriptors", "inherited_environment", "daemon_killed"} <= results.keys() - reached


def test_the_level_is_what_held_and_every_failure_has_a_mend() -> None:
    probe = probe_sandboxes(sys.executable, every=True)
    for report in probe.reports:
        if report.held:
            assert report.canaries
            assert all(canary.held for canary in report.canaries)
        else:
            assert report.mend
    held = [report.level for report in probe.reports if report.held]
    assert probe.level == (held[0] if held else "none")


class LeakyBubblewrap(BubblewrapSandbox):
    """Gives away one folder too many: all of them."""

    def start(self, confinement: Confinement, *, stdin: int, stdout: int, stderr: int) -> HeldProcess:
        wide = msgspec.structs.replace(confinement, readable=(*confinement.readable, "/tmp"))
        return super().start(wide, stdin=stdin, stdout=stdout, stderr=stderr)


def test_a_leaking_sandbox_is_caught() -> None:
    probe = probe_sandboxes(sys.executable)
    if probe.level != "strong":
        pytest.skip(f"no strong level here: {probe.reports[0].reason}")
    leaky = LeakyBubblewrap(probe.reports[-1].tool, inspect_interpreter(sys.executable))
    lost = {canary.name for canary in run_canaries(leaky, sys.executable) if not canary.held}
    assert lost == {"read_outside"}


def test_without_tools_the_level_is_none_and_is_refused() -> None:
    probe = probe_sandboxes(sys.executable, tools=NOTHING)
    assert probe.level == "none"
    assert open_sandbox(probe).level == "none"
    with pytest.raises(IsolationError) as caught:
        require_level(probe, "restricted")
    assert "Landlock ABI 6 is needed, this kernel has none" in caught.value.message
    with pytest.raises(IsolationError, match="bubblewrap is not installed"):
        require_level(probe, "strong")
    require_level(probe, "none")


def test_an_old_landlock_is_refused() -> None:
    probe = probe_sandboxes(sys.executable, tools=Tools(landlock_abi=5))
    assert "this kernel has 5" in reason_of(probe, "restricted")


def test_root_without_another_user_is_refused(tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root has to become another user")
    tmp_path.chmod(0o700)
    link = tmp_path / "python"
    link.symlink_to(sys.executable)
    probe = probe_sandboxes(str(link), tools=Tools(landlock_abi=find_tools().landlock_abi or 7))
    assert probe.level == "none"
    assert "who may not enter" in reason_of(probe, "restricted")


def test_a_bubblewrap_that_fails_gives_its_own_words_and_the_next_is_tried(tmp_path: Path) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    broken.chmod(broken.stat().st_mode | stat.S_IXUSR)
    probe = probe_sandboxes(sys.executable, tools=Tools(bubblewrap=(str(broken), *find_tools().bubblewrap)))
    assert "No permissions to create new namespace" in probe.reports[0].reason
    assert probe.reports[0].mend
    if find_tools().bubblewrap:
        assert probe.level == probe_sandboxes(sys.executable).level


def test_the_answer_is_cached_for_the_same_machine_only(tmp_path: Path) -> None:
    first = cached_probe(sys.executable, cache_dir=tmp_path, tools=NOTHING)
    (file,) = tmp_path.iterdir()
    marked = msgspec.structs.replace(first, reports=())
    file.write_bytes(msgspec.json.encode(marked))
    assert cached_probe(sys.executable, cache_dir=tmp_path, tools=NOTHING) == marked
    assert cached_probe(sys.executable, cache_dir=tmp_path, tools=Tools(landlock_abi=1)) != marked
    assert len(list(tmp_path.iterdir())) == 2


def test_a_damaged_or_impossible_cache_is_no_error(tmp_path: Path) -> None:
    cached_probe(sys.executable, cache_dir=tmp_path, tools=NOTHING)
    (file,) = tmp_path.iterdir()
    file.write_bytes(b"{")
    assert cached_probe(sys.executable, cache_dir=tmp_path, tools=NOTHING).level == "none"
    assert msgspec.json.decode(file.read_bytes(), type=Probe).level == "none"
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert strongest_sandbox(sys.executable, cache_dir=blocked / "below", tools=NOTHING).level == "none"


def test_an_interpreter_that_does_not_start_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentLacksError, match="does not start"):
        probe_sandboxes(str(tmp_path / "python"))
    with pytest.raises(EnvironmentLacksError, match="does not start"):
        probe_sandboxes("/bin/true")


def test_a_home_folder_is_never_exposed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "project").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    inspected = inspect_interpreter(str(home / "bin" / "python"))
    assert str(home) not in inspected.readable
    assert any(path.startswith(f"{home}/") for path in inspected.readable)
