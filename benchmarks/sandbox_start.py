"""Start overhead of each isolation level: the same tiny program, interleaved round by round.

    python benchmarks/sandbox_start.py [ROUNDS] [INTERPRETER]

Data flow: rounds of (bare, each level, with and without forking) -> wall milliseconds -> table of p50 and p90.
Rows of one run may be compared; digits of two runs may not, for the machine's load differs.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from consilience.core.problem import Limits
from consilience.trials.sandbox.confinement import Confinement, Sandbox
from consilience.trials.sandbox.probe import open_sandbox, probe_sandboxes, unsafe_sandbox
from consilience.trials.sandbox.tools import Tools, find_tools

CODE = ("-I", "-S", "-c", "print(1)")
Start = Callable[[int], None]


def levels(interpreter: str) -> dict[str, Sandbox]:
    tools = find_tools()
    only_landlock, only_wasm = Tools(landlock_abi=tools.landlock_abi), Tools(wasm=tools.wasm)
    found: dict[str, Sandbox] = {"none": unsafe_sandbox(interpreter)}
    for level, offered in (("wasm", only_wasm), ("restricted", only_landlock), ("strong", tools)):
        probe = probe_sandboxes(interpreter, tools=offered)
        if probe.level == level:
            found[level] = open_sandbox(probe)
        else:
            print(f"# no level {level}: {next(r.reason for r in probe.reports if r.level == level)}")
    return found


def bare(interpreter: str) -> Start:
    def start(out: int) -> None:
        subprocess.run([interpreter, *CODE], stdin=subprocess.DEVNULL, stdout=out, check=True, env={})

    return start


def confined(sandbox: Sandbox, interpreter: str, root: Path, *, may_fork: bool) -> Start:
    confinement = Confinement(
        argv=(interpreter, *CODE), work_dir=str(root), scratch=str(root), limits=Limits(), may_fork=may_fork
    )

    def start(out: int) -> None:
        process = sandbox.start(confinement, stdin=subprocess.DEVNULL, stdout=out, stderr=2)
        ended = process.wait(60)
        if ended is None or ended.code or ended.signal:
            raise SystemExit(f"the program did not run at level {sandbox.level}: {ended or process.kill()}")

    return start


def measure(starts: dict[str, Start], rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in starts}
    with tempfile.TemporaryFile() as out:
        for _ in range(rounds):
            for name, start in starts.items():
                began = time.perf_counter()
                start(out.fileno())
                times[name].append((time.perf_counter() - began) * 1000)
    return times


def main() -> None:
    rounds = int(sys.argv[1]) if sys.argv[1:] else 30
    interpreter = sys.argv[2] if sys.argv[2:] else sys.executable
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        root.chmod(0o755)
        starts = {"bare": bare(interpreter)}
        for level, sandbox in levels(interpreter).items():
            for may_fork in (False,) if level == "wasm" else (False, True):
                name = f"{level}, {'may fork' if may_fork else 'no fork'}"
                starts[name] = confined(sandbox, interpreter, root, may_fork=may_fork)
        times = measure(starts, rounds)
    print(f"# {rounds} rounds, load {os.getloadavg()[0]:.1f}, {interpreter}")
    floor = statistics.median(times["bare"])
    for name, row in times.items():
        p50, p90 = statistics.median(row), statistics.quantiles(row, n=10)[-1]
        print(f"{name:24} p50 {p50:6.1f} ms   p90 {p90:6.1f} ms   over bare {p50 - floor:+6.1f} ms")


if __name__ == "__main__":
    main()
