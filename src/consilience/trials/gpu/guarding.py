"""A sandbox whose processes have devices: each gets the nodes, and a watch on what it uses of them.

Rules:
    1. A tree that uses more of a device's memory than allowed is killed; the watch looks every 100 ms, so the
       limit is soft.
    2. A lost lease, or a driver that does not answer, ends the tree as well: nothing runs unwatched.
    3. What NVML tells by process counts where it knows the tree's processes; otherwise (in a container its
       numbers are the host's) the growth of what is in use of the device, which is the trial's alone.

Data flow: Confinement -> `with_devices` -> inner Sandbox -> HeldProcess <- watch -> `overuse`, `fault`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from consilience.core.errors import EnvironmentLacksError
from consilience.core.outcome import IsolationLevel
from consilience.trials.gpu.confining import with_devices
from consilience.trials.gpu.holding import DeviceHold
from consilience.trials.gpu.nvml import Device, Use
from consilience.trials.sandbox.confinement import Confinement, Sandbox
from consilience.trials.sandbox.exits import is_readable
from consilience.trials.sandbox.interpreter import Interpreter
from consilience.trials.sandbox.process import HeldProcess
from consilience.trials.sandbox.proctree import descendants

_WATCH_SECONDS = 0.1


class Meter(Protocol):
    """**Protocol:** tells what is in use of a device; `nvml.Nvml` is one."""

    def use(self, uuid: str) -> Use:
        """Return what is in use now.

        Raises:
            EnvironmentLacksError: the driver does not answer.
        """


class GuardedSandbox:
    """Implements Sandbox over another one, for the devices of one hold."""

    def __init__(
        self, inner: Sandbox, hold: DeviceHold, meter: Meter, *, folder: Path, memory_mb: int | None = None
    ) -> None:
        self.hold = hold
        self._inner = inner
        self._meter = meter
        self._folder = folder
        self._allowed = {each.uuid: each.memory_mb if memory_mb is None else memory_mb for each in hold.devices}
        self._overuse = ""
        self._fault = ""

    @property
    def level(self) -> IsolationLevel:
        """The level that its canaries proved, without a device."""
        return self._inner.level

    @property
    def interpreter(self) -> Interpreter:
        """The interpreter whose files are readable inside."""
        return self._inner.interpreter

    def start(self, confinement: Confinement, *, stdin: int, stdout: int, stderr: int) -> HeldProcess:
        """Start the process with the devices in reach, watched until it ends.

        Raises:
            EnvironmentLacksError: the lease is lost, a node is missing, or the machine could not start it.
        """
        self.hold.require()
        before = {device.uuid: self._meter.use(device.uuid).memory_mb for device in self.hold.devices}
        widened = with_devices(confinement, self.hold.devices, self._folder)
        process = self._inner.start(widened, stdin=stdin, stdout=stdout, stderr=stderr)
        assert isinstance(process, HeldProcess)  # noqa: S101 - every level that may have devices starts one
        watch = (process, process.exit_descriptor(), before)
        threading.Thread(target=self._watch, args=watch, daemon=True, name="device watch").start()
        return process

    def take_overuse(self) -> str:
        """Return, once, how a process went over what it may use; "" when none did."""
        found, self._overuse = self._overuse, ""
        return found

    def require(self) -> None:
        """Check that trials are still watched, and their devices ours.

        Raises:
            EnvironmentLacksError: they are not.
        """
        self.hold.require()
        if self._fault:
            raise EnvironmentLacksError(self._fault, hint="see what nvidia-smi says of the device, and run again")

    def _watch(self, process: HeldProcess, ended: int, before: dict[str, int]) -> None:
        try:
            while not is_readable(ended, _WATCH_SECONDS):
                if not self._is_in_order(process, before):
                    process.stop()
                    return
        finally:
            os.close(ended)

    def _is_in_order(self, process: HeldProcess, before: dict[str, int]) -> bool:
        try:
            tree = [process.pid, *descendants(process.pid)]
            over = next((each for each in self.hold.devices if self._is_over(each, tree, before[each.uuid])), None)
        except EnvironmentLacksError as error:
            self._fault = error.message
            return False
        if over is not None:
            self._overuse = f"used more than its {self._allowed[over.uuid]} MB of the memory of {over.name}"
        return over is None and not self.hold.fault

    def _is_over(self, device: Device, tree: Sequence[int], before_mb: int) -> bool:
        return used_by(tree, self._meter.use(device.uuid), before_mb) > self._allowed[device.uuid]


def used_by(tree: Sequence[int], use: Use, before_mb: int) -> int:
    """Return the MiB of a device that a tree of processes uses.

    Args:
        tree: the process ids.
        use: what is in use of the device now.
        before_mb: what was in use before the tree was started.
    """
    known = [use.by_process[pid] for pid in tree if pid in use.by_process]
    told = [figure for figure in known if figure is not None]
    if use.by_process and (not known or len(told) < len(known)):
        return max(0, use.memory_mb - before_mb)
    return sum(told)
