"""Whole programs in other languages: C, compiled inside the sandbox, and Node, at the strongest level."""

from __future__ import annotations

import functools
import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from consilience.core.artifact import Artifact, ArtifactFile
from consilience.core.outcome import Outcome
from consilience.core.problem import EvaluatorSpec
from consilience.testing.trivial import LIMITS, loaded, request
from consilience.trials.executors.program import ProgramExecutor
from consilience.trials.sandbox.confinement import Confinement
from consilience.trials.sandbox.limits import resource_limits, tree_ceiling
from consilience.trials.sandbox.probe import strongest_sandbox

sandbox = functools.cache(strongest_sandbox)
ROOMY = msgspec.structs.replace(LIMITS, wall_seconds=30.0)  # a cold compiler on a busy machine

needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="no Node")

EVALUATOR = """
import random

def evaluate(program, seed):
    rows = [(random.random(), random.random()) for _ in range(50)]
    run = program.run(stdin="".join(f"{a!r} {b!r}\\n" for a, b in rows))
    predictions = run.json("predictions.json")
    error = max(abs(found - a * b) for found, (a, b) in zip(predictions, rows, strict=True))
    return {"score": float(error < 1e-12), "memory_mb": run.memory_mb}
"""
C = """
#include <stdio.h>

int main(void) {
    double a, b;
    const char *comma = "";
    FILE *out = fopen("predictions.json", "w");
    fputs("[", out);
    for (; scanf("%lf %lf", &a, &b) == 2; comma = ",") fprintf(out, "%s%.17g", comma, a * b);
    fputs("]", out);
    return fclose(out);
}
"""
NODE = """
const fs = require("fs");
const rows = fs.readFileSync(0, "utf8").trim().split("\\n").map((line) => line.split(" ").map(Number));
fs.writeFileSync("predictions.json", JSON.stringify(rows.map(([a, b]) => a * b)));
"""
COMPILE = ("sh", "-c", "cc -O2 -o solve solve.c && ./solve")

Run = Callable[[tuple[str, ...], str, str], Outcome]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    held = sandbox(sys.executable)
    if held.level != "strong":
        pytest.skip(f"this machine enforces {held.level!r}, and the bar is for 'strong'")

    def runner(command: tuple[str, ...], path: str, text: str) -> Outcome:
        spec = EvaluatorSpec(kind="program", entry="evaluator.py", command=command, outputs=("predictions.json",))
        executor = ProgramExecutor(loaded(spec, {"evaluator.py": EVALUATOR}), held, tmp_path / "work")
        try:
            return executor.run(request(Artifact(files=(ArtifactFile(path, text),)), limits=ROOMY))
        finally:
            executor.close()

    yield runner
    assert not list((tmp_path / "work").iterdir())


def failure(outcome: Outcome) -> str:
    assert outcome.failure is not None, outcome
    return f"{outcome.failure.reason}: {outcome.failure.message}"


@needs_cc
def test_a_c_program_is_compiled_and_run_in_strong(run: Run) -> None:
    outcome = run(COMPILE, "solve.c", C)
    assert outcome.metrics["score"] == 1.0, outcome
    assert (outcome.isolation.level, outcome.isolation.domain) == ("strong", "split")


@needs_node
def test_a_node_script_runs_in_strong(run: Run) -> None:
    outcome = run(("node", "solve.js"), "solve.js", NODE)
    assert outcome.metrics["score"] == 1.0, outcome
    assert (outcome.isolation.level, outcome.isolation.domain) == ("strong", "split")
    ours_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # counted for a child until it runs its own
    assert 10 < outcome.metrics["memory_mb"] < max(LIMITS.memory_mb, ours_mb + 1)


@needs_cc
def test_what_the_compiler_says_is_told(run: Run) -> None:
    outcome = run(COMPILE, "solve.c", "int main(void) { return undeclared; }")
    assert failure(outcome).startswith("crash")
    assert "undeclared" in outcome.log


@needs_cc
def test_a_c_program_reaches_no_network_and_no_file_outside(run: Run) -> None:
    escape = (
        "#include <sys/socket.h>\n#include <stdio.h>\n#include <errno.h>\n"
        'int main(void) { if (socket(AF_INET, SOCK_STREAM, 0) >= 0 || fopen(OUTSIDE, "r")) return 0; return 9; }'
    ).replace("OUTSIDE", f'"{Path(__file__).resolve()}"')
    assert "exit code 9" in failure(run(COMPILE, "solve.c", escape))


@needs_node
@pytest.mark.parametrize(
    "hog",
    [
        "const a = []; for (;;) a.push(new Array(1e6).fill(Math.random()))",
        "const a = []; for (;;) a.push(Buffer.alloc(5e7, 1))",
    ],
)
def test_memory_of_a_program_that_reserves_much_is_bounded_by_what_is_resident(run: Run, hog: str) -> None:
    outcome = run(("node", "solve.js"), "solve.js", hog)
    assert failure(outcome).startswith("memory")
    assert outcome.resources.memory_kb < 2 * 1024 * LIMITS.memory_mb


def test_only_programs_that_are_not_python_keep_their_address_space() -> None:
    confinement = Confinement(argv=("/usr/bin/node",), work_dir="/", scratch="/", limits=LIMITS, may_fork=False)
    free = msgspec.structs.replace(confinement, limit_address_space=False)
    assert len(resource_limits(confinement, count_tasks=False)) == len(resource_limits(free, count_tasks=False)) + 1
    assert tree_ceiling(confinement) is None
    ceiling = tree_ceiling(free)
    assert ceiling is not None
    assert ceiling.memory_kb == 1024 * LIMITS.memory_mb
