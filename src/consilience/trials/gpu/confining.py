"""What a confined process needs in order to use devices, and no other: nodes, /sys, environment, limits.

Rules:
    1. CUDA_VISIBLE_DEVICES is a hint that a program can change; what holds is that no other node is mounted.
    2. The nodes without a number are shared by all devices: a driver that let one process reach another's device
       through them would not be stopped here. That is why a trial with a device is of a lower class.

Data flow: Confinement, devices -> Confinement.

Source: the driver's nodes and /sys are what bubblewrap's users found cuInit to need (error 304 without);
CUDA C programming guide, environment variables. Not measured by us: no device was at hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import structs

from consilience.core.errors import EnvironmentLacksError
from consilience.trials.gpu.devices import VISIBLE
from consilience.trials.gpu.nvml import Device
from consilience.trials.sandbox.confinement import Confinement

_SHARED_NODES = ("nvidiactl", "nvidia-uvm")
_OPTIONAL_NODES = ("nvidia-uvm-tools",)
_FACTS = "/sys"


def with_devices(confinement: Confinement, devices: Sequence[Device], folder: Path) -> Confinement:
    """Return the confinement with these devices in reach, in the order given.

    Args:
        confinement: as it is without a device.
        devices: those that were leased.
        folder: where the device nodes are, /dev.

    Raises:
        EnvironmentLacksError: a node is missing.
    """
    environment = {
        VISIBLE: ",".join(device.uuid for device in devices),
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",  # NVML's order; CUDA's own puts the fastest first
    }
    return structs.replace(
        confinement,
        devices=device_nodes(devices, folder),
        readable=(*confinement.readable, _FACTS),
        environment=confinement.environment | environment,
        limit_address_space=False,
    )


def device_nodes(devices: Sequence[Device], folder: Path) -> tuple[str, ...]:
    """Return the paths of the nodes that these devices need.

    Raises:
        EnvironmentLacksError: one is missing.
    """
    needed = [folder / f"nvidia{device.minor}" for device in devices]
    needed += [folder / name for name in _SHARED_NODES]
    missing = [str(path) for path in needed if not path.exists()]
    if missing:
        raise EnvironmentLacksError(
            f"the driver is loaded, but {' and '.join(missing)} is not there",
            hint="make the nodes: sudo nvidia-modprobe -c 0 -u (in a container: start it with --gpus)",
        )
    return tuple(map(str, [*needed, *(folder / name for name in _OPTIONAL_NODES if (folder / name).exists())]))
