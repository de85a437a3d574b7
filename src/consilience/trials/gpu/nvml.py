"""A session with NVML, the driver's own library: which devices there are, and who uses how much of them.

Rules:
    1. The only module that imports `pynvml` (the extra `gpu`), and only when a device is asked about.
    2. What the library cannot do is an EnvironmentLacksError with its reason, never a guess.
    3. Nothing here starts CUDA: after cuInit a process must not fork.

Data flow: libnvidia-ml -> pynvml -> Device, Use.

Source of the calls and constants: NVIDIA NVML API reference; nvidia-ml-py.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from msgspec import Struct

from consilience.core.errors import EnvironmentLacksError

ComputeMode = Literal["default", "exclusive-thread", "prohibited", "exclusive-process", "unknown"]

_MODES: tuple[ComputeMode, ...] = ("default", "exclusive-thread", "prohibited", "exclusive-process")  # nvmlComputeMode
_MIG_ENABLED = 1  # NVML_DEVICE_MIG_ENABLE
_MIB = 1 << 20
_INSTALL = "pip install 'consilience[gpu]'"
_DRIVER = "install the NVIDIA driver; nvidia-smi must list the devices (in a container: start it with --gpus)"


class Device(Struct, frozen=True, kw_only=True):
    """One device.

    Attributes:
        uuid: its name for life, such as GPU-5f0c...; what leases and CUDA_VISIBLE_DEVICES go by.
        index: its place in the order of the PCI bus.
        minor: N of its node /dev/nvidiaN; not always the index.
        name: its model.
        memory_mb: of the device, in MiB.
        driver: version of the driver.
        mig: whether it is cut into instances (MIG): it then runs nothing as a whole.
        compute_mode: who may compute on it, by its administrator.
        running: processes that compute on it now, as NVML numbers them.
    """

    uuid: str
    index: int
    minor: int
    name: str
    memory_mb: int
    driver: str
    mig: bool = False
    compute_mode: ComputeMode = "default"
    running: tuple[int, ...] = ()


class Use(Struct, frozen=True, kw_only=True):
    """What is in use of one device: in all, and by process; None where the driver does not tell."""

    memory_mb: int
    by_process: dict[int, int | None]


class Nvml:
    """An open session; see `open_nvml`."""

    def __init__(self, library: Any) -> None:
        self._library = library

    def devices(self) -> tuple[Device, ...]:
        """Return every device that the driver shows to this process, in the order of the PCI bus.

        Raises:
            EnvironmentLacksError: the driver failed.
        """
        with _asking(self._library):
            driver = self._library.nvmlSystemGetDriverVersion()
            return tuple(self._device(index, driver) for index in range(self._library.nvmlDeviceGetCount()))

    def use(self, uuid: str) -> Use:
        """Return what is in use of a device now.

        Raises:
            EnvironmentLacksError: the driver failed, or the device is gone.
        """
        with _asking(self._library):
            handle = self._library.nvmlDeviceGetHandleByUUID(uuid)
            processes = self._library.nvmlDeviceGetComputeRunningProcesses(handle)
            by_process = {each.pid: _mib(each.usedGpuMemory) for each in processes}
            used = self._library.nvmlDeviceGetMemoryInfo(handle).used
            return Use(memory_mb=used // _MIB, by_process=by_process)

    def _device(self, index: int, driver: str) -> Device:
        library = self._library
        handle = library.nvmlDeviceGetHandleByIndex(index)
        return Device(
            uuid=library.nvmlDeviceGetUUID(handle),
            index=index,
            minor=library.nvmlDeviceGetMinorNumber(handle),
            name=library.nvmlDeviceGetName(handle),
            memory_mb=library.nvmlDeviceGetMemoryInfo(handle).total // _MIB,
            driver=driver,
            mig=self._mig(handle),
            compute_mode=self._compute_mode(handle),
            running=tuple(each.pid for each in library.nvmlDeviceGetComputeRunningProcesses(handle)),
        )

    def _mig(self, handle: Any) -> bool:
        try:
            current, _pending = self._library.nvmlDeviceGetMigMode(handle)
        except self._library.NVMLError_NotSupported:
            return False  # a device without instances
        return bool(current == _MIG_ENABLED)

    def _compute_mode(self, handle: Any) -> ComputeMode:
        try:
            mode = self._library.nvmlDeviceGetComputeMode(handle)
        except self._library.NVMLError_NotSupported:
            return "unknown"
        return _MODES[mode] if mode < len(_MODES) else "unknown"


@contextmanager
def open_nvml() -> Iterator[Nvml]:
    """Open a session, and close it afterwards.

    Raises:
        EnvironmentLacksError: the library or the driver is not there.
    """
    try:
        library = importlib.import_module("pynvml")
    except ImportError as error:
        raise EnvironmentLacksError("nvidia-ml-py is not installed", hint=_INSTALL) from error
    with _asking(library):
        library.nvmlInit()
    try:
        yield Nvml(library)
    finally:
        with _asking(library):
            library.nvmlShutdown()


@contextmanager
def _asking(library: Any) -> Iterator[None]:
    """Turn the library's errors into ours."""
    try:
        yield
    except library.NVMLError as error:
        raise EnvironmentLacksError(f"NVML: {error}", hint=_DRIVER) from error


def _mib(size: int | None) -> int | None:
    return None if size is None else size // _MIB
