"""Trials with devices, through real sandboxes: what a candidate sees, what ends it, and who may have a device at all.

There is no device here. The fake NVML of `tests/fake_nvml` shows some, and files in a temporary folder stand for the
nodes in /dev: the sandbox mounts them as it would mount the real ones.
"""

from __future__ import annotations

import errno
import importlib
import json
import os
import signal
import stat
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import msgspec
import pytest
from sandbox_bench import HELD, Bench, at_held, at_strong, bench, root, sandbox_at

from consilience.core.errors import EnvironmentLacksError, IsolationError, SettingError
from consilience.core.outcome import Isolation, Outcome
from consilience.core.ports import Executor, Grants, LoadedProblem, TrialRequest
from consilience.core.problem import Limits
from consilience.core.study import Policy
from consilience.node import running
from consilience.node.devices import guarded, require_allowed
from consilience.node.places import UserPlaces
from consilience.node.settings import problem_layer, resolve
from consilience.testing.trivial import artifact, command_problem, openevolve_problem, printing_artifact, split_problem
from consilience.trials.executors.factory import make_executor
from consilience.trials.executors.with_gpu import GpuExecutor, devices_of
from consilience.trials.gpu import devices
from consilience.trials.sandbox.proctree import descendants

__all__ = ["bench", "root"]  # fixtures

FAKE = Path(__file__).parents[1] / "fake_nvml"
ALLOWED = Policy(allow_gpu=True)
LIMITS = Limits(wall_seconds=20.0, cpu_seconds=10.0, memory_mb=256, output_kb=256)
ONE = {"uuid": "GPU-one", "name": "Model One", "minor": 0, "memory_mb": 8000}
TWO = {"uuid": "GPU-two", "name": "Model One", "minor": 1, "memory_mb": 8000}

SEES = """
import json, mmap, os
usable = []
for name in ("nvidia0", "nvidia1", "nvidia2", "nvidiactl", "nvidia-uvm", "nvidia-uvm-tools"):
    try:
        os.close(os.open(os.path.join({folder!r}, name), os.O_RDWR))
        usable.append(name)
    except OSError:
        pass
mmap.mmap(-1, 1 << 33, prot=mmap.PROT_READ).close()  # far above the limit: addresses are free
print(json.dumps([usable, os.environ["CUDA_VISIBLE_DEVICES"], os.path.isdir("/sys/devices/system")]))
"""
WAITS = "import time\ndef run(seed):\n    time.sleep(30)\n    return 1.0\n"


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, root: Path) -> Iterator[ModuleType]:
    nodes = root / "dev"
    nodes.mkdir()
    for name in ("nvidia0", "nvidia1", "nvidia2", "nvidiactl", "nvidia-uvm", "nvidia-uvm-tools"):
        (nodes / name).touch()
        (nodes / name).chmod(0o666)
    monkeypatch.delitem(sys.modules, "pynvml", raising=False)
    monkeypatch.syspath_prepend(str(FAKE))
    monkeypatch.delenv(devices.VISIBLE, raising=False)
    monkeypatch.setattr(devices, "DEVICE_FOLDER", nodes)
    module = importlib.import_module("pynvml")
    module.DEVICES[:] = [ONE, TWO]
    yield module
    assert module.STATE["sessions"] == 0, "a session was left open"
    assert descendants(os.getpid()) == [], "a process is left"
    del sys.modules["pynvml"]


@contextmanager
def executor(problem: LoadedProblem, bench: Bench, root: Path, **grants: int) -> Iterator[Executor]:
    problem = msgspec.structs.replace(problem, interpreter=bench.interpreter)
    work = root / "trials"
    work.mkdir(mode=0o755)
    with guarded(Grants(gpus=1, **grants), ALLOWED, bench.sandbox, root / "leases.sqlite") as guard:
        assert guard is not None
        made = GpuExecutor(make_executor(problem, guard, work), guard)
        try:
            yield made
        finally:
            made.close()


def request(program: str) -> TrialRequest:
    return TrialRequest(artifact=artifact(program), seed=1, limits=LIMITS)


@contextmanager
def with_device(bench: Bench, root: Path, policy: Policy = ALLOWED) -> Iterator[Bench]:
    """The bench, with its sandbox guarded."""
    plain = bench.sandbox
    with guarded(Grants(gpus=1), policy, plain, root / "leases.sqlite") as guard:
        assert guard is not None
        bench.sandbox = guard
        yield bench
    bench.sandbox = plain


