"""Lets the canaries loose inside CPython-WASI: those of every level, and those of this one.

Rules:
    1. As at the other levels: a canary without an answer has not held, and what is set here is gone afterwards.
    2. What the level does not have (processes, sockets, ctypes) is held, and the detail says so.
    3. Only what macOS and Windows have too is used here.

Data flow: WasmSandbox -> canary scripts inside + file, link and listeners outside -> tuple of Canary.
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
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from msgspec import Struct

from consilience.core.problem import Limits
from consilience.trials.sandbox import canary_calls, canary_reach
from consilience.trials.sandbox.canaries import Canary
from consilience.trials.sandbox.confinement import Confinement, Sandbox
from consilience.trials.sandbox.wasm_canary_script import OWN_ATTEMPTS

SCRIPT = str(Path(__file__).with_name("wasm_canary_script.py").resolve())
_SHARED = (canary_calls, canary_reach)  # the scripts of every level, each with its ATTEMPTS
_LIMITS = Limits(wall_seconds=60, cpu_seconds=30, memory_mb=256)
_MAXIMUM_ANSWER = 65536
_SPIN = "while True: pass"
_SPIN_SECONDS = 0.3
_GONE_SECONDS = 2.0


class _Answers(Struct, frozen=True):
    """What each attempt reached and why not, and the last words of the guest."""

    reached: dict[str, tuple[str, str]]
    error: str


def run_wasm_canaries(sandbox: Sandbox, interpreter: str) -> tuple[Canary, ...]:
    """Run every canary at this level.

    Raises:
        EnvironmentLacksError: the guest does not start at all.
    """
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="canary-"))).resolve()
        places, udp = stack.enter_context(_outside(root))
        answers = _run(sandbox, _confinement(interpreter, root, _script(places), places["mark"]))
        with suppress(BlockingIOError):
            if udp.recv(64):
                answers.reached["udp_loopback"] = ("a datagram arrived", "")
        attempts = (*(attempt for script in _SHARED for attempt in script.ATTEMPTS), *OWN_ATTEMPTS)
        names = dict.fromkeys(attempt.__name__ for attempt in attempts)
        killed = _killed(sandbox, _confinement(interpreter, root, ("-c", _SPIN), places["mark"]))
        return (*(_judge(name, answers) for name in names), killed)


def _judge(name: str, answers: _Answers) -> Canary:
    if name not in answers.reached:
        return Canary(name=name, held=False, detail=f"no answer: {answers.error}")
    reached, detail = answers.reached[name]
    return Canary(name=name, held=not reached, detail=reached or detail)


@contextmanager
def _outside(root: Path) -> Iterator[tuple[dict[str, str], socket.socket]]:
    """Set what must not be reached: a file, a link to it in the guest's own folder, and listeners."""
    outside, work = root / "outside", root / "work"
    outside.mkdir()
    work.mkdir(mode=0o755)
    secret = outside / "secret"
    secret.write_text("the canary")
    with suppress(OSError):  # Windows lets only some users make links
        (work / "link").symlink_to(secret)
    tcp, udp = socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with tcp, udp:
        udp.bind(("127.0.0.1", 0))
        udp.setblocking(False)
        own = str(os.getpid())
        places = {"file": str(secret), "work": str(work), "pid": own, "decoys": own, "mark": secrets.token_hex(8)}
        ports = {"tcp": str(tcp.getsockname()[1]), "udp": str(udp.getsockname()[1])}
        yield {**places, **ports, "abstract": "canary", "socket": str(outside / "socket")}, udp


def _script(places: dict[str, str]) -> tuple[str, ...]:
    texts = {
        script.__name__.rpartition(".")[2]: Path(str(script.__file__)).read_text(encoding="utf-8") for script in _SHARED
    }
    return SCRIPT, json.dumps({"places": places, "scripts": texts})


def _confinement(interpreter: str, root: Path, code: tuple[str, ...], mark: str) -> Confinement:
    return Confinement(
        argv=(interpreter, "-S", *code),
        work_dir=str(root / "work"),
        scratch=str(root / "work"),
        environment={"CANARY": mark},
        limits=_LIMITS,
    )


def _run(sandbox: Sandbox, confinement: Confinement) -> _Answers:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = sandbox.start(confinement, stdin=subprocess.DEVNULL, stdout=out.fileno(), stderr=err.fileno())
        ended = process.wait(_LIMITS.wall_seconds) or process.kill()
        out.seek(0)
        err.seek(0)
        lines = out.read(_MAXIMUM_ANSWER).decode(errors="replace").splitlines()
        last = err.read(_MAXIMUM_ANSWER).decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
    how = f"signal {ended.signal}" if ended.signal else f"exit code {ended.code}"
    reached = {name: (found, detail) for name, found, detail in map(json.loads, lines)}
    return _Answers(reached, f"{how}; {last[0]}")


def _killed(sandbox: Sandbox, confinement: Confinement) -> Canary:
    """Kill a guest that spins, and see that it is gone."""
    process = sandbox.start(confinement, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    early = process.wait(_SPIN_SECONDS)
    began = time.monotonic()
    process.kill()
    gone = time.monotonic() - began < _GONE_SECONDS
    detail = f"it ended by itself: {early}" if early else "" if gone else "it outlived the kill"
    return Canary(name="spin_killed", held=early is None and gone, detail=detail)
