"""Waiting for devices: who is refused at once, who gets which, and what is said when it was in vain."""

from __future__ import annotations

from pathlib import Path

import pytest

from consilience.core.errors import EnvironmentLacksError
from consilience.testing.clocks import ManualClock
from consilience.trials.gpu.devices import Discovery
from consilience.trials.gpu.holding import DeviceHold
from consilience.trials.gpu.leases import TTL_MS, Leases
from consilience.trials.gpu.nvml import Device
from consilience.trials.gpu.waiting import Leased, Waiting, lease_devices


def device(uuid: str, name: str = "One", **rest: object) -> Device:
    return Device(uuid=uuid, index=0, minor=0, name=name, memory_mb=1, driver="1", **rest)  # type: ignore[arg-type]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def leases(tmp_path: Path, clock: ManualClock) -> Leases:
    return Leases(tmp_path / "state" / "leases.sqlite", clock)


def get(
    leases: Leases, clock: ManualClock, found: Discovery, count: int = 1, pauses: list[float] | None = None
) -> Leased:
    def pause(seconds: float) -> None:
        clock.advance(round(seconds * 1000))
        (pauses if pauses is not None else []).append(seconds)

    return lease_devices(lambda: found, leases, count, Waiting(clock, 10.0, pause))


def test_the_first_that_is_free(leases: Leases, clock: ManualClock) -> None:
    found = Discovery(devices=(device("cut", mig=True), device("busy", running=(7,)), device("a"), device("b")))
    assert [each.uuid for each in get(leases, clock, found).devices] == ["a"]
    assert [each.uuid for each in get(leases, clock, found).devices] == ["b"]


def test_several_are_of_one_model(leases: Leases, clock: ManualClock) -> None:
    found = Discovery(devices=(device("a", "One"), device("b", "Two"), device("c", "Two")))
    assert [each.uuid for each in get(leases, clock, found, 2).devices] == ["b", "c"]


@pytest.mark.parametrize(
    ("found", "count", "words"),
    [
        (Discovery(reason="no driver"), 1, "there is none: no driver"),
        (
            Discovery(devices=(device("a"), device("b", "Two"))),
            2,
            "needs 2 devices of one model, and .* has 1",
        ),
        (Discovery(devices=(device("a", mig=True),)), 1, "MIG"),
    ],
)
def test_what_waiting_cannot_change(
    leases: Leases, clock: ManualClock, found: Discovery, count: int, words: str
) -> None:
    pauses: list[float] = []
    with pytest.raises(EnvironmentLacksError, match=words) as caught:
        get(leases, clock, found, count, pauses)
    assert pauses == []
    assert caught.value.exit_code == 4


def test_in_vain_names_the_holders(leases: Leases, clock: ManualClock) -> None:
    found = Discovery(devices=(device("a"), device("b", running=(77,))))
    held = leases.acquire(["a"], 1)
    clock.advance(3000)
    with pytest.raises(EnvironmentLacksError, match=r"no device was free within 10 s") as caught:
        get(leases, clock, found)
    pid = leases.holdings()[0].owner.pid
    assert f"One a: leased by process {pid} since 13 s" in caught.value.message
    assert "One b: used by process 77" in caught.value.message
    assert held is not None


def test_one_that_is_given_back_in_time(leases: Leases, clock: ManualClock) -> None:
    held = leases.acquire(["a"], 1)
    assert held is not None
    steps: list[float] = []

    def pause(seconds: float) -> None:
        clock.advance(round(seconds * 1000))
        steps.append(seconds)
        if len(steps) == 3:
            leases.release(held)

    leased = lease_devices(lambda: Discovery(devices=(device("a"),)), leases, 1, Waiting(clock, 10.0, pause))
    assert leased.lease.uuids == ("a",)
    assert len(steps) == 3


def test_a_hold_that_was_taken_over_is_at_fault(leases: Leases, clock: ManualClock) -> None:
    hold = DeviceHold(get(leases, clock, Discovery(devices=(device("a"),))), leases, clock)
    hold.renew()
    hold.require()
    clock.advance(TTL_MS)
    assert leases.acquire(["a"], 1) is not None
    hold.renew()
    with pytest.raises(EnvironmentLacksError, match="took it over"):
        hold.require()
    hold.release()
    assert len(leases.holdings()) == 1, "the other's lease stays"


def test_a_table_out_of_reach_is_a_fault_only_when_the_term_is_over(
    leases: Leases, clock: ManualClock, tmp_path: Path
) -> None:
    hold = DeviceHold(get(leases, clock, Discovery(devices=(device("a"),))), leases, clock)
    (tmp_path / "state" / "leases.sqlite").write_bytes(b"no database at all, but long enough to be looked at" * 9)
    hold.renew()
    assert hold.fault == ""
    clock.advance(TTL_MS)
    hold.renew()
    assert "could not be renewed in time" in hold.fault
    with pytest.raises(EnvironmentLacksError, match="cannot be used"):
        hold.release()
