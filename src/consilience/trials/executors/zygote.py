"""The recorder's side of the warm process: start it in a sandbox, have it fork candidates.

Rules:
    1. It is confined as a whole program is; each candidate forked from it confines itself further (Landlock for
       its own folders, no forking, no program but its own, its own limits) before its first line.
    2. A warm process that breaks is not mended: it is ended, and another takes its place.

Data flow: Sandbox -> warm process <- packets with three descriptors -> `forked` -> Exit.
"""

from __future__ import annotations

import signal
import socket
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from consilience.core.ports import Grants
from consilience.core.problem import Limits
from consilience.trials.executors import folders, interpreters
from consilience.trials.executors.forked import ForkedProcess, Word
from consilience.trials.executors.grants import home_links
from consilience.trials.executors.interpreters import Interpreter
from consilience.trials.harness import HARNESS, script_arguments
from consilience.trials.sandbox.command import LAUNCHER
from consilience.trials.sandbox.confinement import ConfinedProcess, Confinement, Sandbox
from consilience.trials.sandbox.exits import is_readable
from consilience.trials.sandbox.forking import fork_settings
from consilience.trials.sandbox.launcher import FAILED

START_SECONDS = 60.0  # imports of heavy libraries from a cold disk
ANSWER_SECONDS = 10.0  # between the end of a candidate and the word of its parent, which empties its folder first
_PACKET_BYTES = 4096
_LOG_BYTES = 2048
_ENDLESS_CPU_SECONDS = 1e9  # the children have limits of their own
_MEMORY_FACTOR = 4  # address space of the warm process over a candidate's, plus:
_MEMORY_MORE_MB = 2048


class ZygoteBrokenError(Exception):
    """The warm process cannot be used. Caught by the executor, which runs the trial in a fresh process."""


class Plan(Struct, frozen=True, kw_only=True):
    """What a warm process is for.

    Attributes:
        interpreter: the Python that runs candidates.
        limits: a candidate's; those of the warm process follow from them.
        preload: modules that candidates import.
        grants: what the problem opens of this machine.
        scratch_mb: size of the place for a candidate's files, where the grants name none.
    """

    interpreter: Interpreter
    limits: Limits
    preload: tuple[str, ...] = ()
    grants: Grants = Grants()
    scratch_mb: int = 64


class Zygote:
    """One warm process, from its start to its end.

    Attributes:
        arena: the folder in which each candidate finds its `program` and `scratch`; inside the sandbox only.
        start_cpu_ms: what its imports took.
        broken: set once it can serve no more.
    """

    def __init__(self, sandbox: Sandbox, plan: Plan, work_dir: Path) -> None:
        """Start it and wait until its imports are done.

        Raises:
            ZygoteBrokenError: it does not start, or a library makes it unfit for forking.
            EnvironmentLacksError: the machine could not start a process at all.
        """
        self._folder = folders.make_folder(work_dir, "warm-")
        self.arena = self._folder / "arena"
        self.arena.mkdir()
        self.broken = False
        self._unprepared = False
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `close`, with the process
        self._process: ConfinedProcess | None = None
        try:
            with theirs:  # held by it alone once it runs, so that its end is seen
                self._process = self._start(sandbox, plan, theirs)
            self.start_cpu_ms = self._await_ready(msgspec.json.encode(self._start_line(sandbox, plan)))
        except BaseException:  # an interrupt too must leave nothing behind
            self.close()
            raise

    def fork(self, stdin: int, stdout: int, stderr: int) -> ForkedProcess:
        """Fork a candidate's process with these three descriptors and no other.

        Raises:
            ZygoteBrokenError: the warm process has ended.
        """
        try:
            socket.send_fds(self._control, [b"fork"], [stdin, stdout, stderr])
            self._await(ANSWER_SECONDS)
            packet, descriptors, _flags, _address = socket.recv_fds(self._control, _PACKET_BYTES, 1)
        except OSError as error:
            raise self._break(str(error)) from error
        if not packet or not descriptors:
            raise self._break(self._last_words())
        return ForkedProcess(self.ended, descriptors[0])

    def ended(self) -> Word:
        """Return how the last child ended. Called once for each child, after its end.

        When the warm process is gone there is nobody to tell: the child counts as killed.
        """
        word = self._hear(ANSWER_SECONDS)
        if word.status is None:
            self.broken = True
            return Word(status=-signal.SIGKILL)
        self._unprepared = word.status == FAILED
        return word

    def served_well(self) -> bool:
        """Tell whether the last child was a candidate that could be prepared; what it did then is its own."""
        return not self.broken and not self._unprepared

    def close(self) -> None:
        """End it with everything below it."""
        self.broken = True
        if self._process is not None:
            self._process.kill()
        self._control.close()
        self._log.close()
        folders.remove(self._folder)

    def _await_ready(self, line: bytes) -> int:
        """Tell it what to load, wait for that, and return the CPU milliseconds that it took."""
        with suppress(OSError):  # it has ended: nothing is heard then
            self._control.send(line)
        word = self._hear(START_SECONDS)
        if not word.ready:
            raise ZygoteBrokenError(word.unfit or self._last_words())
        return word.cpu_ms

    def _start(self, sandbox: Sandbox, plan: Plan, control: socket.socket) -> ConfinedProcess:
        scratch = str(self.arena / "scratch")
        environment = interpreters.child_environment(scratch, scratch) | interpreters.ONE_THREAD
        memory_mb = _MEMORY_FACTOR * plan.limits.memory_mb + _MEMORY_MORE_MB
        confinement = Confinement(
            argv=(plan.interpreter.executable, "-S", "-s", *script_arguments("zygote")),
            work_dir=str(self.arena),
            scratch=str(self.arena),
            readable=(str(HARNESS), LAUNCHER),
            environment=environment | interpreters.FIXED_HASH_SEED,
            limits=msgspec.structs.replace(plan.limits, cpu_seconds=_ENDLESS_CPU_SECONDS, memory_mb=memory_mb),
            may_fork=True,
            hosts_candidates=True,
            scratch_mb=plan.scratch_mb,
        )
        log = self._log.fileno()
        return sandbox.start(confinement, stdin=control.fileno(), stdout=log, stderr=log)

    def _start_line(self, sandbox: Sandbox, plan: Plan) -> dict[str, Any]:
        own = str(self.arena / "program"), str(self.arena / "scratch")
        return {
            "path": plan.interpreter.path,
            "prefix": plan.interpreter.prefix,
            "preload": plan.preload,
            "launcher": LAUNCHER,
            "arena": str(self.arena),
            "links": home_links(plan.grants, Path.home()),
            "confine": fork_settings(sandbox.interpreter, (str(HARNESS), *plan.grants.readable), own),
        }

    def _hear(self, seconds: float) -> Word:
        """Return its next word; an empty one when it has ended or is silent."""
        try:
            self._await(seconds)
            packet = self._control.recv(_PACKET_BYTES)
            return msgspec.json.decode(packet, type=Word) if packet else Word()
        except (OSError, msgspec.DecodeError):
            return Word()

    def _await(self, seconds: float) -> None:
        if not is_readable(self._control.fileno(), seconds):
            raise TimeoutError(f"it was silent for {seconds:g} s")

    def _break(self, reason: str) -> ZygoteBrokenError:
        self.broken = True
        return ZygoteBrokenError(reason)

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = self._log.read()[-_LOG_BYTES:].decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else "it ended without a word"
