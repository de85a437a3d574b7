"""Waits for free devices, up to a stated time, and says who holds them when it ends in vain.

Rules:
    1. What waiting cannot change (no driver, too few devices) is refused at once.
    2. Several devices are of one model, so that results have one platform class.

Data flow: `devices.discover`, `Leases` -> Leased, or EnvironmentLacksError with the holders.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from consilience.core.errors import EnvironmentLacksError
from consilience.core.ports import Clock
from consilience.trials.gpu.devices import Discovery, busy, unfit
from consilience.trials.gpu.leases import Holding, Lease, Leases
from consilience.trials.gpu.nvml import Device

# A minute: a run that ends anyway lets the next one in; a longer queue is the user's to see, not ours to hide.
WAIT_SECONDS = 60.0
_PAUSE_SECONDS = 0.5


class Leased(NamedTuple):
    """The devices, in the order in which trials see them, and the lease on them."""

    devices: tuple[Device, ...]
    lease: Lease


class Waiting(NamedTuple):
    """How long to wait, and by what."""

    clock: Clock
    seconds: float = WAIT_SECONDS
    pause: Callable[[float], None] = time.sleep


def lease_devices(find: Callable[[], Discovery], leases: Leases, count: int, waiting: Waiting) -> Leased:
    """Lease `count` devices of one model.

    Raises:
        EnvironmentLacksError: the machine has too few that can run trials, or they stayed in use.
    """
    deadline = waiting.clock.elapsed_ms() + round(1000 * waiting.seconds)
    while True:
        found = find()
        _require_enough(found, count)
        for group in _by_model(device for device in found.devices if not unfit(device) and not busy(device)):
            lease = leases.acquire([device.uuid for device in group], count)
            if lease is not None:
                return Leased(tuple(device for device in group if device.uuid in lease.uuids), lease)
        if waiting.clock.elapsed_ms() >= deadline:
            raise _in_vain(found, leases, count, waiting)
        waiting.pause(_PAUSE_SECONDS)


def describe_use(device: Device, holdings: Iterable[Holding], now_ms: int) -> str:
    """Say who has a device, or why it is not to be had; "free" otherwise."""
    for holding in holdings:
        if holding.uuid == device.uuid:
            return f"leased by process {holding.owner.pid} since {(now_ms - holding.acquired_ms) // 1000} s"
    return unfit(device) or busy(device) or "free"


def _require_enough(found: Discovery, count: int) -> None:
    if not found.devices:
        raise EnvironmentLacksError(f"the problem needs a device, and there is none: {found.reason}", hint=found.mend)
    fit = [device for device in found.devices if not unfit(device)]
    largest = max((len(group) for group in _by_model(fit)), default=0)
    if largest < count:
        reasons = "; ".join(f"{device.name}: {unfit(device)}" for device in found.devices if unfit(device))
        raise EnvironmentLacksError(
            f"the problem needs {count} devices of one model, and this machine has {largest}"
            + (f" ({reasons})" if reasons else ""),
            hint="ask for fewer (gpus in problem.toml), or run on another machine; consilience doctor lists them",
        )


def _by_model(devices: Iterable[Device]) -> list[list[Device]]:
    groups: dict[str, list[Device]] = {}
    for device in devices:
        groups.setdefault(device.name, []).append(device)
    return list(groups.values())


def _in_vain(found: Discovery, leases: Leases, count: int, waiting: Waiting) -> EnvironmentLacksError:
    holdings, now = leases.holdings(), waiting.clock.elapsed_ms()
    uses = "; ".join(f"{each.name} {each.uuid}: {describe_use(each, holdings, now)}" for each in found.devices)
    wanted = "no device was free" if count == 1 else f"fewer than {count} devices were free"
    return EnvironmentLacksError(
        f"{wanted} within {waiting.seconds:g} s: {uses}",
        hint="wait for that process or end it, and give the command again; consilience doctor shows the leases",
    )
