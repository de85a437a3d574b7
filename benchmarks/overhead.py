"""Engine overhead: CPU of the whole process tree for each trial of a null evaluator, ours beside OpenEvolve's.

Every system runs the same number of trials of an evaluator that returns at once. Rules:
    1. CPU is what the kernel accounts to all descendants, sandboxed ones included; a candidate that burns a known
       amount proves that it is. The scripted model server that OpenEvolve talks to is not counted.
    2. Start-up is apart: the cost of a trial is the slope between a short run and a long one, the start what is left.
       The short run is long enough for imports on first use and for warm workers.
    3. Systems are interleaved; figures are medians with the range over the repeats.

    python benchmarks/overhead.py                                        ours
    python benchmarks/overhead.py --openevolve-python VENV/bin/python    both, one worker each
    python benchmarks/overhead.py --install-openevolve FOLDER            the same, after making that venv
    python benchmarks/overhead.py --smoke                                ours, a few trials, under 20 s

Data flow: options -> `overhead_systems.run_once`, interleaved -> Row -> table or JSON.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
from contextlib import nullcontext
from importlib.metadata import version
from itertools import starmap
from pathlib import Path

from msgspec import Struct
from msgspec.json import encode

from consilience.trials.sandbox.tools import find_tools
from overhead_systems import BURN_MS, BURNER, OURS, THEIRS, Place, Sample, System, model_server, run_once

SHORT, SMOKE_SHORT, SMOKE = 20, 5, 20  # trials
COUNTED_SHARE = 0.5  # of what a candidate burns: what escapes the account would be all of it, and noise is a few ms
PACKAGES = ("consilience", "coincurve", "libcst", "msgspec", "numpy")
_ASK = (
    "import platform; from importlib.metadata import version as v;"
    "print('OpenEvolve', v('openevolve'), 'on Python', platform.python_version() + ', openai', v('openai'))"
)

Pair = tuple[Sample, Sample]


class Row(Struct, frozen=True, kw_only=True):
    """What a system needs for each trial, and to start; one entry for each repeat.

    Attributes:
        cpu_ms: whole tree, without start-up.
        in_trials_ms: the part in candidate, evaluator and sandbox, as the outcomes account for it (ours only).
        start_ms: CPU of a run without trials, by extrapolation.
        rates: trials per second of wall time, without start-up; none where so few trials vanish in its noise.
        failed: trials of the long run that failed, as candidates may that were changed at random.
        left_behind: processes that outlived the command.
    """

    system: str
    configuration: str
    trials: int
    cpu_ms: list[float]
    in_trials_ms: list[float]
    start_ms: list[float]
    rates: list[float]
    failed: list[int]
    left_behind: int


class Report(Struct, frozen=True, kw_only=True):
    """Everything that is printed."""

    machine: str
    rows: list[Row]
    burned_ms: float


def compare(systems: tuple[System, ...], counts: tuple[int, int], repeats: int, place: Place) -> list[Row]:
    """Run every system `repeats` times, interleaved, each time short and long."""
    found: dict[System, list[Pair]] = {system: [] for system in systems}
    for _ in range(repeats):
        for system in systems:
            found[system].append((run_once(system, counts[0], place), run_once(system, counts[1], place)))
    return [_row(system, pairs, counts) for system, pairs in found.items()]


def _row(system: System, pairs: list[Pair], counts: tuple[int, int]) -> Row:
    short, more = counts[0], counts[1] - counts[0]
    slopes = [1000 * (full.whole.cpu - start.whole.cpu) / more for start, full in pairs]
    return Row(
        system=system.name,
        configuration=system.configuration,
        trials=counts[1],
        cpu_ms=slopes,
        in_trials_ms=[slope for slope in starmap(lambda a, b: _in_trials(a, b, more), pairs) if slope is not None],
        start_ms=[1000 * start.whole.cpu - short * slope for (start, _), slope in zip(pairs, slopes, strict=True)],
        rates=[
            more / seconds for seconds in (full.whole.wall - start.whole.wall for start, full in pairs) if seconds > 0
        ],
        failed=[full.failed for _, full in pairs],
        left_behind=max(sample.whole.left_behind for pair in pairs for sample in pair),
    )


def _in_trials(start: Sample, full: Sample, more: int) -> float | None:
    if start.trials_cpu is None or full.trials_cpu is None:
        return None
    return 1000 * (full.trials_cpu - start.trials_cpu) / more


def check_account(rows: list[Row], counts: tuple[int, int]) -> float:
    """Return how much more CPU (ms) a trial shows when its sandboxed candidate burns `BURN_MS` of it.

    Raises:
        SystemExit: less than half of it: the sandbox's children escape the account.
    """
    (burned,) = compare((BURNER,), counts, 1, Place())
    null = next(row for row in rows if row.configuration == OURS[0].configuration)
    pairs = ((burned.cpu_ms, null.cpu_ms), (burned.in_trials_ms, null.in_trials_ms))
    whole, inside = (statistics.median(more) - statistics.median(less) for more, less in pairs)
    if min(whole, inside) < COUNTED_SHARE * BURN_MS:
        raise SystemExit(f"burned {BURN_MS} ms, counted {whole:.1f} (trials say {inside:.1f}): CPU escapes the account")
    return whole


def machine_line(place: Place, repeats: int) -> str:
    """Describe the machine, the versions and the form of the run."""
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    system = f"Linux {platform.release().split('-')[0]}, Python {platform.python_version()}"
    lines = [
        f"{os.cpu_count()} cores, {platform.machine()}, {system}",
        f"{packages}, {', '.join(find_tools().versions) or 'no bubblewrap'}",
    ]
    if place.python:
        asked = subprocess.run([place.python, "-c", _ASK], capture_output=True, text=True, check=True)
        lines.append(f"{asked.stdout.strip()}, {place.workers} worker(s)")
    return "\n".join([*lines, f"ours: 1 worker, durability full; {repeats} interleaved repeats; median [range]"])


def show(report: Report) -> None:
    """Print the table."""
    print(report.machine)
    print(f"{'system':<11}{'configuration':<52}{'trials':>7}{'CPU ms/trial':>20}{'in trials':>11}{'engine':>8}", end="")
    print(f"{'start CPU ms':>14}{'trials/s':>25}{'failed':>8}")
    for row in report.rows:
        print(f"{row.system:<11}{row.configuration:<52}{row.trials:>7}{_spread(row.cpu_ms):>20}{_parts(row)}", end="")
        failed = "-" if row.system != "ours" else f"{statistics.median(row.failed):.0f}"
        print(f"{statistics.median(row.start_ms):>14.0f}{_spread(row.rates):>25}{failed:>8}")
    print(f"account: a sandboxed candidate that burns {BURN_MS} ms shows as {report.burned_ms:.1f} ms for each trial")
    left = [row.configuration for row in report.rows if row.left_behind]
    if left:
        print(f"processes outlived (and are counted in): {'; '.join(left)}")


def _parts(row: Row) -> str:
    if not row.in_trials_ms:
        return f"{'-':>11}{'-':>8}"
    inside = statistics.median(row.in_trials_ms)
    return f"{inside:>11.1f}{statistics.median(row.cpu_ms) - inside:>8.1f}"


def _spread(values: list[float]) -> str:
    if not values:
        return "-"
    return f"{statistics.median(values):.1f} [{min(values):.1f}, {max(values):.1f}]"


def find_openevolve(arguments: argparse.Namespace) -> str:
    """Return the Python that has OpenEvolve, made if that was asked for, or "" and say why there is none."""
    python: str = arguments.openevolve_python
    if arguments.install_openevolve:
        python = str(Path(arguments.install_openevolve) / "bin" / "python")
        subprocess.run([sys.executable, "-m", "venv", arguments.install_openevolve], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "openevolve"], check=True)
    if arguments.smoke or not python:
        print("OpenEvolve is not run: it takes --openevolve-python or --install-openevolve", file=sys.stderr)
        return ""
    if subprocess.run([python, "-c", "import openevolve"], capture_output=True, check=False).returncode:
        print(f"OpenEvolve is not run: {python} has no openevolve", file=sys.stderr)
        return ""
    return python


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="engine overhead per trial")
    parser.add_argument("--openevolve-python", default="", help="the Python of a venv that has openevolve")
    parser.add_argument("--install-openevolve", default="", metavar="FOLDER", help="make that venv here first")
    parser.add_argument("--openevolve-workers", type=int, default=1, choices=(1, 2), help="its parallel evaluations")
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="ours only, sandboxed, few trials")
    parser.add_argument("--json", action="store_true", dest="as_json")
    return parser


def main() -> int:
    """Run the comparison and print it."""
    arguments = _options().parse_args()
    if arguments.trials <= SHORT:
        raise SystemExit(f"--trials has to be over {SHORT}: a run of {SHORT} is subtracted")
    python = find_openevolve(arguments)
    counts = (SMOKE_SHORT, SMOKE) if arguments.smoke else (SHORT, arguments.trials)
    repeats = 1 if arguments.smoke else arguments.repeats
    ours = tuple(system for system in OURS if system.sandbox or not arguments.smoke)
    with model_server() if python else nullcontext(0) as port:
        place = Place(python=python, port=port, workers=arguments.openevolve_workers)
        rows = compare(ours + (THEIRS if python else ()), counts, repeats, place)
    burned = check_account(rows, (SMOKE_SHORT, SMOKE))
    report = Report(machine=machine_line(place, repeats), rows=rows, burned_ms=burned)
    if arguments.as_json:
        print(encode(report).decode())
    else:
        show(report)
        if arguments.smoke:
            print("smoke: shows that everything runs; so few trials measure little")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
