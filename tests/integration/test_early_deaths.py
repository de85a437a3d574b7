"""Whoever dies while a sandbox is being set up, no orphan is left: the order to die with a parent comes late in it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from sandbox_bench import Bench, at_all, bench, root

from consilience.trials.sandbox.proctree import start_ticks

__all__ = ["bench", "root"]  # fixtures

ROUNDS = 24
LONGEST_START = 0.06  # seconds
SLEEPS = "import time\ntime.sleep(600)"


def naming(folder: Path) -> list[int]:
    """Return the processes of this test's own folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            told = (process / "cmdline").read_bytes() + str((process / "cwd").readlink()).encode()
        except OSError:
            continue
        if str(folder).encode() in told:
            found.append(int(process.name))
    return found


def gone(folder: Path) -> bool:
    deadline = time.monotonic() + 5
    while naming(folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    left = naming(folder)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    return not left


@at_all
def test_the_helper_is_killed_while_it_starts(bench: Bench, root: Path) -> None:
    rng = random.Random(1)
    for number in range(ROUNDS):
        argv = (bench.interpreter, "-S", "-s", "-c", SLEEPS, str(root))
        process = bench.start(bench.confinement("", argv=argv, may_fork=bool(number % 2)))
        time.sleep(rng.random() * LONGEST_START)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert gone(root)


@at_all
def test_we_are_killed_while_it_starts(bench: Bench, root: Path) -> None:
    rng = random.Random(2)
    runner = (
        "import sys\n"
        "from pathlib import Path\n"
        "sys.path.insert(0, sys.argv[3])\n"
        "from sandbox_bench import Bench\n"
        "from consilience.trials.sandbox.probe import sandbox_of\n"
        "bench = Bench(sandbox_of(sys.argv[2], sys.argv[4]), sys.argv[4], Path(sys.argv[1]))\n"
        "argv = (sys.argv[4], '-S', '-s', '-c', 'import time; time.sleep(600)', sys.argv[1])\n"
        "starts = [bench.confinement('', argv=argv, may_fork=n % 2 == 1) for n in range(2)]\n"
        "print('ready', flush=True)\n"
        "kept = [bench.start(each) for each in starts]\n"
        "kept[0].wait()\n"
    )
    for number in range(ROUNDS // 4):
        inner = root / f"inner{number}"
        inner.mkdir()
        arguments = [str(inner), bench.sandbox.level, str(Path(__file__).parent), bench.interpreter]
        with subprocess.Popen([sys.executable, "-c", runner, *arguments], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(rng.random() * LONGEST_START)
            process.kill()
    assert gone(root)


def test_decoys_of_canaries_end_with_whoever_set_them() -> None:
    code = (
        "import time\n"
        "from consilience.trials.sandbox.canary_ground import canary_ground\n"
        "with canary_ground() as ground:\n"
        "    print(ground.places['decoys'], flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as setter:
        assert setter.stdout is not None
        decoys = [int(pid) for pid in setter.stdout.readline().split()]
        assert decoys
        setter.kill()
        assert setter.stdout.read() == "", "nobody holds its output open"
    deadline = time.monotonic() + 10
    while (left := [pid for pid in decoys if start_ticks(pid) is not None]) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert left == []
