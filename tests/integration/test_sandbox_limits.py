"""Limits hold and kills leave nothing, by real processes at each level."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from sandbox_bench import Bench, at_all, bench, root

from consilience.core.problem import Limits
from consilience.trials.sandbox.proctree import descendants, state

__all__ = ["bench", "root"]  # fixtures


@at_all
def test_memory_limit(bench: Bench) -> None:
    done = bench.run("x = bytearray(700 << 20); print('GOT IT')")
    assert done.out == ""
    assert done.exit.code != 0
    assert "MemoryError" in done.err


@at_all
def test_memory_of_a_whole_tree_is_watched(bench: Bench) -> None:
    code = (
        "import os, time\n"
        "for _ in range(4):\n"
        "    if os.fork() == 0:\n"
        "        x = b'x' * (200 << 20)\n"
        "        time.sleep(20)\n"
        "time.sleep(20)\n"
    )
    started = time.monotonic()
    done = bench.run(code, may_fork=True)
    assert time.monotonic() - started < 10
    assert done.exit.signal == 9
    assert done.exit.memory_kb >= 512 * 1024


@at_all
def test_a_fork_bomb_ends(bench: Bench) -> None:
    code = (
        "import os, time\n"
        "end = time.monotonic() + 10\n"
        "while time.monotonic() < end:\n"
        "    try: os.fork()\n"
        "    except OSError: pass\n"
        "    time.sleep(0.02)\n"
    )
    started = time.monotonic()
    done = bench.run(code, may_fork=True, limits=Limits(cpu_seconds=30, memory_mb=8192))
    assert done.exit.signal == 9
    assert time.monotonic() - started < 5


@at_all
def test_cpu_limit(bench: Bench) -> None:
    done = bench.run("while True: pass", limits=Limits(cpu_seconds=1, memory_mb=256))
    assert done.exit.signal == 9
    assert 700 <= done.exit.cpu_ms <= 1500  # the kernel enforces by ticks


@at_all
def test_cpu_of_a_tree_is_summed_and_limited(bench: Bench) -> None:
    code = "import os\nfor _ in range(3): os.fork()\nwhile True: pass"
    done = bench.run(code, may_fork=True, limits=Limits(cpu_seconds=1, memory_mb=512))
    assert done.exit.signal == 9
    assert 900 <= done.exit.cpu_ms <= 2500


@at_all
def test_file_size_limit(bench: Bench) -> None:
    code = (
        "f = open('big', 'wb')\n"
        "try: [f.write(bytes(1 << 20)) for _ in range(10)]; f.flush(); print('UNBOUNDED')\n"
        "except OSError as e: print(e.errno)\n"
    )
    done = bench.run(code, scratch_mb=2, limits=Limits(output_kb=100))
    assert done.out == "27\n"  # EFBIG
    assert (bench.work / "big").stat().st_size <= 2 << 20


@at_all
def test_kill_counts_the_time_that_was_used(bench: Bench) -> None:
    for may_fork in (False, True):
        process = bench.start(bench.confinement("while True: pass", may_fork=may_fork))
        assert process.wait(0.5) is None
        ended = process.kill()
        assert ended.signal == 9
        assert 50 <= ended.cpu_ms <= 1000
        assert process.kill() == ended == process.wait()
        assert state(process.pid) == ""


@at_all
def test_kill_at_any_moment_of_the_start(bench: Bench) -> None:
    for step in range(12):
        process = bench.start(bench.confinement("while True: pass", may_fork=bool(step % 2)))
        time.sleep(step * 0.002)
        process.kill()
        assert descendants(os.getpid()) == []


@at_all
def test_daemons_die_with_the_kill_and_with_the_end(bench: Bench) -> None:
    code = (
        "import os, time, signal, sys\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "        while True:\n"
        "            open('beat', 'a').write('.')\n"
        "            time.sleep(0.002)\n"
        "    os._exit(0)\n"
        "while not os.path.exists('beat'): time.sleep(0.002)\n"
        "time.sleep(float(sys.argv[1]))\n"
    )
    for seconds in ("0", "30"):
        beat = bench.work / "beat"
        beat.unlink(missing_ok=True)
        argv = (bench.interpreter, "-s", "-c", code, seconds)
        process = bench.start(bench.confinement("", argv=argv, may_fork=True))
        deadline = time.monotonic() + 10
        while not beat.exists() and time.monotonic() < deadline:
            time.sleep(0.005)
        assert beat.exists()
        ended = process.wait(10) if seconds == "0" else process.kill()
        assert ended is not None
        assert ended.signal == (0 if seconds == "0" else 9)
        size = beat.stat().st_size
        time.sleep(0.1)
        assert beat.stat().st_size == size
        assert descendants(os.getpid()) == []


@at_all
def test_a_tree_dies_with_us(bench: Bench, root: Path) -> None:
    """Our own process is killed without a chance to clean up; what it confined must not go on."""
    inner = root / "inner"
    inner.mkdir()
    runner = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "sys.path.insert(0, sys.argv[3])\n"
        "from sandbox_bench import Bench, sandbox_at\n"
        "bench = Bench(*sandbox_at(sys.argv[2]), Path(sys.argv[1]))\n"
        'code = \'import time\\nwhile True: open("beat", "a").write("."); time.sleep(0.002)\'\n'
        "process = bench.start(bench.confinement(code, may_fork=True))\n"
        "while not (bench.work / 'beat').exists(): time.sleep(0.005)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    arguments = [str(inner), bench.sandbox.level, str(Path(__file__).parent)]
    done = subprocess.run([sys.executable, "-c", runner, *arguments], capture_output=True, check=False, timeout=60)
    assert done.returncode == -9, done.stderr
    time.sleep(0.3)
    size = (inner / "work" / "beat").stat().st_size
    time.sleep(0.1)
    assert (inner / "work" / "beat").stat().st_size == size
