"""The command and devices: what doctor shows, and what a problem that needs one is told. NVML is a fake."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from conftest import Shell

from consilience.node.clock import SystemClock
from consilience.node.places import user_places
from consilience.trials.gpu.leases import Leases

FAKE = Path(__file__).parents[1] / "fake_nvml" / "pynvml.py"
ONE = {"uuid": "GPU-one", "name": "Model One", "minor": 0, "memory_mb": 8000}
CUT = {"uuid": "GPU-cut", "name": "Model Two", "minor": 1, "memory_mb": 8000, "mig": 1}


@pytest.fixture
def two_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "fake"
    folder.mkdir()
    shutil.copy(FAKE, folder)
    (folder / "devices.json").write_text(json.dumps([ONE, CUT]))
    monkeypatch.setitem(sys.modules, "pynvml", None)  # so that it is forgotten again afterwards
    monkeypatch.delitem(sys.modules, "pynvml")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def findings(shell: Shell) -> dict[str, dict[str, str]]:
    return {finding["name"]: finding for finding in shell.data("doctor")}


@pytest.mark.usefixtures("two_devices")
def test_doctor_shows_devices_and_who_has_them(shell: Shell) -> None:
    found = findings(shell)
    assert found["gpu 0"]["found"] == "Model One, 8000 MB, driver 999.1, GPU-one: free"
    assert found["gpu 1"]["health"] == "warning"
    assert "MIG" in found["gpu 1"]["found"]
    assert "nvidia-smi" in found["gpu 1"]["mend"]
    leases = Leases(user_places().leases, SystemClock())
    lease = leases.acquire(["GPU-one"], 1)
    assert lease is not None
    assert "leased by process" in findings(shell)["gpu 0"]["found"]


def test_doctor_is_content_without_a_device(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert findings(shell)["gpu"]["health"] == "ok"
    assert "not installed" in findings(shell)["gpu"]["found"]
    assert not user_places().leases.exists()


def test_the_setting(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shell.machine.problem()
    assert "allow_gpu" in shell("config", str(folder), "--show-origin")[1]
    text = (folder / "problem.toml").read_text()
    (folder / "problem.toml").write_text(text + "\n[policy]\nallow_gpu = true\n")
    shown = next(line for line in shell("config", str(folder), "--show-origin")[1].splitlines() if "allow_gpu" in line)
    assert "True" in shown or "true" in shown
    assert "problem" in shown
    monkeypatch.setenv("CONSILIENCE_ALLOW_GPU", "perhaps")
    code, _, errors = shell("config", str(folder))
    assert code == 2
    assert "allow_gpu" in errors
