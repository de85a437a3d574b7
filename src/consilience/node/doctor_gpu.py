"""The doctor's look at devices: which there are, who has them, and whether the problem and policy fit.

Rules:
    1. Nothing is leased, and no file is made.
    2. No device is in order, unless the problem needs one.

Data flow: `trials.gpu.devices`, leases, policy -> findings.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from consilience.core.errors import ConsilienceError
from consilience.core.ports import Grants
from consilience.node.clock import SystemClock
from consilience.node.findings import Finding, Health
from consilience.trials.gpu.devices import Discovery, discover, unfit
from consilience.trials.gpu.leases import Leases
from consilience.trials.gpu.waiting import describe_use


def examine_gpu(grants: Grants, leases_file: Path, *, allowed: bool) -> Iterator[Finding]:
    """Yield a finding for each device, or one that says why there is none."""
    found = discover()
    if not found.devices:
        health: Health = "failed" if grants.gpus else "ok"
        yield Finding(name="gpu", health=health, found=f"none: {found.reason}", mend=found.mend if grants.gpus else "")
    else:
        yield from _devices(found, leases_file)
    if grants.gpus and not allowed:
        mend = "allow_gpu = true, as a setting or under [policy], for code that you would give your device to"
        yield Finding(name="gpu policy", health="failed", found="the problem needs a device; none allowed", mend=mend)


def _devices(found: Discovery, leases_file: Path) -> Iterator[Finding]:
    clock = SystemClock()
    try:
        holdings = Leases(leases_file, clock).holdings()
    except ConsilienceError as error:
        yield Finding(name="gpu leases", health="failed", found=error.message, mend=error.hint)
        return
    for device in found.devices:
        use = describe_use(device, holdings, clock.elapsed_ms())
        text = f"{device.name}, {device.memory_mb} MB, driver {device.driver}, {device.uuid}: {use}"
        mend = "sudo nvidia-smi -mig 0, or -c DEFAULT, lets trials use it" if unfit(device) else ""
        yield Finding(name=f"gpu {device.index}", health="warning" if mend else "ok", found=text, mend=mend)