@at_held
def test_a_candidate_sees_its_device_and_no_other(bench: Bench, root: Path, fake: ModuleType) -> None:
    fake.USES[:] = [lambda uuid: [(1, 10)] if uuid == "GPU-one" else []]  # the first is busy
    with with_device(bench, root):
        done = bench.run(SEES.format(folder=str(root / "dev")))
    assert json.loads(done.out) == [["nvidia1", "nvidiactl", "nvidia-uvm", "nvidia-uvm-tools"], "GPU-two", True], done


@at_held
def test_without_a_device_it_sees_none(bench: Bench, root: Path, fake: ModuleType) -> None:
    opens = f"open({str(root / 'dev' / 'nvidia0')!r}, 'rb')"
    assert bench.run(opens).exit.code != 0


@at_held
def test_a_real_device_node_can_be_opened_and_controlled(bench: Bench, root: Path, fake: ModuleType) -> None:
    node = root / "dev" / "nvidia0"
    node.unlink()
    try:
        os.mknod(node, 0o666 | stat.S_IFCHR, os.makedev(1, 5))  # what /dev/zero is
        node.chmod(0o666)
        with node.open("rb", buffering=0) as file:
            file.read(1)
    except OSError as error:
        pytest.skip(f"no device node can be made or opened here: {error}")
    code = (
        "import fcntl\n"
        f"with open({str(node)!r}, 'r+b', buffering=0) as file:\n"
        "    print(file.read(3))\n"
        "    try: fcntl.ioctl(file, 0x5401)\n"  # TCGETS: this driver knows no such call, and says so itself
        "    except OSError as error: print(error.errno)\n"
    )
    with with_device(bench, root):
        done = bench.run(code)
    assert done.out.split("\n")[:2] == [str(bytes(3)), str(errno.ENOTTY)], done


@at_held
def test_memory_of_the_machine_is_watched_in_place_of_addresses(bench: Bench, root: Path, fake: ModuleType) -> None:
    with with_device(bench, root):
        done = bench.run("import time\nheld = b'x' * (700 << 20)\ntime.sleep(15)\nprint('kept it')")
    assert (done.out, done.exit.signal) == ("", signal.SIGKILL)
    assert done.exit.memory_kb > 512 * 1024


@at_strong
def test_a_folder_of_devices_holds_only_what_is_mounted(bench: Bench, root: Path, fake: ModuleType) -> None:
    with with_device(bench, root):
        done = bench.run(f"import os; print(sorted(os.listdir({str(root / 'dev')!r})))")
    assert done.out.strip() == str(sorted(["nvidia0", "nvidiactl", "nvidia-uvm", "nvidia-uvm-tools"]))


@pytest.mark.parametrize("bench", ["strong", "none"], indirect=True)
@pytest.mark.parametrize("kind", ["split", "openevolve", "command"])
def test_too_much_memory_of_the_device_ends_a_trial(kind: str, bench: Bench, root: Path, fake: ModuleType) -> None:
    """Each descendant of ours seems to use 600 MB; what we and strangers use is nobody's of the tree."""
    fake.USES[:] = [lambda uuid: []]
    problem = {"split": split_problem, "openevolve": openevolve_problem, "command": command_problem}[kind]()
    candidate = printing_artifact(WAITS) if kind == "command" else artifact(WAITS)
    with executor(problem, bench, root, gpu_memory_mb=500) as made:
        fake.USES[:] = [lambda uuid: [(pid, 600) for pid in descendants(os.getpid())]]
        outcome = made.run(TrialRequest(artifact=candidate, seed=1, limits=LIMITS))
        assert_over(outcome, 500)
        fake.USES[:] = [lambda uuid: []]
        shorter = artifact(candidate.files[0].text.replace("time.sleep(30)", "time.sleep(0.3)"))
        after = made.run(TrialRequest(artifact=shorter, seed=1, limits=LIMITS))
        assert after.failure is None, after


def assert_over(outcome: Outcome, limit_mb: int) -> None:
    assert outcome.failure is not None
    assert outcome.failure.reason == "memory", outcome
    assert f"more than its {limit_mb} MB of the memory of Model One" in outcome.failure.message
    assert outcome.metrics == {}
    assert outcome.isolation.gpu
    assert outcome.resources.wall_ms < 15_000


