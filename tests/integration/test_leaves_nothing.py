"""A thousand trials that crash, hang, daemonise or are killed at random leave nothing behind, whatever runs them.

Another executor is another entry of EXECUTORS, with its share of the thousand.
"""

from __future__ import annotations

import functools
import gc
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from consilience.core.artifact import Artifact
from consilience.core.outcome import Outcome
from consilience.core.ports import Executor
from consilience.core.problem import Limits
from consilience.core.study import ExecutionPolicy
from consilience.testing.trivial import (
    artifact,
    command_problem,
    openevolve_problem,
    printing_artifact,
    program_problem,
    request,
    split_problem,
    writing_artifact,
)
from consilience.trials.executors.factory import make_executor
from consilience.trials.sandbox.cgroups import usable_place
from consilience.trials.sandbox.probe import strongest_sandbox
from consilience.trials.sandbox.proctree import descendants

PATIENT = Limits(wall_seconds=10, cpu_seconds=10, memory_mb=512, output_kb=64)
SHORT = Limits(wall_seconds=0.15, cpu_seconds=10, memory_mb=512, output_kb=64)
GROWTH = 1.1
WARM_UP = 24  # trials before the first measurement: caches fill, the allocator finds its size
KILLED_SHARE = 0.25
LONGEST_WAIT = 0.08  # seconds until a kill: a trial of each kind takes about as long

HONEST = "def run(seed): return 1.0\n"
CRASHES = {
    "raise": "def run(seed): raise ValueError('no')\n",
    "exit": "import os\ndef run(seed): os._exit(3)\n",
    "import": "import no_such_module\n",
    "segfault": "import ctypes\ndef run(seed): return ctypes.string_at(0)\n",
    "abort": "import os\ndef run(seed): os.abort()\n",
    "memory": "def run(seed): return len(bytearray(1 << 30))\n",
    "thread": "import threading, time\ndef run(seed):\n"
    "    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
    "    raise KeyError('left a thread')\n",
    "litter": "import os, tempfile\ndef run(seed):\n    for n in range(50): tempfile.mkstemp()\n    os._exit(5)\n",
}
HANGS = {
    "spin": "def run(seed):\n    while True: pass\n",
    "sleep": "import time\ndef run(seed): time.sleep(600)\n",
    "deaf": "import signal, time\ndef run(seed):\n    for n in (1, 2, 15): signal.signal(n, signal.SIG_IGN)\n"
    "    time.sleep(600)\n",
    "stopped": "import os, signal\ndef run(seed):\n    os.kill(os.getpid(), signal.SIGSTOP)\n    while True: pass\n",
}
DAEMON = (
    "import os, time, signal, fcntl\n"
    "def run(seed):\n"
    "    if os.fork() == 0:\n"
    "        os.setsid()\n"
    "        for n in (1, 2, 15): signal.signal(n, signal.SIG_IGN)\n"
    "        if os.fork() == 0:\n"
    "            lock = open('lock', 'w'); fcntl.flock(lock, fcntl.LOCK_EX)\n"
    "            time.sleep(600)\n"
    "        os._exit(0)\n"
    "    {then}\n"
)
DAEMONS = {
    "daemon-scored": DAEMON.format(then="return 1.0"),
    "daemon-crashed": DAEMON.format(then="os.abort()"),
    "daemon-hung": DAEMON.format(then="os.killpg(0, signal.SIGSTOP); time.sleep(600)"),
    "daemon-shm": "from multiprocessing import shared_memory\n"
    + DAEMON.format(then="shared_memory.SharedMemory(create=True, size=4096); return 1.0"),
}


class Kind(NamedTuple):
    """An executor under test: how it is made, how a program becomes a candidate, its share of the thousand."""

    make: Callable[[Path], Executor]
    candidate: Callable[[str], Artifact]
    programs: dict[str, str]
    trials: int


@functools.cache
def sandbox() -> object:
    return strongest_sandbox(sys.executable)


def made(problem: Callable[[], object], execution: ExecutionPolicy = "auto") -> Callable[[Path], Executor]:
    return lambda work: make_executor(problem(), sandbox(), work, execution)  # type: ignore[arg-type]


CALLED = {"honest": HONEST, **CRASHES, **HANGS}
WHOLE = {**CALLED, **DAEMONS}
EXECUTORS = {
    "forked": Kind(made(split_problem), artifact, CALLED, 400),
    "fresh": Kind(made(split_problem, "fresh"), artifact, CALLED, 200),
    "openevolve": Kind(made(openevolve_problem), artifact, WHOLE, 150),
    "command": Kind(made(command_problem), printing_artifact, WHOLE, 150),
    "program": Kind(made(program_problem), writing_artifact, WHOLE, 100),
}


