"""Leases among real processes: races, a holder that is killed, a zombie, a number that was given away again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from consilience.core.errors import EnvironmentLacksError
from consilience.node.clock import SystemClock
from consilience.testing.clocks import ManualClock
from consilience.trials.gpu.leases import TTL_MS, Leases
from consilience.trials.gpu.owners import is_alive, this_process

# While it holds a device, a racer also makes a file that must not be there yet: the kernel is the referee.
RACER = """
import os, sys, time
from pathlib import Path
from consilience.node.clock import SystemClock
from consilience.trials.gpu.leases import Leases

folder, wanted = Path(sys.argv[1]), int(sys.argv[2])
leases = Leases(folder / "leases.sqlite", SystemClock())
print("ready", flush=True)
sys.stdin.readline()
got = refused = 0
while got < wanted:
    lease = leases.acquire(["GPU-a", "GPU-b"], 1 + got % 2)
    if lease is None:
        refused += 1
        continue
    got += 1
    for uuid in lease.uuids:
        os.close(os.open(folder / uuid, os.O_CREAT | os.O_EXCL))
    time.sleep(0.005)  # long enough for others to try
    lease = leases.renew(lease)
    assert lease is not None
    for uuid in lease.uuids:
        os.unlink(folder / uuid)
    leases.release(lease)
print(refused)
"""
HOLDER = """
import sys, time
from pathlib import Path
from consilience.node.clock import SystemClock
from consilience.trials.gpu.leases import Leases

lease = Leases(Path(sys.argv[1]), SystemClock()).acquire(["GPU-a"], 1)
print(lease.token, flush=True)
time.sleep(60)
"""


def start(code: str, *arguments: str) -> subprocess.Popen[str]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", code, *arguments], text=True, **pipes)  # type: ignore[call-overload]


def test_racing_processes_never_hold_one_device_at_once(tmp_path: Path) -> None:
    racers = [start(RACER, str(tmp_path), "25") for _ in range(4)]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    refused = 0
    for racer in racers:  # all are ready: off they go
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    for racer in racers:
        out, errors = racer.communicate(timeout=120)
        assert racer.returncode == 0, errors
        refused += int(out)
    assert refused > 0, "they never met"
    assert Leases(tmp_path / "leases.sqlite", SystemClock()).holdings() == ()


def test_a_killed_holder_is_taken_over_at_once_even_as_a_zombie(tmp_path: Path) -> None:
    file = tmp_path / "leases.sqlite"
    leases = Leases(file, SystemClock())
    holder = start(HOLDER, str(file))
    with holder:
        assert holder.stdout is not None
        token = holder.stdout.readline().strip()
        assert leases.acquire(["GPU-a"], 1) is None
        (held,) = leases.holdings()
        assert (held.token, held.owner.pid) == (token, holder.pid)
        os.kill(holder.pid, signal.SIGKILL)
        os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)  # dead, and nobody has reaped it
        lease = leases.acquire(["GPU-a"], 1)
        assert lease is not None
        assert lease.token != token


def test_a_stopped_holder_keeps_its_device_for_its_term_only(tmp_path: Path) -> None:
    clock = ManualClock()
    leases = Leases(tmp_path / "leases.sqlite", clock)
    first = leases.acquire(["GPU-a"], 1)
    assert first is not None
    clock.advance(TTL_MS - 1)
    assert leases.acquire(["GPU-a"], 1) is None
    first = leases.renew(first)
    assert first is not None
    clock.advance(TTL_MS - 1)
    assert leases.acquire(["GPU-a"], 1) is None
    clock.advance(1)
    second = leases.acquire(["GPU-a"], 1)
    assert second is not None
    assert leases.renew(first) is None
    leases.release(first)
    assert [holding.token for holding in leases.holdings()] == [second.token]


def test_a_term_that_is_over_is_renewed_while_nobody_wants_the_device(tmp_path: Path) -> None:
    clock = ManualClock()
    leases = Leases(tmp_path / "leases.sqlite", clock)
    lease = leases.acquire(["GPU-a", "GPU-b"], 2)
    clock.advance(2 * TTL_MS)
    assert lease is not None
    assert leases.holdings() == ()
    assert leases.renew(lease) is not None
    assert len(leases.holdings()) == 2


def test_all_or_none(tmp_path: Path) -> None:
    leases = Leases(tmp_path / "leases.sqlite", ManualClock())
    assert leases.acquire(["GPU-a"], 1) is not None
    assert leases.acquire(["GPU-a", "GPU-b"], 2) is None
    assert [holding.uuid for holding in leases.holdings()] == ["GPU-a"]


def test_who_is_alive() -> None:
    me = this_process()
    assert is_alive(me)
    assert not is_alive(msgspec.structs.replace(me, started=me.started + 1)), "its number, but another process"
    assert not is_alive(msgspec.structs.replace(me, boot="another")), "before the machine was started again"
    assert is_alive(msgspec.structs.replace(me, pid=2**22 + 1, namespace="pid:[1]")), "out of sight in a container"
    assert not is_alive(msgspec.structs.replace(me, pid=2**22 + 1))


def test_a_table_that_is_no_table_is_an_error_with_a_mend(tmp_path: Path) -> None:
    file = tmp_path / "leases.sqlite"
    file.write_text("not a database, and long enough to be looked at by whoever opens it as one" * 5)
    with pytest.raises(EnvironmentLacksError, match="cannot be used") as caught:
        Leases(file, ManualClock()).acquire(["GPU-a"], 1)
    assert "remove it" in caught.value.hint


def test_looking_makes_no_file(tmp_path: Path) -> None:
    assert Leases(tmp_path / "none" / "leases.sqlite", ManualClock()).holdings() == ()
    assert list(tmp_path.iterdir()) == []
