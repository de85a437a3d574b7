"""Which devices this machine offers to trials, and why it offers no other.

Rules:
    1. No library or no driver is an empty discovery with the reason, not an error: most machines have no device.
    2. A device that somebody else computes on is not offered: memory and times would be shared.
    3. Where CUDA_VISIBLE_DEVICES was set for us (a cluster's scheduler does), no other device is ours to give.

Data flow: `nvml` -> Discovery -> `waiting` -> a lease.
"""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import Struct

from consilience.core.errors import EnvironmentLacksError
from consilience.trials.gpu.nvml import Device, open_nvml

DEVICE_FOLDER = Path("/dev")
VISIBLE = "CUDA_VISIBLE_DEVICES"


class Discovery(Struct, frozen=True, kw_only=True):
    """What was found. `reason` and `mend` are set where there is nothing."""

    devices: tuple[Device, ...] = ()
    reason: str = ""
    mend: str = ""


def discover(visible: str | None = None) -> Discovery:
    """Find the devices of this machine that are ours to give.

    Args:
        visible: which ones, as CUDA_VISIBLE_DEVICES names them; None reads our own environment.
    """
    wanted = os.environ.get(VISIBLE) if visible is None else visible
    try:
        with open_nvml() as nvml:
            found = nvml.devices()
    except EnvironmentLacksError as error:
        return Discovery(reason=error.message, mend=error.hint)
    if not found:
        return Discovery(reason="the driver shows no device", mend="in a container: start it with --gpus")
    ours = found if wanted is None else named(found, wanted)
    if not ours:
        return Discovery(reason=f"{VISIBLE}={wanted} names none of {len(found)} devices", mend=f"unset {VISIBLE}")
    return Discovery(devices=ours)


def named(devices: tuple[Device, ...], visible: str) -> tuple[Device, ...]:
    """Return the devices that a value of CUDA_VISIBLE_DEVICES names, in its order.

    By UUID, a unique beginning of one, or index; as in CUDA, the first word that names none ends the list.
    Indices are read in the order of the PCI bus. Source: CUDA C programming guide, environment variables.
    """
    found: list[Device] = []
    for word in (part.strip() for part in visible.split(",")):
        matches = [each for each in devices if word and (each.uuid.startswith(word) or str(each.index) == word)]
        if len(matches) != 1:
            break
        found += matches
    return tuple(found)


def unfit(device: Device) -> str:
    """Say why a device can run no trial whatever is waited for, or "" when it can."""
    if device.mig:
        return "it is in MIG mode, whose instances are not supported"
    if device.compute_mode == "prohibited":
        return "its compute mode is prohibited"
    return ""


def busy(device: Device) -> str:
    """Say who computes on a device, or "" when nobody does."""
    if not device.running:
        return ""
    pids = ", ".join(map(str, device.running))
    return f"used by process {pids}" if len(device.running) == 1 else f"used by processes {pids}"
