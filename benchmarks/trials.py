"""Trials per second of a called candidate, by how its process comes to be and what confines it.

    python benchmarks/trials.py [--smoke] [--json]

The evaluator calls the candidate once; the candidate imports NumPy and works for about a millisecond. Every way runs
through the product's own executor, with the recorder, the warm evaluator and all checks. Rounds are interleaved: each
round runs every way, first in one process (latency), then in two at once (rate on two cores).

Ways:
    fresh               a new interpreter without a sandbox
    fresh+sandbox       a new interpreter in bubblewrap, seccomp and limits: level strong
    fork                forked from a warm process in bubblewrap, without the layers inside; the product never does this
    fork+layers         the same with Landlock, seccomp and limits for each candidate: what `execution = "fork"` is

Data flow: ways x rounds -> child processes that run trials -> wall seconds -> table of p50, p90 and rates.
Rows of one run may be compared; digits of two runs may not, for the machine's load differs.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from multiprocessing.pool import Pool
from pathlib import Path

import msgspec

from consilience.core.study import ExecutionPolicy
from consilience.testing.trivial import artifact, request, split_problem
from consilience.trials.executors import warm, zygote
from consilience.trials.executors.function import FunctionExecutor
from consilience.trials.sandbox.forking import ForkSettings
from consilience.trials.sandbox.probe import strongest_sandbox, unsafe_sandbox

EVALUATOR = "def evaluate(candidate, seed):\n    return {'score': candidate.call('run', seed)}\n"
PROGRAM = """
import time
import numpy as np

def run(seed):
    end = time.perf_counter() + 0.001
    total = 1.0  # and not 0: a busy machine may take the millisecond away before the first sum
    while time.perf_counter() < end:
        total += float(np.arange(100.0).sum())
    return total / total + seed
"""
WAYS = ("fresh", "fresh+sandbox", "fork", "fork+layers")
CANDIDATE = artifact(PROGRAM)


def run_trials(way: str, count: int) -> list[float]:
    """Run trials one way in this process and return each one's wall time in seconds, without the first."""
    if way == "fork":
        vars(zygote)["fork_settings"] = lambda *_: ForkSettings((), (), ())  # this process ends with the round
        vars(warm)["run_fork_canaries"] = lambda *_: ()  # they would find out
    sandbox = unsafe_sandbox(sys.executable) if way == "fresh" else strongest_sandbox(sys.executable)
    execution: ExecutionPolicy = "fork" if way.startswith("fork") else "fresh"
    loaded = msgspec.structs.replace(split_problem(EVALUATOR), baseline=CANDIDATE)
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        executor = FunctionExecutor(loaded, sandbox, Path(folder) / "work", execution)
        try:
            for seed in range(count + 1):
                started = time.perf_counter()
                outcome = executor.run(request(CANDIDATE, seed=seed))
                seconds.append(time.perf_counter() - started)
                if outcome.metrics != {"score": 1.0 + seed} or outcome.isolation.execution != execution:
                    raise RuntimeError(f"{way}: {outcome}")  # a SystemExit would be lost in the pool
        finally:
            executor.close()
    return seconds[1:]


def rate(pool: Pool, way: str, count: int) -> float:
    """Return trials per second of two processes at once, from the slower one's time."""
    both = pool.starmap(run_trials, [(way, count)] * 2, chunksize=1)
    return 2 * count / max(sum(seconds) for seconds in both)


def measure(rounds: int, counts: dict[str, int]) -> list[dict[str, float | str]]:
    latencies: dict[str, list[float]] = {way: [] for way in WAYS}
    rates: dict[str, list[float]] = {way: [] for way in WAYS}
    spawn = multiprocessing.get_context("spawn")
    for _ in range(rounds):
        for way in WAYS:
            with spawn.Pool(2) as pool:
                latencies[way] += pool.apply(run_trials, (way, counts[way]))
                rates[way].append(rate(pool, way, counts[way]))
    return [row(way, latencies[way], rates[way], rates["fresh+sandbox"]) for way in WAYS]


def row(way: str, latencies: list[float], rates: list[float], base: list[float]) -> dict[str, float | str]:
    deciles = statistics.quantiles(latencies, n=10)
    return {
        "way": way,
        "trials": len(latencies),
        "p50_ms": 1000 * statistics.median(latencies),
        "p90_ms": 1000 * deciles[8],
        "rate": statistics.median(rates),
        "rate_low": min(rates),
        "rate_high": max(rates),
        "ratio": statistics.median(each / other for each, other in zip(rates, base, strict=True)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="one short round")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if strongest_sandbox(sys.executable).level != "strong":
        raise SystemExit("this machine has no level strong; see consilience doctor")
    rounds, fresh, forked = (1, 10, 60) if options.smoke else (5, 40, 400)
    rows = measure(rounds, {way: forked if way.startswith("fork") else fresh for way in WAYS})
    if options.json:
        print(json.dumps(rows))
        return
    print(f"{rounds} rounds, interleaved; rates are of two processes on {multiprocessing.cpu_count()} cores")
    print(f"{'way':<15}{'p50 ms':>8}{'p90 ms':>8}{'trials/s':>10}{'lowest':>8}{'highest':>9}{'x fresh+sandbox':>17}")
    for each in rows:
        figures = f"{each['p50_ms']:>8.1f}{each['p90_ms']:>8.1f}{each['rate']:>10.1f}"
        print(f"{each['way']:<15}{figures}{each['rate_low']:>8.1f}{each['rate_high']:>9.1f}{each['ratio']:>17.1f}")


if __name__ == "__main__":
    main()
