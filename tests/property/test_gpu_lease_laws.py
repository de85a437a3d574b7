"""However acquiring, renewing, releasing, dying and time mix, no device has two holders."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from consilience.testing.clocks import ManualClock
from consilience.trials.gpu.leases import Lease, Leases
from consilience.trials.gpu.owners import Owner

DEVICES = ("GPU-a", "GPU-b", "GPU-c")
TTL_MS = 100
PIDS = st.integers(1, 4)


class LeaseLaws(RuleBasedStateMachine):
    """Four processes at three devices. `held` is what each believes: its lease, until it says it is over."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="leases-"))
        self.clock = ManualClock()
        self.dead: set[int] = set()
        self.starts = dict.fromkeys(range(1, 5), 0)  # a process that takes a dead one's number started later
        self.held: dict[int, Lease] = {}

    @initialize()
    def nobody_holds(self) -> None:
        assert self.table(1).holdings() == ()

    def table(self, pid: int) -> Leases:
        owner = Owner(pid=pid, started=self.starts[pid], boot="b", namespace="n")
        return Leases(self.folder / "leases.sqlite", self.clock, owner=owner, alive=self.alive, ttl_ms=TTL_MS)

    def alive(self, owner: Owner) -> bool:
        return owner.pid not in self.dead and owner.started == self.starts[owner.pid]

    def in_force(self) -> dict[int, Lease]:
        now = self.clock.elapsed_ms()
        return {pid: lease for pid, lease in self.held.items() if pid not in self.dead and now < lease.expires_ms}

    @rule(pid=PIDS, count=st.integers(1, 3), order=st.permutations(DEVICES))
    def acquire(self, pid: int, count: int, order: list[str]) -> None:
        if pid in self.dead or pid in self.held:
            return
        taken = {uuid for lease in self.in_force().values() for uuid in lease.uuids}
        lease = self.table(pid).acquire(order, count)
        assert (lease is None) == (len(DEVICES) - len(taken) < count), "granted when it must not, or refused when free"
        if lease is not None:
            assert len(set(lease.uuids)) == count
            self.held[pid] = lease

    @precondition(lambda self: self.held)
    @rule(pid=PIDS)
    def renew(self, pid: int) -> None:
        if pid in self.held and pid not in self.dead:
            lease = self.table(pid).renew(self.held[pid])
            if lease is None:
                assert self.clock.elapsed_ms() >= self.held[pid].expires_ms, "lost while it was in force"
                self.table(pid).release(self.held.pop(pid))
            else:
                self.held[pid] = lease

    @precondition(lambda self: self.held)
    @rule(pid=PIDS)
    def release(self, pid: int) -> None:
        if pid in self.held and pid not in self.dead:
            self.table(pid).release(self.held.pop(pid))

    @rule(pid=PIDS)
    def die(self, pid: int) -> None:
        self.dead.add(pid)
        self.held.pop(pid, None)

    @rule(pid=PIDS)
    def start_again(self, pid: int) -> None:
        if pid in self.dead:
            for holding in self.table(pid).holdings():
                assert holding.owner.pid != pid, "a dead process holds nothing"
            self.dead.discard(pid)
            self.starts[pid] += 1

    @rule(milliseconds=st.integers(1, TTL_MS))
    def wait(self, milliseconds: int) -> None:
        self.clock.advance(milliseconds)

    @invariant()
    def one_holder_at_most(self) -> None:
        claimed = [uuid for lease in self.in_force().values() for uuid in lease.uuids]
        assert len(claimed) == len(set(claimed))

    def teardown(self) -> None:
        shutil.rmtree(self.folder)


LeaseLaws.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestLeaseLaws = LeaseLaws.TestCase