@at_strong
def test_others_on_the_device_are_not_held_against_a_trial(bench: Bench, root: Path, fake: ModuleType) -> None:
    short = WAITS.replace("30", "0.5")
    seen: list[int] = []

    def uses(uuid: str) -> list[tuple[int, int | None]]:
        """Ours and the evaluator's process use far too much, every other one little."""
        others = {os.getpid(), *evaluators}
        tree = [pid for pid in descendants(os.getpid()) if pid not in others]
        seen.extend(tree)
        return [*((pid, 9000) for pid in others), *((pid, 100) for pid in tree)]

    with executor(split_problem(), bench, root, gpu_memory_mb=500) as made:
        evaluators = descendants(os.getpid())
        made.run(request("def run(seed):\n    return 1.0\n"))  # the evaluator is there from here on
        evaluators = descendants(os.getpid())
        fake.USES[:] = [uses]
        outcome = made.run(request(short))
    assert evaluators
    assert seen
    assert outcome.failure is None, outcome
    assert outcome.isolation == Isolation(level=bench.sandbox.level, domain="split", gpu=True)


@at_strong
def test_a_driver_that_stops_answering_ends_the_trial_and_the_run(bench: Bench, root: Path, fake: ModuleType) -> None:
    calls: list[str] = []

    def uses(uuid: str) -> list[tuple[int, int | None]]:
        calls.append(uuid)
        if len(calls) > 4:
            fake.STATE["answers"] = False
        return []

    with executor(split_problem(), bench, root) as made:
        fake.USES[:] = [uses]
        with pytest.raises(EnvironmentLacksError, match="GPU is lost"):
            made.run(request(WAITS))
        with pytest.raises(EnvironmentLacksError, match="GPU is lost"):
            made.run(request(WAITS))


@at_strong
def test_a_lease_that_is_lost_during_a_trial_ends_it(bench: Bench, root: Path, fake: ModuleType) -> None:
    with executor(split_problem(), bench, root) as made:
        assert isinstance(made, GpuExecutor)
        hold, taken = made._guard.hold, threading.Timer(1.0, lambda: setattr(hold, "fault", "another took it over"))
        started = time.monotonic()
        taken.start()
        for _ in range(2):  # nor does another trial start
            with pytest.raises(EnvironmentLacksError, match="the trial's device is gone: another took it over"):
                made.run(request(WAITS))
        taken.join()
    assert time.monotonic() - started < 15


@at_strong
def test_the_device_is_free_again_afterwards(bench: Bench, root: Path, fake: ModuleType) -> None:
    fake.DEVICES[:] = [ONE]
    for _ in range(2):
        with executor(split_problem(), bench, root) as made:
            assert devices_of(made)
        (root / "trials").rmdir()


def test_no_device_is_opened_where_none_is_asked_for(root: Path) -> None:
    sandbox, _ = sandbox_at("none")
    with guarded(Grants(), Policy(), sandbox, root / "leases.sqlite") as guard:
        assert guard is None
    assert not (root / "leases.sqlite").exists()


def test_what_the_policy_refuses() -> None:
    sandbox, _ = sandbox_at("none")
    with pytest.raises(IsolationError, match="policy does not allow") as caught:
        require_allowed(Policy(), sandbox)
    assert "allow_gpu = true" in caught.value.hint
    assert caught.value.exit_code == 4
    with pytest.raises(SettingError, match="fork"):
        require_allowed(Policy(allow_gpu=True, execution="fork"), sandbox)
    require_allowed(ALLOWED, sandbox)


def test_a_whole_run_with_a_device(root: Path, fake: ModuleType) -> None:
    sandbox_at(HELD[0])
    problem = msgspec.structs.replace(split_problem(), root=root, baseline=artifact("def run(seed):\n    return 1.0\n"))
    problem = msgspec.structs.replace(problem, grants=Grants(gpus=1))
    places = UserPlaces(
        key=root / "key.json", marks=root / "state" / "feeds", settings=root / "config.toml", cache=root / "cache"
    )
    layer = problem_layer(problem.study, problem.stated)

    def settings(**flags: object) -> object:
        return resolve({"trials": 3, "baseline_seeds": 2, **flags}, {}, layer, {}, places.settings)

    with pytest.raises(IsolationError, match="does not allow"), running.Run.open(problem, settings(), places):  # type: ignore[arg-type]
        pass
    with running.Run.open(problem, settings(allow_gpu="true"), places) as work:  # type: ignore[arg-type]
        work.start()
        work.work()
        outcomes = [row for row in work.session.trials.rows.values() if row.isolation is not None]
        keys = {row.comparability_key for row in outcomes}
    assert outcomes
    assert all(row.isolation is not None and row.isolation.gpu for row in outcomes)
    assert len(keys) == 1
