"""Discovery against a fake NVML: what is found, why nothing is, which devices are ours, who is busy."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from consilience.core.errors import EnvironmentLacksError
from consilience.core.problem import Limits
from consilience.trials.environment import platform_class
from consilience.trials.gpu import devices, guarding, nvml
from consilience.trials.gpu.confining import with_devices
from consilience.trials.gpu.nvml import Device, Use
from consilience.trials.sandbox.confinement import Confinement
from consilience.trials.sandbox.limits import resource_limits, tree_ceiling

FAKE = Path(__file__).parents[1] / "fake_nvml"
A = {"uuid": "GPU-aaaa", "name": "Model One", "minor": 1, "memory_mb": 1000}
B = {"uuid": "GPU-bbbb", "name": "Model One", "minor": 0, "memory_mb": 1000}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.delitem(sys.modules, "pynvml", raising=False)
    monkeypatch.syspath_prepend(str(FAKE))
    monkeypatch.delenv(devices.VISIBLE, raising=False)
    module = importlib.import_module("pynvml")
    module.DEVICES[:] = [A, B]
    yield module
    assert module.STATE["sessions"] == 0, "a session was left open"
    del sys.modules["pynvml"]


def device(uuid: str, *, index: int = 0, **rest: object) -> Device:
    fields = {"index": index, "minor": index, "name": "Model", "memory_mb": 1000, "driver": "1"} | rest
    return Device(uuid=uuid, **fields)  # type: ignore[arg-type]


def test_what_is_found(fake: ModuleType) -> None:
    fake.USES[:] = [lambda uuid: [(41, 100), (42, None)] if uuid == "GPU-bbbb" else []]
    first, second = devices.discover().devices
    assert (first.uuid, first.index, first.minor, first.memory_mb, first.driver) == ("GPU-aaaa", 0, 1, 1000, "999.1")
    assert (first.mig, first.compute_mode, first.running) == (False, "default", ())
    assert second.running == (41, 42)
    assert devices.busy(second) == "used by processes 41, 42"
    assert devices.unfit(first) == devices.busy(first) == ""


def test_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    found = devices.discover()
    assert found.devices == ()
    assert "not installed" in found.reason
    assert "consilience[gpu]" in found.mend


def test_no_driver_and_no_device(fake: ModuleType) -> None:
    fake.STATE["driver"] = False
    assert "Library Not Found" in devices.discover().reason
    fake.STATE["driver"] = True
    fake.DEVICES.clear()
    assert "no device" in devices.discover().reason


def test_a_driver_that_fails_is_told(fake: ModuleType) -> None:
    fake.STATE["answers"] = False
    with nvml.open_nvml() as session, pytest.raises(EnvironmentLacksError, match="GPU is lost"):
        session.use("GPU-aaaa")


def test_devices_that_can_run_nothing(fake: ModuleType) -> None:
    fake.DEVICES[:] = [A | {"mig": 1}, B | {"mig": 0, "mode": 2}]
    cut, closed = devices.discover().devices
    assert "MIG" in devices.unfit(cut)
    assert "prohibited" in devices.unfit(closed)
    fake.DEVICES[:] = [A | {"mode": None}, B | {"mode": 9}]
    assert [(each.compute_mode, devices.unfit(each)) for each in devices.discover().devices] == [("unknown", "")] * 2


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        ("0,1", ["GPU-aaaa", "GPU-bbbb"]),
        ("GPU-bbbb", ["GPU-bbbb"]),
        ("GPU-b, 0", ["GPU-bbbb", "GPU-aaaa"]),
        ("1,-1,0", ["GPU-bbbb"]),
        ("GPU-", []),
        ("", []),
    ],
)
def test_what_a_scheduler_gave_us(visible: str, expected: list[str]) -> None:
    both = (device("GPU-aaaa"), device("GPU-bbbb", index=1))
    assert [each.uuid for each in devices.named(both, visible)] == expected


def test_a_scheduler_that_gave_nothing(fake: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(devices.VISIBLE, "7")
    assert "names none of 2 devices" in devices.discover().reason


def test_the_fake_has_the_library_s_names(fake: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        path = distribution("nvidia-ml-py").locate_file("pynvml.py")
    except PackageNotFoundError:
        pytest.skip("nvidia-ml-py is not installed")
    spec = importlib.util.spec_from_file_location("real_pynvml", str(path))
    assert spec is not None
    assert spec.loader is not None
    real = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "real_pynvml", real)  # it makes its error classes by looking itself up
    spec.loader.exec_module(real)
    ours = [name for name in vars(fake) if name.startswith(("nvml", "NVML"))]
    assert len(ours) > 10
    for name in ours:
        if isinstance(getattr(fake, name), int):
            assert getattr(real, name) == getattr(fake, name)
        elif isinstance(getattr(fake, name), type):
            assert name in {
                "NVMLError",
                *(f"NVMLError_{each}" for each in ("LibraryNotFound", "NotSupported", "Unknown")),
            }
            assert issubclass(getattr(real, name), real.NVMLError)
        else:
            assert callable(getattr(real, name))


def confinement() -> Confinement:
    return Confinement(argv=("/bin/true",), work_dir="/", scratch="/s", limits=Limits(memory_mb=64))


def nodes(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).touch()
    return folder


def test_what_a_confined_process_is_given(tmp_path: Path) -> None:
    nodes(tmp_path, "nvidia0", "nvidia1", "nvidia2", "nvidiactl", "nvidia-uvm", "nvidia-uvm-tools")
    chosen = [device("GPU-b", index=1, minor=2), device("GPU-a", minor=0)]
    given = with_devices(confinement(), chosen, tmp_path)
    names = [Path(path).name for path in given.devices]
    assert names == ["nvidia2", "nvidia0", "nvidiactl", "nvidia-uvm", "nvidia-uvm-tools"]
    assert given.environment == {"CUDA_VISIBLE_DEVICES": "GPU-b,GPU-a", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    assert given.readable == ("/sys",)
    assert not given.limit_address_space


def test_a_node_that_is_missing_is_named(tmp_path: Path) -> None:
    nodes(tmp_path, "nvidia0", "nvidiactl")
    with pytest.raises(EnvironmentLacksError, match="nvidia-uvm is not there") as caught:
        with_devices(confinement(), [device("GPU-a")], tmp_path)
    assert "nvidia-modprobe" in caught.value.hint


def test_without_a_bound_on_addresses_the_tree_is_watched() -> None:
    plain, free = confinement(), msgspec.structs.replace(confinement(), limit_address_space=False)
    assert len(resource_limits(plain, count_tasks=False)) == len(resource_limits(free, count_tasks=False)) + 1
    assert tree_ceiling(plain) is None
    ceiling = tree_ceiling(free)
    assert ceiling is not None
    assert ceiling.memory_kb == 64 * 1024


@pytest.mark.parametrize(
    ("by_process", "expected"),
    [
        ({}, 0),
        ({10: 200, 11: 50, 99: 700}, 250),  # 99 is somebody else's
        ({10: 200, 11: None}, 650),  # not told: what the device's use grew by
        ({99: 700}, 650),  # numbers of another namespace: the same
    ],
)
def test_what_a_tree_uses(by_process: dict[int, int | None], expected: int) -> None:
    assert guarding.used_by([10, 11, 12], Use(memory_mb=950, by_process=by_process), 300) == expected


def test_a_device_names_the_platform() -> None:
    plain = platform_class()
    assert plain.endswith("-cpu")
    named = platform_class(["NVIDIA A100-SXM4-40GB"])
    assert named == plain.removesuffix("cpu") + "cuda-nvidia-a100-sxm4-40gb"
    assert platform_class(["b", "A"]) == platform_class(["a", "B"]) != named
