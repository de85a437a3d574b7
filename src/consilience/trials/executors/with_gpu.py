"""Trials with devices: any executor, over a sandbox that hands devices out, for as long as the run lasts.

Rules:
    1. The lease is the run's, not the trial's: the comparability key, stated when the run starts, names the
       device's model; noise floor and contests are measured on one and the same card; and that none is free is
       found before a trial is spent.
    2. Each trial starts a fresh process: a process that forks after CUDA was started is broken.
    3. Every outcome says `gpu`; one that went over the device's memory has failed, whatever it answered.

Data flow: TrialRequest -> inner Executor -> Outcome -> the same, with the device's share in it.
"""

from __future__ import annotations

from msgspec import structs

from consilience.core.outcome import Failure, Isolation, Outcome
from consilience.core.ports import Executor, TrialRequest
from consilience.trials.gpu.guarding import GuardedSandbox
from consilience.trials.gpu.nvml import Device


class GpuExecutor:
    """Implements Executor over another one, whose sandbox is the guard."""

    def __init__(self, inner: Executor, guard: GuardedSandbox) -> None:
        self._inner = inner
        self._guard = guard

    @property
    def devices(self) -> tuple[Device, ...]:
        """What trials use, for the environment's description."""
        return self._guard.hold.devices

    @property
    def isolation(self) -> Isolation:
        """How candidates are held: with a device in reach."""
        return structs.replace(self._inner.isolation, gpu=True, execution="fresh")

    def run(self, request: TrialRequest) -> Outcome:
        """Run one trial to its outcome.

        Raises:
            EnvironmentLacksError: the device is lost, or the machine could not start a process.
        """
        self._guard.require()
        self._guard.take_overuse()
        outcome = self._inner.run(structs.replace(request, fresh=True))
        self._guard.require()
        isolation = structs.replace(outcome.isolation, gpu=True)
        overuse = self._guard.take_overuse()
        if overuse:
            failure = Failure(reason="memory", message=overuse)
            return structs.replace(outcome, metrics={}, failure=failure, isolation=isolation)
        return structs.replace(outcome, isolation=isolation)

    def close(self) -> None:
        """End what the inner executor started; the device is given back by who leased it."""
        self._inner.close()


def devices_of(executor: Executor) -> tuple[Device, ...]:
    """Return the devices that an executor's trials use: none, but for one with devices."""
    return executor.devices if isinstance(executor, GpuExecutor) else ()
