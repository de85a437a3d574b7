"""What lies outside for attacks to reach: files, sockets, a process with a secret. It tells what was touched.

Rules:
    1. Everything is told where it is; only what is secret is not.
    2. Each thing that was touched is told once, and mended, so that the next attack is judged by itself.
    3. Everything made here is gone afterwards.

Data flow: `open_ground` -> places (for the attacks), `touched` (for the judge).
"""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from consilience.core.outcome import Outcome
from consilience.trials.executors.folders import remove
from consilience.trials.harness import HARNESS, script_arguments

_SHARED = ("/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/run", "/run/lock")  # noqa: S108 - looked into, not used
_LIVES = "import sys\nsys.stdin.read()\n"  # until we end, however we end
_LIMITS = ("RLIMIT_NOFILE", "RLIMIT_AS", "RLIMIT_CPU")
_TEXT = "a file of this machine's user"
_VARIABLE = "CANARY_SECRET"


class Ground:
    """The canaries of one run of the suite.

    Attributes:
        work: where executors may work.
        mark: what attacks name their leftovers by.
    """

    def __init__(self, root: Path) -> None:
        root.chmod(0o755)  # a sandbox without namespaces may run as another user
        self.work, self._outside = root / "work", root / "outside"
        self.mark = f"mark-{secrets.token_hex(8)}"
        self._token = secrets.token_hex(16)
        for folder in (self.work, self._outside):
            folder.mkdir()
        self._file = self._outside / "secret"
        self._sockets = _Sockets(self._outside)
        self._plant()
        script_arguments("candidate")  # compiles the harness, so that no trial is the first to do it
        self._harness = _contents(HARNESS)
        os.environ[_VARIABLE] = self._token  # a child that inherits our environment has it
        self._victim = self._start_victim()
        self._state = _state(self._victim.pid)
        self._own = _state(os.getpid())

    def close(self) -> None:
        """End and close what was made."""
        os.environ.pop(_VARIABLE, None)
        self._end_victim()
        self._sockets.close()

    @property
    def victim(self) -> int:
        """The process that must not be touched."""
        return self._victim.pid

    def places(self) -> dict[str, Any]:
        """Return where the canaries are, as attacks are told."""
        own = {"victim": self._victim.pid, "recorder": os.getpid(), "mark": self.mark}
        return {**own, "file": str(self._file), "outside": str(self._outside), **self._sockets.places()}

    def touched(self) -> tuple[str, ...]:
        """Say what was touched since the last call, and mend it."""
        return (*self._files(), *self._sockets.heard(), *self._processes())

    def told(self, outcome: Outcome) -> tuple[str, ...]:
        """Say whether an outcome's text shows that something outside was read or done."""
        text = " ".join([outcome.log, outcome.feedback, outcome.failure.message if outcome.failure else ""])
        found = {self._token: "it read a secret of this machine", f"ESCAPED-{self.mark}": "it did what it may not"}
        return tuple(what for sign, what in found.items() if sign in text)

    def left(self) -> tuple[str, ...]:
        """Say which files were left behind, and remove them."""
        marked = [path for folder in self._folders() for path in folder.glob(f"*{self.mark}*")]
        for folder, names, files in os.walk(self.work):  # passes over what is nested too deep to be named
            found = [name for name in (*names, *files) if self.mark in name]
            marked += [Path(folder) / name for name in found]
            names[:] = [name for name in names if name not in found]
        trials = list(self.work.glob("trial-*"))
        for path in (*marked, *trials):
            path.unlink() if path.is_file() or path.is_symlink() else remove(path)
        return tuple(f"it left {path.name.replace(self.mark, '...')} in {path.parent}" for path in (*marked, *trials))

    def _folders(self) -> list[Path]:
        named = [Path(folder) for folder in _SHARED]
        return [folder for folder in (*named, Path.home(), Path.cwd(), HARNESS) if folder.is_dir()]

    def _plant(self) -> None:
        self._file.write_text(f"{_TEXT}: {self._token}")
        self._file.chmod(0o666)
        self._outside.chmod(0o777)
        self._planted = _contents(self._outside)

    def _files(self) -> Iterator[str]:
        if _contents(self._outside) != self._planted:
            yield "it changed files outside"
            for path in self._outside.iterdir():
                if path.name != "socket":
                    path.unlink() if path.is_file() or path.is_symlink() else remove(path)
            self._plant()
        if not self._harness.items() <= _contents(HARNESS).items():
            yield "it changed the harness"
            self._harness = _contents(HARNESS)

    def _processes(self) -> Iterator[str]:
        if _state(os.getpid()) != self._own:
            yield "it changed the recorder's limits, priority or CPUs"
            self._own = _state(os.getpid())
        if _state(self._victim.pid) != self._state:
            yield "it reached a process outside"
            self._end_victim()
            self._victim = self._start_victim()

    def _start_victim(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-I", "-S", "-c", _LIVES]
        null = subprocess.DEVNULL
        return subprocess.Popen(  # noqa: S603 - a fixed program
            command, env={_VARIABLE: self._token}, stdin=subprocess.PIPE, stdout=null, stderr=null
        )

    def _end_victim(self) -> None:
        with self._victim:  # closes its pipe and waits
            self._victim.kill()


class _Sockets:
    """Sockets of every kind, which note whether anybody came."""

    def __init__(self, folder: Path) -> None:
        self._path, self._abstract = str(folder / "socket"), f"canary-{secrets.token_hex(8)}"
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", 0))
        self._listening = {
            "TCP": socket.create_server(("127.0.0.1", 0)),
            "a local socket": _listen(self._path),
            "an abstract socket": _listen("\0" + self._abstract),
        }
        Path(self._path).chmod(0o777)
        for each in (self._udp, *self._listening.values()):
            each.setblocking(False)

    def places(self) -> dict[str, Any]:
        """Return where they listen."""
        ports = {"tcp": self._listening["TCP"].getsockname()[1], "udp": self._udp.getsockname()[1]}
        return {**ports, "socket": self._path, "abstract": self._abstract}

    def heard(self) -> Iterator[str]:
        """Say who came since the last call."""
        for name, each in self._listening.items():
            with suppress(BlockingIOError):
                each.accept()[0].close()
                yield f"it connected by {name}"
        with suppress(BlockingIOError):
            self._udp.recv(64)
            yield "it sent a datagram"

    def close(self) -> None:
        """Close them."""
        for each in (self._udp, *self._listening.values()):
            each.close()


@contextmanager
def open_ground() -> Iterator[Ground]:
    """Set the canaries, and take them away afterwards."""
    with tempfile.TemporaryDirectory(prefix="attacks-") as folder:
        ground = Ground(Path(folder).resolve())
        try:
            yield ground
        finally:
            ground.close()


def _listen(address: str) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.bind(address)
    made.listen()
    return made


def _contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file below a folder; of anything else, none."""
    found = {}
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # another process compiles a module: its file is renamed when it is whole
            found[str(path)] = path.read_bytes() if path.is_file() else b""
    return found


def _state(pid: int) -> tuple[Any, ...]:
    """Return what others may have changed of a process: whether it runs, priority, CPUs, limits, memory score."""
    import resource  # noqa: PLC0415 - not on every system; attacks are run on Linux

    try:
        status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        limits = [resource.prlimit(pid, getattr(resource, name)) for name in _LIMITS]
        score = Path(f"/proc/{pid}/oom_score_adj").read_text()
        priority, cpus = os.getpriority(os.PRIO_PROCESS, pid), os.sched_getaffinity(pid)
    except (OSError, ValueError):
        return ("gone",)
    return (status in "TtZ", priority, cpus, limits, score)
