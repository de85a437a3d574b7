"""A fake of nvidia-ml-py, for machines without a device: tests put this folder first on sys.path.

What it shows is read from `devices.json` beside it, or set by a test in `DEVICES`; who uses a device is told by the
function `USES`, so that a test can name the processes that really run. `tests/unit/test_gpu_devices.py` compares its
names with those of the real library.
"""

# ruff: noqa: N801, N802, N818 - the names are the library's

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any


class NVMLError(Exception):
    pass


class NVMLError_LibraryNotFound(NVMLError):
    pass


class NVMLError_NotSupported(NVMLError):
    pass


class NVMLError_Unknown(NVMLError):
    pass


NVML_COMPUTEMODE_DEFAULT = 0
NVML_COMPUTEMODE_PROHIBITED = 2
NVML_DEVICE_MIG_ENABLE = 1

_FILE = Path(__file__).with_name("devices.json")
DEVICES: list[dict[str, Any]] = json.loads(_FILE.read_text()) if _FILE.exists() else []
USES: list[Callable[[str], list[tuple[int, int | None]]]] = [lambda uuid: []]
STATE = {"driver": True, "answers": True, "sessions": 0}
_MIB = 1 << 20


def nvmlInit() -> None:
    if not STATE["driver"]:
        raise NVMLError_LibraryNotFound("NVML Shared Library Not Found")
    STATE["sessions"] += 1


def nvmlShutdown() -> None:
    STATE["sessions"] -= 1


def nvmlSystemGetDriverVersion() -> str:
    return "999.1"


def nvmlDeviceGetCount() -> int:
    return len(DEVICES)


def nvmlDeviceGetHandleByIndex(index: int) -> dict[str, Any]:
    return DEVICES[index]


def nvmlDeviceGetHandleByUUID(uuid: str) -> dict[str, Any]:
    if not STATE["answers"]:
        raise NVMLError_Unknown("GPU is lost")
    return next(device for device in DEVICES if device["uuid"] == uuid)


def nvmlDeviceGetUUID(handle: dict[str, Any]) -> str:
    return handle["uuid"]


def nvmlDeviceGetName(handle: dict[str, Any]) -> str:
    return handle["name"]


def nvmlDeviceGetMinorNumber(handle: dict[str, Any]) -> int:
    return handle["minor"]


def nvmlDeviceGetMemoryInfo(handle: dict[str, Any]) -> SimpleNamespace:
    used = 300 + sum(figure or handle.get("untold_mb", 0) for _pid, figure in USES[0](handle["uuid"]))
    return SimpleNamespace(total=handle["memory_mb"] * _MIB, used=used * _MIB)


def nvmlDeviceGetMigMode(handle: dict[str, Any]) -> list[int]:
    if "mig" not in handle:
        raise NVMLError_NotSupported("Not Supported")
    return [handle["mig"], handle["mig"]]


def nvmlDeviceGetComputeMode(handle: dict[str, Any]) -> int:
    if handle.get("mode", 0) is None:
        raise NVMLError_NotSupported("Not Supported")
    return handle.get("mode", NVML_COMPUTEMODE_DEFAULT)


def nvmlDeviceGetComputeRunningProcesses(handle: dict[str, Any]) -> list[SimpleNamespace]:
    uses = USES[0](handle["uuid"])
    return [SimpleNamespace(pid=pid, usedGpuMemory=mb if mb is None else mb * _MIB) for pid, mb in uses]
