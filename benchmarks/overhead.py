"""Engine overhead: CPU of the whole process tree for each trial of a null evaluator, ours beside OpenEvolve's.

Every contender runs the same number of trials of an evaluator that returns at once. CPU is what the kernel
accounts to the started process and every descendant that was reaped (wait4), sandboxed children included.
A short run of the same contender is subtracted, so that start-up is a column of its own. Contenders are
interleaved; figures are medians with the range over the repeats. OpenEvolve talks to a scripted server on
loopback whose CPU is not counted; it has no sandbox.

    python benchmarks/overhead.py                                        ours
    python benchmarks/overhead.py --openevolve-python VENV/bin/python    both
    python benchmarks/overhead.py --smoke                                ours, a few trials
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

SHORT = 5  # trials of the run that is subtracted: the baseline
PROGRAM = "# EVOLVE-BLOCK-START\nVALUE = 1.0\n\n\ndef answer():\n    return VALUE\n# EVOLVE-BLOCK-END\n"
TOML = """
[objective]
metric = "score"
direction = "maximize"
{surface}
[policy]
deterministic = true
"""
FILES = '\n[artifact]\nfiles = ["program.py"]\n'
PARAMETER = '\n[parameters.value]\ntype = "float"\nlow = 0.0\nhigh = 10.0\ndefault = 1.0\n'
CALLS = "def evaluate(candidate, seed):\n    candidate.call('answer')\n    return {'score': 0.5}\n"
NULL = "def evaluate(candidate, seed):\n    return {'score': 0.5}\n"
THEIRS = "def evaluate(path):\n    return {'combined_score': 0.5}\n"
CONFIG = """
max_iterations: {trials}
checkpoint_interval: 1000000
log_level: ERROR
random_seed: 42
diff_based_evolution: true
llm:
  api_base: http://127.0.0.1:{port}/v1
  api_key: none
  primary_model: scripted
prompt:
  num_top_programs: 2
database:
  population_size: {population}
evaluator:
  cascade_evaluation: false
  parallel_evaluations: {workers}
"""


class Contender(Struct, frozen=True, kw_only=True):
    """One row: a name, what is run, and whether ours has its sandbox on. `population` is OpenEvolve's."""

    name: str
    kind: str
    sandbox: bool = False
    population: int = 0


class Measure(Struct, frozen=True, kw_only=True):
    """One run: wall and whole-tree CPU in seconds."""

    wall: float
    cpu: float


OURS = tuple(
    Contender(name=f"ours: {words}, {'sandbox' if sandbox else 'no sandbox'}", kind=kind, sandbox=sandbox)
    for kind, words in (
        ("function", "evaluator calls the candidate"),
        ("parameters", "parameters only"),
        ("openevolve", "OpenEvolve layout"),
    )
    for sandbox in (True, False)
)
OPENEVOLVE = (
    Contender(name="OpenEvolve, population 50", kind="theirs", population=50),
    Contender(name="OpenEvolve, default population 1000", kind="theirs", population=1000),
)


def measure(command: list[str], environment: dict[str, str]) -> Measure:
    """Run a command to its end and account for its whole tree.

    Raises:
        SystemExit: it failed.
    """
    start = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{errors.decode(errors='replace')[-2000:]}")
    return Measure(wall=time.perf_counter() - start, cpu=usage.ru_utime + usage.ru_stime)


def run_ours(contender: Contender, trials: int, folder: Path) -> Measure:
    """Run our engine on a fresh problem with a fresh home."""
    problem = folder / "problem"
    problem.mkdir()
    if contender.kind == "openevolve":
        (problem / "initial_program.py").write_text(PROGRAM)
        (problem / "evaluator.py").write_text(THEIRS)
    else:
        surface = FILES if contender.kind == "function" else PARAMETER
        (problem / "problem.toml").write_text(TOML.format(surface=surface))
        (problem / "evaluator.py").write_text(CALLS if contender.kind == "function" else NULL)
        if contender.kind == "function":
            (problem / "program.py").write_text(PROGRAM)
    homes = {f"XDG_{name}_HOME": str(folder / name.lower()) for name in ("DATA", "STATE", "CONFIG", "CACHE")}
    command = [sys.executable, "-m", "consilience", "run", str(problem), "--trials", str(trials), "-q"]
    return measure(command + ([] if contender.sandbox else ["--unsafe-no-sandbox"]), {**os.environ, **homes})


