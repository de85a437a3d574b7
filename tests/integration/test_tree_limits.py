"""Control groups bound whole trees and are gone afterwards; root runs nothing with its own powers."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sandbox_bench import Bench, at_all, bench, root

from consilience.core.errors import EnvironmentLacksError, IsolationError
from consilience.core.problem import Limits
from consilience.trials.sandbox import plain
from consilience.trials.sandbox import root as powers
from consilience.trials.sandbox.cgroups import Group, Lack, Place, find_place, locate
from consilience.trials.sandbox.interpreter import inspect_interpreter
from consilience.trials.sandbox.plain import PlainSandbox
from consilience.trials.sandbox.probe import sandbox_of

__all__ = ["bench", "root"]  # fixtures

MIB = 1024


@pytest.fixture
def place() -> Place:
    found = find_place()
    if isinstance(found, Lack):
        pytest.skip(found.reason)
    return found


def groups(place: Place) -> list[Path]:
    return [path for folder in place.folders for path in Path(folder).glob(f"consilience-*-{os.getpid()}-*")]


def in_group(group: Group, code: str) -> subprocess.CompletedProcess[str]:
    line = group.entering([sys.executable, "-c", code])
    return subprocess.run(line, capture_output=True, text=True, check=False, env={})


def test_a_group_bounds_the_number_of_tasks(place: Place) -> None:
    group = Group(place, memory_kb=256 * MIB, tasks=8)
    code = (
        "import os, time\n"
        "made = 0\n"
        "try:\n"
        "    while made < 100:\n"
        "        if os.fork() == 0: time.sleep(1); os._exit(0)\n"
        "        made += 1\n"
        "except BlockingIOError: pass\n"
        "print(made, sorted(os.environ))\n"
    )
    try:
        done = in_group(group, code)
        assert done.stdout == "15 ['LC_CTYPE']\n", done.stderr
    finally:
        time.sleep(1.1)
        group.remove()
    assert groups(place) == []


def test_a_group_bounds_memory_of_all_its_processes(place: Place) -> None:
    group = Group(place, memory_kb=96 * MIB, tasks=8)
    code = (
        "import os\n"
        "children = []\n"
        "for _ in range(4):\n"
        "    children.append(os.fork())\n"
        "    if children[-1] == 0: x = b'x' * (60 << 20); os._exit(0) if len(x) else None\n"
        "import signal\n"
        "x = b'x' * (60 << 20)\n"
        "print('done')\n"
    )
    try:
        in_group(group, code)
        assert group.kills() >= 1
    finally:
        group.remove()
    assert groups(place) == []


def test_a_tree_is_in_a_group_that_goes_with_it(place: Place, root: Path) -> None:
    bench = Bench(sandbox_of("none", sys.executable), sys.executable, root)
    code = "print([line for line in open('/proc/self/cgroup') if 'consilience-' in line] != [])"
    assert bench.run(code, may_fork=True).out == "True\n"
    assert bench.run(code, may_fork=False).out == "False\n"
    assert groups(place) == []


def test_a_group_whose_owner_was_killed_goes_at_the_next_start(place: Place) -> None:
    code = (
        "import os\n"
        "from consilience.trials.sandbox.cgroups import Group, find_place\n"
        "Group(find_place(), memory_kb=1 << 20, tasks=9)\n"
        "print(os.getpid(), flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    left = [path for folder in place.folders for path in Path(folder).glob(f"consilience-*-{done.stdout.strip()}-*")]
    assert len(left) == len(place.folders)
    look = "from consilience.trials.sandbox.cgroups import find_place; find_place()"
    subprocess.run([sys.executable, "-c", look], check=True)
    assert not any(path.exists() for path in left)


@pytest.mark.parametrize("level", ["strong", "none"])
def test_without_groups_the_watchdog_bounds_a_tree(root: Path, level: str) -> None:
    try:
        sandbox = sandbox_of(level, sys.executable, trees="soft")  # type: ignore[arg-type]
    except IsolationError as error:
        pytest.skip(error.message)
    code = "import os, time\nfor _ in range(3): os.fork()\nx = b'x' * (150 << 20)\ntime.sleep(20)"
    try:
        done = Bench(sandbox, sys.executable, root).run(code, may_fork=True)
    except EnvironmentLacksError as error:
        pytest.skip(error.message)
    assert done.exit.overran == "memory"
    assert done.exit.memory_kb > 512 * MIB


@at_all
def test_room_is_bounded_and_the_excess_named(bench: Bench) -> None:
    """A folder of the host, a folder in folders, and files that no folder names any more."""
    writes = "import os, time\nos.makedirs('a/b/c')\nos.chdir('a/b/c')\n"
    many = "for n in range(3000): open(str(n), 'w')\ntime.sleep(20)\n"
    large = "for n in range(12): open(str(n), 'wb').write(bytes(1 << 20))\ntime.sleep(20)\n"
    hidden = (
        "files = []\n"
        "for n in range(12):\n"
        "    files.append(open('x', 'wb', buffering=0)); os.unlink('x'); files[-1].write(bytes(1 << 20))\n"
        "time.sleep(20)\n"
    )
    for action in (many, large, hidden):
        done = bench.run(writes + action, may_fork=True, scratch_mb=8, scratch_files=1000)
        assert (done.exit.signal, done.exit.overran) == (9, "room"), (action, done.err)
        subprocess.run(["rm", "-rf", str(bench.work / "a")], check=True)


@at_all
def test_what_was_there_before_does_not_count(bench: Bench) -> None:
    (bench.work / "given").write_bytes(os.urandom(20 << 20))
    done = bench.run("import time; open('new', 'wb').write(bytes(1 << 20)); time.sleep(0.3)", scratch_mb=8)
    assert (done.exit.code, done.exit.signal, done.exit.overran) == (0, 0, ""), done.err


@at_all
def test_a_tree_dies_with_us_whatever_it_asks_for(bench: Bench, root: Path) -> None:
    """Clearing the order to die with the parent would let a candidate outlive us in an orphaned sandbox."""
    inner = root / "inner"
    inner.mkdir()
    runner = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "sys.path.insert(0, sys.argv[3])\n"
        "from sandbox_bench import Bench, sandbox_at\n"
        "bench = Bench(*sandbox_at(sys.argv[2]), Path(sys.argv[1]))\n"
        "code = 'import ctypes, time\\nctypes.CDLL(None).prctl(1, 0, 0, 0, 0)\\n'\n"
        'code += \'while True: open("beat", "a").write("."); time.sleep(0.002)\'\n'
        "for may_fork in (False, True): bench.start(bench.confinement(code, may_fork=may_fork))\n"
        "time.sleep(1)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    arguments = [str(inner), bench.sandbox.level, str(Path(__file__).parent)]
    subprocess.run([sys.executable, "-c", runner, *arguments], capture_output=True, check=False, timeout=60)
    time.sleep(0.3)
    size = (inner / "work" / "beat").stat().st_size
    assert size > 0
    time.sleep(0.1)
    assert (inner / "work" / "beat").stat().st_size == size


POWERS = """
import ctypes, os
def can(action):
    try: action()
    except OSError: return False
    return True
