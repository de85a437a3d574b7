"""Devices that this process holds: their lease is renewed in the background until they are given back.

Rules:
    1. A lease that was lost is a fault: trials that use the device are ended, and no other starts.
    2. A table that cannot be reached is no fault until the term has passed.

Data flow: Leased -> DeviceHold -> `guarding` (fault), executor (release).
"""

from __future__ import annotations

import threading

from consilience.core.errors import EnvironmentLacksError
from consilience.core.ports import Clock
from consilience.trials.gpu.leases import TTL_MS, Leases
from consilience.trials.gpu.nvml import Device
from consilience.trials.gpu.waiting import Leased

_RENEW_SECONDS = TTL_MS / 3 / 1000  # two renewals may fail before the term ends


class DeviceHold:
    """Leased devices, until `release`. `fault` says why they are ours no more; "" while they are."""

    def __init__(self, leased: Leased, leases: Leases, clock: Clock) -> None:
        self.devices: tuple[Device, ...] = leased.devices
        self.fault = ""
        self._lease = leased.lease
        self._leases = leases
        self._clock = clock
        self._released = threading.Event()
        threading.Thread(target=self._renew_on, daemon=True, name="device lease").start()

    def renew(self) -> None:
        """Extend the lease, or note why it is lost."""
        try:
            renewed = self._leases.renew(self._lease)
        except EnvironmentLacksError as error:
            if self._clock.elapsed_ms() >= self._lease.expires_ms:
                self.fault = f"the lease could not be renewed in time: {error.message}"
            return
        if renewed is None:
            names = ", ".join(self._lease.uuids)
            self.fault = f"the lease of {names} ran out and another process took it over"
            return
        self._lease = renewed

    def require(self) -> None:
        """Check that the devices are still ours.

        Raises:
            EnvironmentLacksError: they are not.
        """
        if self.fault:
            raise EnvironmentLacksError(
                f"the trial's device is gone: {self.fault}", hint="give the command again: the run resumes"
            )

    def release(self) -> None:
        """Give the devices back. May be called again.

        Raises:
            EnvironmentLacksError: the table of leases cannot be written; the lease then ends by its time.
        """
        if not self._released.is_set():
            self._released.set()
            self._leases.release(self._lease)

    def _renew_on(self) -> None:
        while not self.fault and not self._released.wait(_RENEW_SECONDS):
            self.renew()
