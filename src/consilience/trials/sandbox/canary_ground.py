"""What canaries are set on: folders, sockets of every kind, decoy processes. Gone when the context ends.

Rules:
    1. Everything is reachable for an ordinary process of our user, or "held" would mean nothing.
    2. As root there is a decoy of the spare user too, for a confined process may have become that user.

Data flow: `canary_ground` -> Ground -> JSON for the script inside.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from msgspec import Struct

from consilience.core.errors import EnvironmentLacksError
from consilience.trials.sandbox.root import SPARE_USER

_SLEEPER = ("/bin/cat",)  # ends with us, however we end: its input does
_SHARED = ("/tmp", "/dev/shm", "/run")  # noqa: S108 - where an attempt that is killed may have left a folder


class Ground(Struct, frozen=True):
    """The folders of one canary run: `outside` is hidden from the sandbox, the others are given to it."""

    outside: Path
    work: Path
    scratch: Path
    places: dict[str, str]
    udp: socket.socket

    def udp_arrived(self) -> bool:
        """Tell whether a datagram came in: sending one succeeds even where nobody hears it."""
        arrived = False
        try:
            while self.udp.recv(64):
                arrived = True
        except BlockingIOError:
            return arrived
        return arrived


@contextmanager
def canary_ground() -> Iterator[Ground]:
    """Set everything up, and take all of it down again."""
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="canary-")))
        root.chmod(0o755)  # a sandbox without namespaces may run as another user
        outside, work, scratch = (root / name for name in ("outside", "work", "scratch"))
        for each in (outside, work, scratch):
            each.mkdir()
            each.chmod(0o777)
        mark = secrets.token_hex(8)
        udp = _udp(stack)
        places = _plant(outside) | _listeners(stack, outside) | {"udp": str(udp.getsockname()[1])}
        places |= {"mark": mark, "decoys": _decoys(stack), "work": str(work), "scratch": str(scratch)}
        stack.callback(_sweep, mark)
        yield Ground(outside, work, scratch, places, udp)


def _plant(outside: Path) -> dict[str, str]:
    file = outside / "secret"
    file.write_text("the canary")
    file.chmod(0o666)
    return {"file": str(file), "pid": str(os.getpid())}


def _udp(stack: ExitStack) -> socket.socket:
    udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    udp.bind(("127.0.0.1", 0))
    udp.setblocking(False)
    return udp


def _listeners(stack: ExitStack, outside: Path) -> dict[str, str]:
    path, abstract = str(outside / "socket"), f"canary-{secrets.token_hex(8)}"
    tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    for address in (path, "\0" + abstract):
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(address)
        listener.listen()
    Path(path).chmod(0o777)
    return {"tcp": str(tcp.getsockname()[1]), "abstract": abstract, "socket": path}


def _decoys(stack: ExitStack) -> str:
    users = [None, SPARE_USER] if os.getuid() == 0 else [None]
    return " ".join(str(_decoy(stack, user)) for user in users)


def _decoy(stack: ExitStack, user: int | None) -> int:
    try:
        process = subprocess.Popen(  # noqa: S603 - a fixed command of the system
            _SLEEPER,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
            start_new_session=True,
            env={},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except OSError as error:
        hint = "Install coreutils: the canaries need a process to aim at."
        raise EnvironmentLacksError(f"{_SLEEPER[0]} does not start: {error}", hint=hint) from error
    stack.enter_context(process)
    stack.callback(process.kill)
    return process.pid


def _sweep(mark: str) -> None:
    for place in _SHARED:
        shutil.rmtree(f"{place}/{mark}", ignore_errors=True)
