"""The canaries of a forked candidate: the start-up probe's attempts, made by a child of a warm process.

What a fresh process proves says nothing of a forked one: its last walls are put up by the child itself, and the
process that it must not reach is its own parent.

Rules:
    1. The attempts are those of every level; where they need a process outside, they get the parent too.
    2. An attempt without an answer has not held.
    3. Two attempts are left out: a forked candidate has the executor's variables and its channel, which are given.

Data flow: Zygote -> forked candidate with the attempts as its program -> tuple of Canary.
"""

from __future__ import annotations

import time
from pathlib import Path

from consilience.core.artifact import Artifact, ArtifactFile
from consilience.core.outcome import Failure
from consilience.core.ports import TrialRequest
from consilience.core.problem import Limits
from consilience.trials.executors.candidate_process import CandidateProcess
from consilience.trials.executors.candidate_start import ForkStarter
from consilience.trials.executors.interpreters import Interpreter
from consilience.trials.executors.pipes import Pump
from consilience.trials.executors.zygote import Zygote
from consilience.trials.sandbox import canary_calls, canary_reach
from consilience.trials.sandbox.canaries import Canary, quick_names
from consilience.trials.sandbox.canary_ground import canary_ground

_LIMITS = Limits(wall_seconds=20, cpu_seconds=10, memory_mb=1024)
_GIVEN = frozenset({"inherited_environment", "foreign_descriptors", "daemon_killed"})
_PROGRAM = """
import os
import canary_calls
import canary_reach

def attempt(places, names):
    places = {**places, "decoys": f"{places['decoys']} {os.getppid()}"}
    found = {}
    for one in (*canary_calls.ATTEMPTS, *canary_reach.ATTEMPTS):
        if one.__name__ in names:
            for pid in (places["pid"], str(os.getppid())):
                try:
                    found[one.__name__] = found.get(one.__name__) or one({**places, "pid": pid})
                except OSError:
                    found[one.__name__] = found.get(one.__name__, "")
    return found
"""


def fork_canary_names() -> tuple[str, ...]:
    """Return the names of the canaries that a forked candidate is tried with, in order."""
    return tuple(name for name in quick_names() if name not in _GIVEN)


def run_fork_canaries(zygote: Zygote, interpreter: Interpreter) -> tuple[Canary, ...]:
    """Let the attempts loose in a candidate forked from this warm process.

    Raises:
        EnvironmentLacksError: the canaries cannot be set.
        ZygoteBrokenError: the warm process ended.
    """
    with canary_ground() as ground:
        reached = _reached(zygote, interpreter, ground.places)
        if isinstance(reached, Failure):
            detail = f"no answer: {reached.reason}: {reached.message}"
            return tuple(Canary(name=name, held=False, detail=detail) for name in fork_canary_names())
        if "udp_loopback" in reached:
            reached["udp_loopback"] = "a datagram arrived" if ground.udp_arrived() else ""
    return tuple(
        Canary(name=name, held=reached.get(name) == "", detail=reached.get(name, "no answer"))
        for name in fork_canary_names()
    )


def _reached(zygote: Zygote, interpreter: Interpreter, places: dict[str, str]) -> dict[str, str] | Failure:
    pump = Pump()
    candidate = CandidateProcess(
        ForkStarter(zygote, interpreter), TrialRequest(artifact=_artifact(), seed=0, limits=_LIMITS)
    )
    try:
        if refused := candidate.start(pump):
            return refused
        call = {"name": "attempt", "args": [places, fork_canary_names()], "kwargs": {}}
        reply = candidate.call(call, pump, time.monotonic() + _LIMITS.wall_seconds)
        if isinstance(reply, Failure):
            return reply
        if reply.error is not None:
            return Failure(reason="crash", message=f"{reply.error.type}: {reply.error.message}")
        return dict(reply.value)
    finally:
        candidate.end(pump)


def _artifact() -> Artifact:
    modules = [
        ArtifactFile(f"{module.__name__.rpartition('.')[2]}.py", Path(str(module.__file__)).read_text(encoding="utf-8"))
        for module in (canary_calls, canary_reach)
    ]
    return Artifact(files=(ArtifactFile("attempts.py", _PROGRAM), *modules))
