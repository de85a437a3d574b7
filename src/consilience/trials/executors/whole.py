"""Runs a whole program in the sandbox until it ends, answers or reaches a limit: `openevolve` and `command`.

Rules:
    1. What decided comes first: time, flood, then how the process ended.
    2. The tree is dead before anything is judged.

Data flow: Confinement -> Child -> `run_whole` -> Run.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from msgspec import Struct

from consilience.core.outcome import Failure, Resources
from consilience.trials.executors.child import Child, start_child
from consilience.trials.executors.classify import ended_badly
from consilience.trials.executors.pipes import Pump, Source
from consilience.trials.sandbox.confinement import Confinement, Exit, Sandbox


class Run(Struct, frozen=True, kw_only=True):
    """How a whole program went. `failure` is set where no answer can count."""

    child: Child
    exit: Exit
    failure: Failure | None
    resources: Resources


def run_whole(
    sandbox: Sandbox,
    confinement: Confinement,
    answers: Callable[[int], Source],
    *,
    first_line: bytes,
    finished: Callable[[Child], bool],
) -> Run:
    """Start the program, send it one line, and carry its output until it is finished.

    Args:
        sandbox: how it is held.
        confinement: what it may see and use.
        answers: makes the source for its standard output.
        first_line: what its standard input holds; nothing closes it at once.
        finished: tells that it has said all that is needed; it is ended then.

    Raises:
        EnvironmentLacksError: the machine could not start it.
    """
    pump, started, limits = Pump(), time.monotonic(), confinement.limits
    child = start_child(sandbox, confinement, answers)
    try:
        child.join(pump)
        if first_line:
            child.inbox.put(first_line)
        else:
            child.inbox.close()
        in_time = pump.run(
            lambda: child.ended or finished(child) or child.flooded(limits.output_kb),
            started + limits.wall_seconds,
        )
    finally:
        exit_ = child.end(pump)
    wall_ms = round(1000 * (time.monotonic() - started))
    resources = Resources(wall_ms=wall_ms, cpu_ms=exit_.cpu_ms, memory_kb=exit_.memory_kb)
    return Run(child=child, exit=exit_, failure=_failure(child, confinement, in_time=in_time), resources=resources)


def _failure(child: Child, confinement: Confinement, *, in_time: bool) -> Failure | None:
    limits = confinement.limits
    if not in_time:
        return Failure(reason="timeout", message=f"it did not finish within the trial's {limits.wall_seconds:g} s")
    if child.flooded(limits.output_kb):
        return Failure(reason="invalid_output", message=Child.flood_message(limits.output_kb))
    return None


def ended(run: Run, confinement: Confinement, log: str) -> Failure:
    """Say why a program ended without an answer."""
    return run.failure or ended_badly(run.exit, confinement.limits, log)