class Traces(NamedTuple):
    """What this process and this machine hold of our trials."""

    processes: list[int]
    files: list[str]
    locks: int
    groups: list[str]
    descriptors: int
    threads: int


def traces(folder: Path) -> Traces:
    place = usable_place()
    groups = [str(path) for top in place.folders for path in Path(top).glob(f"*-{os.getpid()}-*")] if place else []
    return Traces(
        processes=sorted({*descendants(os.getpid()), *_naming(folder)} - {os.getpid()}),
        files=sorted(str(path) for path in folder.rglob("*")),
        locks=sum(f" {os.getpid()} " in line for line in Path("/proc/locks").read_text().splitlines()),
        groups=groups,
        descriptors=len(list(Path("/proc/self/fd").iterdir())),
        threads=threading.active_count(),
    )


def _naming(folder: Path) -> Iterator[int]:
    """Yield the processes that have anything to do with the folder, whoever their parent is by now."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            told = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            if str(folder).encode() in told or str((process / "cwd").readlink()).startswith(str(folder)):
                yield int(process.name)


def settled(folder: Path, wanted: Traces) -> Traces:
    """Give what is dying a moment to be gone."""
    deadline = time.monotonic() + 5
    while (now := traces(folder)) != wanted and time.monotonic() < deadline:
        time.sleep(0.05)
    return now


def resident_kb() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


@contextmanager
def killer(rng: random.Random) -> Iterator[list[int]]:
    """Kill one process below us after a random time: the candidate, its helper or the evaluator."""
    done, killed = threading.Event(), []
    wait = rng.random() * LONGEST_WAIT

    def strike() -> None:
        if not done.wait(wait) and (below := descendants(os.getpid())):
            with suppress(ProcessLookupError):
                killed.append(rng.choice(below))
                os.kill(killed[-1], signal.SIGKILL)

    thread = threading.Thread(target=strike)
    thread.start()
    try:
        yield killed
    finally:
        done.set()
        thread.join()


def trial(executor: Executor, kind: Kind, rng: random.Random) -> tuple[str, Outcome]:
    name = rng.choice(list(kind.programs))
    slow = name in HANGS or name == "daemon-hung"
    asked = request(kind.candidate(kind.programs[name]), limits=SHORT if slow else PATIENT)
    if rng.random() > KILLED_SHARE:
        return name, executor.run(asked)
    with killer(rng) as killed:
        outcome = executor.run(asked)
    return ("killed" if killed else name), outcome


def check(name: str, outcome: Outcome) -> None:
    """Each trial must have gone as it was meant to, or the count of a thousand means nothing."""
    if name == "honest":
        assert outcome.failure is None, outcome
    elif name in HANGS or name == "daemon-hung":
        assert outcome.failure is not None, (name, outcome)
        assert outcome.failure.reason == "timeout", (name, outcome)
    elif name in CRASHES or name == "daemon-crashed":
        assert outcome.failure is not None, (name, outcome)
        assert outcome.failure.reason in {"crash", "memory"}, (name, outcome)


@pytest.mark.slow
@pytest.mark.parametrize("which", list(EXECUTORS))
def test_nothing_is_left_after_trials_of_every_bad_end(which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(f"{which} 1")
    kind, counts = EXECUTORS[which], Counter[str]()
    with tempfile.TemporaryDirectory(prefix="leaves-") as name:
        folder = Path(name).resolve()
        monkeypatch.setattr("tempfile.tempdir", str(folder))
        sandbox()
        gc.collect()  # what earlier tests dropped is closed now, not meanwhile
        before = traces(folder)
        executor = kind.make(folder / "work")
        for number in range(kind.trials):
            if number == WARM_UP:
                warm_kb = resident_kb()
            called, outcome = trial(executor, kind, rng)
            check(called, outcome)
            counts[called] += 1
        grown = resident_kb() / warm_kb
        executor.close()
        with suppress(FileNotFoundError):
            (folder / "work").rmdir()  # ours to remove, and empty
        after = settled(folder, before)
    print(f"{which}: {dict(counts)}, memory x{grown:.3f}")
    assert after._replace(threads=0) == before._replace(threads=0)
    assert after.threads <= before.threads + 1, "one watchdog for all"
    assert grown <= GROWTH
    assert counts["killed"] > kind.trials // 20
    assert set(counts) == {*kind.programs, "killed"}


def test_there_are_a_thousand() -> None:
    assert sum(kind.trials for kind in EXECUTORS.values()) == 1000
