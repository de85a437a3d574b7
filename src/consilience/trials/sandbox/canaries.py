"""Lets the canary scripts loose inside a sandbox and tells which canaries were reached.

Rules:
    1. A level is what its canaries prove, on this machine, now; never what a binary or a version promises.
    2. A canary without an answer has not held; one that was killed while it used up the machine has.
    3. Everything set here is gone when the function returns.

Data flow: Sandbox -> scripts inside + listeners, files, decoys and a heartbeat outside -> tuple of Canary.
The quick set is the start-up probe; the full set adds the attempts to use up the machine, and tries the others
again where starting processes is allowed, which is another filter.
"""

from __future__ import annotations

import json
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import msgspec
from msgspec import Struct

from consilience.core.problem import Limits
from consilience.trials.sandbox import canary_calls, canary_hogs, canary_reach
from consilience.trials.sandbox.canary_ground import Ground, canary_ground
from consilience.trials.sandbox.confinement import ConfinedProcess, Confinement, Exit, Sandbox

_HERE = Path(__file__).resolve().parent
SCRIPT, REACH, CALLS, HOGS = (str(_HERE / f"canary_{name}.py") for name in ("script", "reach", "calls", "hogs"))
_LIMITS = Limits(wall_seconds=20, cpu_seconds=10, memory_mb=512)
_SCRATCH_MB, _SCRATCH_FILES = 16, 2000  # little, so that filling it is quick
_BEAT_SECONDS = 0.005
_QUIET_SECONDS = 0.1  # twenty beats of the daemon
_MAXIMUM_ANSWER = 65536
_WHERE_IT_MAY_NOT_FORK = ("fork_denied", "exec_denied")
_NEEDS_FORKING = frozenset({"memory_of_four", "fork_bomb"})
_AMOUNTS = {
    "memory_mb": str(_LIMITS.memory_mb),
    "scratch_mb": str(_SCRATCH_MB),
    "scratch_files": str(_SCRATCH_FILES),
}


class Canary(Struct, frozen=True, kw_only=True):
    """One attempt to get out. `detail` says what was reached, or why there is no answer."""

    name: str
    held: bool
    detail: str = ""


class _Answers(Struct, frozen=True):
    """What one process of attempts said, and how it ended."""

    begun: list[str]
    reached: dict[str, str]
    ended: Exit
    error: str


def quick_names() -> tuple[str, ...]:
    """Return the names of the start-up probe's canaries, in order."""
    return (*_names(canary_calls), *_names(canary_reach), "daemon_killed")


def full_names() -> tuple[str, ...]:
    """Return the names of all canaries, in order."""
    return (*_stated_names(), *quick_names(), *_names(canary_hogs))


def _stated_names() -> tuple[str, ...]:
    return tuple(attempt.__name__ for attempt in canary_reach.STATED)


@cache
def _names(module: object) -> tuple[str, ...]:
    attempts: tuple[Callable[[dict[str, str]], str], ...] = vars(module)["ATTEMPTS"]
    return tuple(attempt.__name__ for attempt in attempts)


def run_canaries(sandbox: Sandbox, interpreter: str, *, full: bool = False) -> tuple[Canary, ...]:
    """Run the canaries in this sandbox: the quick set, or all.

    Raises:
        EnvironmentLacksError: the sandbox does not start at all.
    """
    with canary_ground() as ground:
        run = _Run(sandbox, interpreter, ground)
        found = {canary.name: canary for canary in run.reaching(may_fork=False, full=full)}
        if full:
            again = [canary for canary in run.reaching(may_fork=True, full=True) if not canary.held]
            found.update((canary.name, canary) for canary in again if found[canary.name].held)
        daemon = run.daemon()
        hogs = [run.hog(name) for name in _names(canary_hogs)] if full else []
        return (*found.values(), daemon, *hogs)


