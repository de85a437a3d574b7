"""Gives a problem the devices that it needs, where the policy allows it.

Rules:
    1. A device is opened only to a problem that asks (`gpus`) under a policy that allows it (`allow_gpu`): it
       widens what a candidate reaches to the driver, a large piece of kernel.
    2. Devices are leased for the run and given back at its end, whatever ends it.

Data flow: LoadedProblem.grants, Policy, Sandbox -> DeviceHold -> GuardedSandbox, or None.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from consilience.core.errors import IsolationError, SettingError
from consilience.core.ports import Grants
from consilience.core.study import Policy
from consilience.node.clock import SystemClock
from consilience.trials.gpu import devices
from consilience.trials.gpu.guarding import GuardedSandbox
from consilience.trials.gpu.holding import DeviceHold
from consilience.trials.gpu.leases import Leases
from consilience.trials.gpu.nvml import open_nvml
from consilience.trials.gpu.waiting import Waiting, lease_devices
from consilience.trials.sandbox.confinement import Sandbox


@contextmanager
def guarded(grants: Grants, policy: Policy, sandbox: Sandbox, leases_file: Path) -> Iterator[GuardedSandbox | None]:
    """Lease what the grants ask for and yield a sandbox that hands it out; None where they ask for nothing.

    Raises:
        IsolationError: the policy allows no device, or the level cannot have one.
        SettingError: the policy demands that candidates are forked.
        EnvironmentLacksError: no device, or none was free in time.
    """
    if grants.gpus == 0:
        yield None
        return
    require_allowed(policy, sandbox)
    clock = SystemClock()
    leases = Leases(leases_file, clock)
    hold = DeviceHold(lease_devices(devices.discover, leases, grants.gpus, Waiting(clock)), leases, clock)
    try:
        with open_nvml() as nvml:
            yield GuardedSandbox(sandbox, hold, nvml, folder=devices.DEVICE_FOLDER, memory_mb=grants.gpu_memory_mb)
    finally:
        hold.release()


def require_allowed(policy: Policy, sandbox: Sandbox) -> None:
    """Check that trials may have a device.

    Raises:
        IsolationError: the policy allows none, or the level cannot have one.
        SettingError: the policy demands that candidates are forked.
    """
    if not policy.allow_gpu:
        raise IsolationError(
            "the problem needs a device (gpus), which the policy does not allow: "
            "with it, a candidate also reaches the device's driver",
            hint="for code that you would give your device to: allow_gpu = true, as a setting or under [policy]",
        )
    if sandbox.level == "wasm":
        raise IsolationError(
            "the problem needs a device (gpus), and at level wasm a candidate can reach none",
            hint="run where level strong or restricted holds; consilience doctor says what is missing",
        )
    if policy.execution == "fork":
        raise SettingError(
            "the problem needs a device (gpus), and execution = fork: CUDA does not survive a fork",
            hint="execution = fresh, or auto",
        )