def run_theirs(contender: Contender, trials: int, folder: Path, python: str, port: int) -> Measure:
    """Run OpenEvolve on the same null problem."""
    (folder / "initial_program.py").write_text(PROGRAM)
    (folder / "evaluator.py").write_text(THEIRS)
    config = CONFIG.format(trials=trials, port=port, population=contender.population, workers=1)
    (folder / "config.yaml").write_text(config)
    arguments = ["initial_program.py", "evaluator.py", "--config", "config.yaml", "--output", "out"]
    paths = [str(folder / argument) if "." in argument or argument == "out" else argument for argument in arguments]
    command = [python, "-c", "import sys; from openevolve.cli import main; sys.exit(main())", *paths]
    return measure(command, {**os.environ, "OPENAI_API_KEY": "none"})


@contextmanager
def model_server() -> Iterator[int]:
    """Serve the scripted model on loopback; stopped by its process id."""
    script = Path(__file__).with_name("model_server.py")
    process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


class Row(Struct, frozen=True, kw_only=True):
    """What a contender needed: per trial, and to start."""

    name: str
    cpu_ms: list[float]
    rates: list[float]
    start_cpu_ms: float


def compare(contenders: tuple[Contender, ...], trials: int, repeats: int, python: str) -> list[Row]:
    """Run every contender `repeats` times, interleaved."""
    found: dict[str, list[tuple[Measure, Measure]]] = {contender.name: [] for contender in contenders}
    with model_server() as port:
        for _ in range(repeats):
            for contender in contenders:
                pair = tuple(_run(contender, count, python, port) for count in (SHORT, trials))
                found[contender.name].append((pair[0], pair[1]))
    return [_row(name, pairs, trials - SHORT) for name, pairs in found.items()]


def _run(contender: Contender, trials: int, python: str, port: int) -> Measure:
    with tempfile.TemporaryDirectory() as folder:
        if contender.kind == "theirs":
            return run_theirs(contender, trials, Path(folder), python, port)
        return run_ours(contender, trials, Path(folder))


def _row(name: str, pairs: list[tuple[Measure, Measure]], trials: int) -> Row:
    return Row(
        name=name,
        cpu_ms=[1000 * (full.cpu - short.cpu) / trials for short, full in pairs],
        rates=[trials / max(full.wall - short.wall, 1e-9) for short, full in pairs],
        start_cpu_ms=statistics.median(1000 * short.cpu for short, _ in pairs),
    )


def show(rows: list[Row], trials: int, repeats: int) -> None:
    """Print the table."""
    print(
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, {trials} trials, "
        f"{repeats} interleaved repeats; median [range]"
    )
    print(f"{'contender':<52} {'CPU ms / trial':>24} {'trials / s':>24} {'start CPU ms':>13}")
    for row in rows:
        print(f"{row.name:<52} {_spread(row.cpu_ms):>24} {_spread(row.rates):>24} {row.start_cpu_ms:>13.0f}")


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.1f} [{min(values):.1f}, {max(values):.1f}]"


def main() -> int:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(description="engine overhead per trial")
    parser.add_argument("--openevolve-python", default="", help="the Python of a venv that has openevolve")
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="ours only, few trials")
    parser.add_argument("--json", action="store_true", dest="as_json")
    arguments = parser.parse_args()
    trials, repeats = (25, 1) if arguments.smoke else (arguments.trials, arguments.repeats)
    theirs = OPENEVOLVE if arguments.openevolve_python and not arguments.smoke else ()
    rows = compare(OURS + theirs, trials, repeats, arguments.openevolve_python)
    if arguments.as_json:
        print(json.dumps([{field: getattr(row, field) for field in row.__struct_fields__} for row in rows]))
    else:
        show(rows, trials, repeats)
        if not theirs:
            print("OpenEvolve was not run: give --openevolve-python, the Python of a venv that has it")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
