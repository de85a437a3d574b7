"""Sets canaries outside a sandbox, lets the canary script loose inside it, and tells which canaries were reached.

Rules:
    1. A level is what its canaries prove, on this machine, now; never what a binary or a version promises.
    2. A canary without an answer has not held.
    3. Everything set here is gone when the function returns.

Data flow: Sandbox -> canary script inside + listeners, files and a heartbeat outside -> tuple of Canary.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

from msgspec import Struct

from consilience.core.problem import Limits
from consilience.trials.sandbox.canary_script import ATTEMPTS
from consilience.trials.sandbox.confinement import ConfinedProcess, Confinement, Exit, Sandbox

SCRIPT = str(Path(__file__).with_name("canary_script.py").resolve())
_LIMITS = Limits(wall_seconds=20, cpu_seconds=10, memory_mb=512)
_BEAT_SECONDS = 0.005
_QUIET_SECONDS = 0.1  # twenty beats of the daemon
_MAXIMUM_ANSWER = 65536


class Canary(Struct, frozen=True, kw_only=True):
    """One attempt to get out. `detail` says what was reached, or why there is no answer."""

    name: str
    held: bool
    detail: str = ""


class Ground(Struct, frozen=True):
    """The folders of one canary run: `outside` is hidden from the sandbox, the others are given to it."""

    outside: Path
    work: Path
    scratch: Path


def run_canaries(sandbox: Sandbox, interpreter: str) -> tuple[Canary, ...]:
    """Run every canary in this sandbox.

    Raises:
        EnvironmentLacksError: the sandbox does not start at all.
    """
    with ExitStack() as stack:
        ground = stack.enter_context(_ground())
        listeners = stack.enter_context(_Listeners(ground.outside))
        places = {**listeners.places(), **_plant(ground)}
        reached, error = _answers(sandbox, interpreter, ground, places)
        if listeners.udp_arrived():
            reached["udp_loopback"] = "a datagram arrived"
        elif "udp_loopback" in reached:
            reached["udp_loopback"] = ""
        attempts = [_judge(attempt.__name__, reached, error) for attempt in ATTEMPTS]
        return (*attempts, _daemon_canary(sandbox, interpreter, ground))


def _judge(name: str, reached: dict[str, str], error: str) -> Canary:
    if name not in reached:
        return Canary(name=name, held=False, detail=f"no answer: {error}")
    return Canary(name=name, held=not reached[name], detail=reached[name])


@contextmanager
def _ground() -> Iterator[Ground]:
    with tempfile.TemporaryDirectory(prefix="canary-") as folder:
        root = Path(folder)
        root.chmod(0o755)  # a sandbox without namespaces may run as another user
        ground = Ground(root / "outside", root / "work", root / "scratch")
        for each in (ground.outside, ground.work, ground.scratch):
            each.mkdir()
            each.chmod(0o777)
        yield ground


def _plant(ground: Ground) -> dict[str, str]:
    file = ground.outside / "secret"
    file.write_text("the canary")
    file.chmod(0o666)
    return {"file": str(file), "pid": str(os.getpid()), "mark": secrets.token_hex(8)}


class _Listeners:
    """Sockets of every kind that a confined process must not reach."""

    def __init__(self, folder: Path) -> None:
        self._path = str(folder / "socket")
        self._abstract = f"canary-{secrets.token_hex(8)}"
        self._tcp = socket.create_server(("127.0.0.1", 0))
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", 0))
        self._udp.setblocking(False)
        self._local = [_listen(self._path), _listen("\0" + self._abstract)]
        Path(self._path).chmod(0o777)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self._tcp, self._udp, *self._local):
            each.close()

    def places(self) -> dict[str, str]:
        """Return where they listen."""
        ports = {"tcp": str(self._tcp.getsockname()[1]), "udp": str(self._udp.getsockname()[1])}
        return {**ports, "abstract": self._abstract, "socket": self._path}

    def udp_arrived(self) -> bool:
        """Tell whether a datagram came in: sending one succeeds even where nobody hears it."""
        try:
            return bool(self._udp.recv(64))
        except BlockingIOError:
            return False


def _listen(address: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen()
    return listener


def _confinement(interpreter: str, ground: Ground, places: dict[str, str], *, may_fork: bool) -> Confinement:
    return Confinement(
        argv=(interpreter, "-I", "-S", SCRIPT, json.dumps(places)),
        work_dir=str(ground.work),
        scratch=str(ground.scratch),
        readable=(SCRIPT,),
        writable=(str(ground.work),),
        environment={"CANARY": places["mark"]} if "mark" in places else {},
        limits=_LIMITS,
        may_fork=may_fork,
    )


def _answers(sandbox: Sandbox, interpreter: str, ground: Ground, places: dict[str, str]) -> tuple[dict[str, str], str]:
    """Return what each attempt reached, and what went wrong if answers are missing."""
    confinement = _confinement(interpreter, ground, places, may_fork=False)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = sandbox.start(confinement, stdin=subprocess.DEVNULL, stdout=out.fileno(), stderr=err.fileno())
        ended = process.wait(_LIMITS.wall_seconds) or process.kill()
        out.seek(0)
        err.seek(0)
        lines = out.read(_MAXIMUM_ANSWER).decode(errors="replace").splitlines()
        return dict(json.loads(line) for line in lines), _explain(ended, err.read(_MAXIMUM_ANSWER))


def _explain(ended: Exit, stderr: bytes) -> str:
    text = stderr.decode(errors="replace").strip()
    how = f"signal {ended.signal}" if ended.signal else f"exit code {ended.code}"
    return f"{how}; {text.splitlines()[-1] if text else 'no message'}"


def _daemon_canary(sandbox: Sandbox, interpreter: str, ground: Ground) -> Canary:
    """Let a daemon leave its session, kill the confined process, and see whether the heart still beats."""
    beat = ground.work / "beat"
    confinement = _confinement(interpreter, ground, {"beat": str(beat)}, may_fork=True)
    with tempfile.TemporaryFile() as err:
        process = sandbox.start(confinement, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err.fileno())
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


def _await_beat(file: Path, process: ConfinedProcess) -> bool:
    """Wait for the daemon's first beats; False when the process ended, or too much time passed, without any."""
    deadline = time.monotonic() + _LIMITS.wall_seconds
    while time.monotonic() < deadline:
        if file.exists() and file.stat().st_size > 1:
            return True
        if process.wait(_BEAT_SECONDS) is not None:
            return False
    return False