libc = ctypes.CDLL(None, use_errno=True)
def call(result):
    if result != 0: raise OSError(ctypes.get_errno(), "")
open("mine", "w")
print(open("/proc/self/uid_map").read().split()[1:] == ["0", "1"] or os.getuid() != 0)
print([
    can(lambda: os.chown("mine", 1234, 1234)),
    can(lambda: call(libc.mount(b"x", b".", b"tmpfs", 0, None))),
    can(lambda: call(libc.ptrace(16, os.getppid(), 0, 0))),
    can(lambda: os.setuid(0) if os.getuid() else os.setuid(1)),
    can(lambda: os.mknod("device", 0o20600, 259)),
    can(lambda: os.setpriority(os.PRIO_PROCESS, 0, -5)),
])
print([line.split()[1] for line in open("/proc/self/status") if line.startswith(("CapEff", "CapPrm", "CapInh"))])
"""


@pytest.fixture
def as_root() -> Iterator[None]:
    if os.getuid() != 0:
        pytest.skip("only root has powers to lose")
    yield
    powers.namespaces_work.cache_clear()


@at_all
@pytest.mark.usefixtures("as_root")
def test_root_loses_its_powers(bench: Bench) -> None:
    for may_fork in (False, True):
        done = bench.run(POWERS, may_fork=may_fork)
        nothing = "0000000000000000"
        assert done.out.splitlines() == ["True", str([False] * 6), str([nothing] * 3)], done.err


@pytest.mark.usefixtures("as_root")
def test_root_becomes_the_spare_user_where_namespaces_are_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(powers, "namespaces_work", lambda _interpreter: False)
    bench = Bench(PlainSandbox(inspect_interpreter("/usr/bin/python3")), "/usr/bin/python3", root)
    assert bench.run("import os; print(os.getresuid(), os.getgroups())").out == f"{(65534,) * 3} []\n"


@pytest.mark.usefixtures("as_root")
def test_root_without_any_way_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(powers, "namespaces_work", lambda _interpreter: False)
    monkeypatch.setattr(powers, "barred_from", lambda _interpreter: "/root")
    bench = Bench(PlainSandbox(inspect_interpreter(sys.executable)), sys.executable, root)
    with pytest.raises(IsolationError, match="may not enter /root") as caught:
        bench.run("print(1)")
    assert caught.value.hint
    assert plain.PlainSandbox.level == "none"


def test_v2_groups_are_sought_where_they_are_delegated(tmp_path: Path) -> None:
    mount = tmp_path / "cgroup"
    own = mount / "user.slice" / "app.slice" / "run.scope"
    own.mkdir(parents=True)
    for folder in (own, own.parent, own.parent.parent):
        (folder / "cgroup.procs").write_text("")
        (folder / "cgroup.subtree_control").write_text("")
    (own.parent / "cgroup.subtree_control").write_text("cpu memory pids\n")
    (own.parent.parent / "cgroup.subtree_control").write_text("cpu memory pids\n")
    process = tmp_path / "self"
    process.mkdir()
    (process / "cgroup").write_text("0::/user.slice/app.slice/run.scope\n")
    (process / "mountinfo").write_text(f"30 24 0:26 / {mount} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n")
    assert locate(process) == Place(2, (str(own.parent),))
    for folder in (own.parent, own.parent.parent):
        (folder / "cgroup.subtree_control").write_text("cpu\n")
    lack = locate(process)
    assert isinstance(lack, Lack)
    assert "systemd-run" in lack.mend


def test_v2_limits_are_written_and_read(tmp_path: Path) -> None:
    folder = tmp_path
    group = Group.__new__(Group)
    group.__dict__.update(_version=2, _folders=[folder])
    (folder / "memory.swap.max").write_text("")
    group._limit(1024, 40)
    read = {path.name: path.read_text() for path in folder.iterdir()}
    assert read == {"pids.max": "40", "memory.max": str(1 << 20), "memory.swap.max": "0"}
    (folder / "memory.events").write_text("low 0\nhigh 0\nmax 3\noom 2\noom_kill 2\n")
    (folder / "memory.stat").write_text("anon 4096\nfile 999\n")
    assert (group.kills(), group.memory_kb()) == (2, 4)


def test_limits_of_a_tree_reach_the_outcome(root: Path, place: Place) -> None:
    """A tree that the kernel stops between two looks of the watchdog is still told as out of memory."""
    assert place.folders
    bench = Bench(sandbox_of("none", sys.executable), sys.executable, root)
    code = "import os\nfor _ in range(3): os.fork()\nx = [bytearray(b'x' * (30 << 20)) for _ in range(4)]"
    done = bench.run(code, may_fork=True, limits=Limits(cpu_seconds=10, memory_mb=256), scratch_mb=8)
    assert done.exit.overran == "memory"
    assert done.exit.memory_kb >= 256 * MIB
