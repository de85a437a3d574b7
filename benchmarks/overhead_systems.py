"""The systems that are compared, and how one run of each is made: a fresh folder, a null problem, a number of trials.

Rules:
    1. Every run starts from nothing: new problem, journal, key and probe cache.
    2. That the asked number of trials was really run is checked: by our journal, by OpenEvolve's own evaluator.

Data flow: System + trials -> files in a temporary folder -> `overhead_measure.measure` -> Sample.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from consilience.journal.views.trials import TrialRow
from consilience.node.places import STATE_NAME
from consilience.node.reading import StudyReader
from overhead_measure import Measure, measure

PROGRAM = "# EVOLVE-BLOCK-START\nVALUE = 1.0\n\n\ndef answer():\n    return VALUE\n# EVOLVE-BLOCK-END\n"
BURN_MS = 50
# Outside the block, where no operator changes how much is burned.
BURNING = (
    "import time\n\n# EVOLVE-BLOCK-START\nVALUE = 1.0\n# EVOLVE-BLOCK-END\n\n\ndef answer():\n"
    f"    end = time.process_time() + {BURN_MS / 1000}\n    while time.process_time() < end:\n        pass\n"
    "    return VALUE\n"
)
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
LAYOUT = "def evaluate(path):\n    return {'combined_score': 0.5}\n"
# OpenEvolve counts nothing for us: its evaluator leaves one byte for each call.
COUNTED = LAYOUT.replace(
    "    return", "    with open(__file__ + '.calls', 'ab') as file:\n        file.write(b'.')\n    return"
)
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


class System(Struct, frozen=True, kw_only=True):
    """What is run. `kind` is ours: `calls`, `burns`, `parameters`, `layout`; or `theirs`, with a population."""

    name: str
    configuration: str
    kind: str
    sandbox: bool = False
    population: int = 0


class Place(Struct, frozen=True, kw_only=True):
    """Where OpenEvolve is: its Python, the scripted server's port, and how many workers it may have."""

    python: str = ""
    port: int = 0
    workers: int = 1


class Sample(Struct, frozen=True, kw_only=True):
    """One run: the whole tree's use; ours also: the part that trials account for (seconds), and how many failed."""

    whole: Measure
    trials_cpu: float | None = None
    failed: int = 0


OURS = tuple(
    System(name="ours", configuration=f"{words}, {'sandbox strong' if on else 'no sandbox'}", kind=kind, sandbox=on)
    for kind, words in (
        ("calls", "evaluator calls the candidate"),
        ("parameters", "parameters, no candidate process"),
        ("layout", "OpenEvolve layout"),
    )
    for on in (True, False)
)
THEIRS = (
    System(name="OpenEvolve", configuration="population 50, no sandbox", kind="theirs", population=50),
    System(name="OpenEvolve", configuration="default population 1000, no sandbox", kind="theirs", population=1000),
)
BURNER = System(name="ours", configuration="a candidate that burns CPU, sandbox strong", kind="burns", sandbox=True)


def run_once(system: System, trials: int, place: Place) -> Sample:
    """Run a system on a fresh null problem.

    Raises:
        SystemExit: it failed, or did not run the trials that it was asked for.
    """
    with tempfile.TemporaryDirectory() as folder:
        if system.kind == "theirs":
            return _run_theirs(system, trials, Path(folder), place)
        return _run_ours(system, trials, Path(folder))


def _run_ours(system: System, trials: int, folder: Path) -> Sample:
    problem = folder / "problem"
    problem.mkdir()
    _write_problem(system.kind, problem)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CONSILIENCE_")}
    environment |= {f"XDG_{name}_HOME": str(folder / name.lower()) for name in ("DATA", "STATE", "CONFIG", "CACHE")}
    line = [sys.executable, "-m", "consilience", "run", str(problem), "--trials", str(trials), "-q"]
    line += ["--durability", "full"]
    line += ["--minimum-isolation", "strong"] if system.sandbox else ["--unsafe-no-sandbox"]
    whole = measure(line, environment)
    rows = _trials_of(problem)
    level = "strong" if system.sandbox else "none"
    _require(system, trials, sum(row.isolation is not None and row.isolation.level == level for row in rows))
    cpu = sum(row.resources.cpu_ms for row in rows) / 1000
    return Sample(whole=whole, trials_cpu=cpu, failed=sum(row.failure is not None for row in rows))


def _trials_of(problem: Path) -> list[TrialRow]:
    reader = StudyReader.open(problem / STATE_NAME)
    try:
        return list(reader.trials.rows.values())
    finally:
        reader.close()


def _write_problem(kind: str, problem: Path) -> None:
    if kind == "layout":
        (problem / "initial_program.py").write_text(PROGRAM)
        (problem / "evaluator.py").write_text(LAYOUT)
        return
    (problem / "problem.toml").write_text(TOML.format(surface=PARAMETER if kind == "parameters" else FILES))
    (problem / "evaluator.py").write_text(NULL if kind == "parameters" else CALLS)
    if kind != "parameters":
        (problem / "program.py").write_text(BURNING if kind == "burns" else PROGRAM)


def _run_theirs(system: System, trials: int, folder: Path, place: Place) -> Sample:
    config = CONFIG.format(trials=trials, port=place.port, population=system.population, workers=place.workers)
    (folder / "initial_program.py").write_text(PROGRAM)
    (folder / "evaluator.py").write_text(COUNTED)
    (folder / "config.yaml").write_text(config)
    program, evaluator, settings, out = (
        str(folder / name) for name in ("initial_program.py", "evaluator.py", "config.yaml", "out")
    )
    start = "import sys; from openevolve.cli import main; sys.exit(main())"
    line = [place.python, "-c", start, program, evaluator, "--config", settings, "--output", out]
    whole = measure(line, {**os.environ, "OPENAI_API_KEY": "none"})
    _require(system, trials, (folder / "evaluator.py.calls").stat().st_size - 1)  # the first is the initial program
    return Sample(whole=whole)


def _require(system: System, asked: int, found: int) -> None:
    if found != asked:
        raise SystemExit(f"{system.name}, {system.configuration}: {found} trials where {asked} were asked for")


@contextmanager
def model_server() -> Iterator[int]:
    """Serve the scripted model on loopback and yield its port; it is stopped by its process id."""
    script = Path(__file__).with_name("model_server.py")
    process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
