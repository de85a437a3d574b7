"""The channel between evaluator and candidate: a million floats as an array, the same as a list, and an empty call.

An evaluator calls a candidate that returns what it is given. Each round makes all three calls, so rows of one run may
be compared. `there and back` is the recorder's clock (`candidate.seconds`); `whole call` is the evaluator's, and so
holds its own encoding and decoding too. The candidate returns the array as it came, or the list.

    python benchmarks/channel.py            a million floats
    python benchmarks/channel.py --smoke    a tenth of that, few rounds

Data flow: options -> one trial in the strongest sandbox -> medians and ranges, printed by the trial's log.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
from pathlib import Path

import msgspec
import numpy as np

from consilience.core.problem import Limits
from consilience.testing.trivial import artifact, request, split_problem
from consilience.trials.executors.function import FunctionExecutor
from consilience.trials.sandbox.probe import strongest_sandbox

LIMITS = Limits(wall_seconds=600, cpu_seconds=600, memory_mb=4096, output_kb=64 * 1024)
CALLS = ("array", "list", "nothing")
MARK = "measured: "
PROGRAM = "import numpy\n\n\ndef echo(given):\n    return given\n"
EVALUATOR = f"""
import json, time
import numpy as np

def evaluate(candidate, seed):
    array = np.random.default_rng(seed).standard_normal(SIZE)
    given = dict(zip({CALLS!r}, (array, array.tolist(), None)))
    found = {{name: [] for name in given}}
    candidate.call("echo", None)
    for _ in range(ROUNDS):
        for name, value in given.items():
            candidate.call("echo", None)  # both sides free what the call before has left
            began = time.perf_counter()
            got = candidate.call("echo", value)
            found[name].append((1000 * candidate.seconds, 1000 * (time.perf_counter() - began)))
            assert type(got) is type(value) and (got is None or len(got) == SIZE)
            del got
    print({MARK!r} + json.dumps(found))
    return 1.0
"""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What one kind of call took, in milliseconds, round by round."""

    call: str
    there_and_back_ms: list[float]
    whole_call_ms: list[float]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is printed. `gain` is how many times longer the whole call takes with a list."""

    machine: str
    size: int
    rows: list[Row]
    gain: float


def measure(size: int, rounds: int) -> Report:
    """Run the trial.

    Raises:
        SystemExit: it failed.
    """
    sandbox = strongest_sandbox(sys.executable)
    problem = split_problem(EVALUATOR.replace("SIZE", str(size)).replace("ROUNDS", str(rounds)))
    with tempfile.TemporaryDirectory() as folder:
        executor = FunctionExecutor(problem, sandbox, Path(folder), "fresh")
        outcome = executor.run(request(artifact(PROGRAM), limits=LIMITS))
        executor.close()
    if outcome.failure is not None:
        raise SystemExit(f"the trial failed: {outcome.failure}\n{outcome.log}")
    line = next(line for line in outcome.log.splitlines() if line.startswith(MARK))
    found = msgspec.json.decode(line.removeprefix(MARK), type=dict[str, list[tuple[float, float]]])
    rows = [
        Row(call=call, there_and_back_ms=[a for a, _ in found[call]], whole_call_ms=[b for _, b in found[call]])
        for call in CALLS
    ]
    gain = statistics.median(rows[1].whole_call_ms) / statistics.median(rows[0].whole_call_ms)
    python = f"Python {platform.python_version()}, numpy {np.__version__}"
    machine = f"{os.cpu_count()} cores, {platform.machine()}, {python}, level {sandbox.level}, {rounds} rounds"
    return Report(machine=machine, size=size, rows=rows, gain=gain)


def show(report: Report) -> None:
    """Print the table."""
    print(f"{report.machine}; {report.size} floats there and back; median [range] in ms")
    for row in report.rows:
        print(f"{row.call:<10}there and back {_spread(row.there_and_back_ms):>24}", end="")
        print(f"   whole call {_spread(row.whole_call_ms):>24}")
    print(f"a list takes {report.gain:.1f} times as long as an array")


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} [{min(values):.2f}, {max(values):.2f}]"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="arrays against lists on the channel")
    parser.add_argument("--smoke", action="store_true", help="a tenth of the size, few rounds")
    parser.add_argument("--json", action="store_true", dest="as_json")
    arguments = parser.parse_args()
    report = measure(100_000, 3) if arguments.smoke else measure(1_000_000, 21)
    if arguments.as_json:
        print(msgspec.json.encode(report).decode())
    else:
        show(report)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
