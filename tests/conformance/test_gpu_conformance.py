"""An executor whose trials have a device keeps the contract of every executor. NVML is a fake, nodes are files."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from consilience.core.ports import Executor, Grants
from consilience.core.study import Policy
from consilience.node.devices import guarded
from consilience.testing.conformance import ExecutorConformance
from consilience.testing.trivial import split_problem
from consilience.trials.executors.factory import make_executor
from consilience.trials.executors.with_gpu import GpuExecutor
from consilience.trials.gpu import devices
from consilience.trials.sandbox.probe import strongest_sandbox

FAKE = Path(__file__).parents[1] / "fake_nvml"
DEVICE = {"uuid": "GPU-one", "name": "Model One", "minor": 0, "memory_mb": 8000}


class TestWithGpu(ExecutorConformance):
    @pytest.fixture
    def nodes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        folder = tmp_path / "dev"
        folder.mkdir()
        for name in ("nvidia0", "nvidiactl", "nvidia-uvm"):
            (folder / name).touch()
        monkeypatch.setitem(sys.modules, "pynvml", None)  # so that it is forgotten again afterwards
        monkeypatch.delitem(sys.modules, "pynvml")
        monkeypatch.syspath_prepend(str(FAKE))
        monkeypatch.delenv(devices.VISIBLE, raising=False)
        monkeypatch.setattr(devices, "DEVICE_FOLDER", folder)
        __import__("pynvml").DEVICES[:] = [DEVICE]
        return folder

    @pytest.fixture
    def executor(self, work_dir: Path, nodes: Path) -> Iterator[Executor]:
        sandbox = strongest_sandbox(sys.executable)
        with guarded(Grants(gpus=1), Policy(allow_gpu=True), sandbox, nodes / "leases.sqlite") as guard:
            assert guard is not None
            executor = GpuExecutor(make_executor(split_problem(), guard, work_dir), guard)
            yield executor
            executor.close()