class _Run:
    """The canaries of one sandbox on one ground."""

    def __init__(self, sandbox: Sandbox, interpreter: str, ground: Ground) -> None:
        self._sandbox = sandbox
        self._interpreter = interpreter
        self._ground = ground

    def reaching(self, *, may_fork: bool, full: bool) -> list[Canary]:
        """Try to reach what lies outside."""
        stated = _stated_names()
        without = [*(_WHERE_IT_MAY_NOT_FORK if may_fork else ()), *(() if full else stated)]
        answers = self._answers((CALLS, REACH), {"without": " ".join(without)}, may_fork=may_fork)
        if self._ground.udp_arrived():
            answers.reached["udp_loopback"] = "a datagram arrived"
        elif "udp_loopback" in answers.reached:
            answers.reached["udp_loopback"] = ""
        names = [name for name in (*stated, *quick_names()[:-1]) if name not in without]
        where = " (where it may start processes)" if may_fork else ""
        return [_judge(name, answers, where) for name in names]

    def hog(self, name: str) -> Canary:
        """Try to use up one thing."""
        answers = self._answers((HOGS,), {"only": name, **_AMOUNTS}, may_fork=name in _NEEDS_FORKING)
        if name in answers.begun and name not in answers.reached and answers.ended.signal == signal.SIGKILL:
            return Canary(name=name, held=True)
        return _judge(name, answers, "")

    def daemon(self) -> Canary:
        """Let a daemon leave its session, kill the confined process, and see whether the heart still beats."""
        beat = self._ground.work / "beat"
        confinement = self._confinement((), {"beat": str(beat)}, may_fork=True)
        with tempfile.TemporaryFile() as err:
            null = subprocess.DEVNULL
            process = self._sandbox.start(confinement, stdin=null, stdout=null, stderr=err.fileno())
            alive = _await_beat(beat, process)
            ended = process.kill()
            err.seek(0)
            error = _explain(ended, err.read(_MAXIMUM_ANSWER))
        if not alive:
            return Canary(name="daemon_killed", held=False, detail=f"no answer: {error}")
        before = beat.stat().st_size
        time.sleep(_QUIET_SECONDS)
        survived = beat.stat().st_size != before
        return Canary(name="daemon_killed", held=not survived, detail="a daemon outlived the kill" if survived else "")

    def _confinement(self, files: tuple[str, ...], changes: dict[str, str], *, may_fork: bool) -> Confinement:
        ground = self._ground
        places = ground.places | changes
        return Confinement(
            argv=(self._interpreter, "-I", "-S", SCRIPT, json.dumps(places), *files),
            work_dir=str(ground.work),
            scratch=str(ground.scratch),
            readable=(SCRIPT, *files),
            writable=(str(ground.work),),
            environment={"CANARY": places["mark"]},
            limits=_LIMITS,
            may_fork=may_fork,
            scratch_mb=_SCRATCH_MB,
            scratch_files=_SCRATCH_FILES,
        )

    def _answers(self, files: tuple[str, ...], changes: dict[str, str], *, may_fork: bool) -> _Answers:
        confinement = self._confinement(files, changes, may_fork=may_fork)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = self._sandbox.start(
                confinement, stdin=subprocess.DEVNULL, stdout=out.fileno(), stderr=err.fileno()
            )
            ended = process.wait(_LIMITS.wall_seconds) or process.kill()
            out.seek(0)
            err.seek(0)
            said = [msgspec.json.decode(line, type=list[str]) for line in out.read(_MAXIMUM_ANSWER).splitlines()]
            error = _explain(ended, err.read(_MAXIMUM_ANSWER))
        reached = {name: what[0] for name, *what in said if what}
        return _Answers([name for name, *what in said if not what], reached, ended, error)


def _judge(name: str, answers: _Answers, where: str) -> Canary:
    if name not in answers.reached:
        return Canary(name=name, held=False, detail=f"no answer: {answers.error}{where}")
    detail = answers.reached[name]
    return Canary(name=name, held=not detail, detail=detail + where if detail else "")


def _explain(ended: Exit, stderr: bytes) -> str:
    text = stderr.decode(errors="replace").strip()
    how = f"signal {ended.signal}" if ended.signal else f"exit code {ended.code}"
    return f"{how}; {text.splitlines()[-1] if text else 'no message'}"


def _await_beat(file: Path, process: ConfinedProcess) -> bool:
    """Wait for the daemon's first beats; False when the process ended, or too much time passed, without any."""
    deadline = time.monotonic() + _LIMITS.wall_seconds
    while time.monotonic() < deadline:
        if file.exists() and file.stat().st_size > 1:
            return True
        if process.wait(_BEAT_SECONDS) is not None:
            return False
    return False
