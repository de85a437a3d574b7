"""The contract between executors and sandboxes: what one confined process may see and use.

Rules:
    1. Paths are the same inside and outside, so that a level without mounts can honour them.
    2. What is not named here is neither readable nor writable; the environment is exactly `environment`.
    3. Killing a confined process kills everything it started.

Data flow: executors -> Confinement -> a Sandbox -> ConfinedProcess -> Exit.
"""

from __future__ import annotations

from typing import Literal, Protocol

from msgspec import Struct

from consilience.core.outcome import IsolationLevel
from consilience.core.problem import Limits
from consilience.trials.sandbox.interpreter import Interpreter

Overrun = Literal["", "memory", "cpu", "processes", "room"]


class Confinement(Struct, frozen=True, kw_only=True):
    """One process to start.

    Attributes:
        argv: the command; `argv[0]` is an absolute path.
        readable: files and folders it may read, beyond the interpreter and system libraries.
        writable: host folders that it may write and that the caller removes.
        scratch: an existing empty folder that it may fill up to `scratch_mb` (TMPDIR); nothing in it is kept.
        work_dir: where it starts.
        environment: its whole environment, but for `late_environment`.
        late_environment: the problem's own variables, set when all limits are in force: no loader or interpreter
            of ours obeys them.
        limits: wall time is the caller's to enforce; CPU, memory and output are set here.
        own_scratch: absolute paths that are to be writable and empty, whatever the host has there; nothing is kept.
        links: symbolic links to make in `scratch` before it starts: path below it, to what it leads.
        may_fork: whether it may start processes (a whole program may, a called candidate may not).
        hosts_candidates: it is a warm process of ours that forks candidates, each under limits of its own: its tree
            is not watched, and nothing but `scratch` can be written, so that nothing is left for the next one.
        devices: device nodes that it may read, write and control (ioctl).
        limit_address_space: whether `limits.memory_mb` bounds the address space, which drivers reserve far more of
            than they use; otherwise the memory of the tree is watched.
        scratch_mb: how much it may write into `scratch`, and how much `writable` may grow.
        scratch_files: how many files it may make there: each costs the kernel about 1 kB of memory that no
            other limit counts.
    """

    argv: tuple[str, ...]
    work_dir: str
    scratch: str
    limits: Limits
    readable: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    late_environment: dict[str, str] = {}
    own_scratch: tuple[str, ...] = ()
    links: dict[str, str] = {}
    may_fork: bool = False
    hosts_candidates: bool = False
    scratch_mb: int = 64
    devices: tuple[str, ...] = ()
    limit_address_space: bool = True
    scratch_files: int = 65536


class Exit(Struct, frozen=True, kw_only=True):
    """How a confined process ended. `signal` is 0 when it exited; CPU and memory are of its whole tree.

    `inherited_kb` is our own size, which the kernel counts for a child until it runs its own program: a
    `memory_kb` that is not above it says nothing of what the child used. `overran` names the sum over the whole
    tree for which it was killed, "" where it was for none: `room` is that of the places that it may write.
    """

    code: int
    signal: int
    cpu_ms: int
    memory_kb: int
    inherited_kb: int = 0
    overran: Overrun = ""


class ConfinedProcess(Protocol):
    """**Protocol:** a started process with its tree."""

    @property
    def pid(self) -> int:
        """The outermost process id on the host."""

    def exit_descriptor(self) -> int:
        """Return a new pidfd, which the caller closes: it becomes readable when the process has ended."""

    def wait(self, timeout_seconds: float | None = None) -> Exit | None:
        """Reap it and return how it ended, or None when it is still running after the timeout."""

    def kill(self) -> Exit:
        """Kill the whole tree, reap it, and return how it ended."""


class Sandbox(Protocol):
    """**Protocol:** one way to hold a process, at one level."""

    @property
    def level(self) -> IsolationLevel:
        """The level that its canaries proved."""

    @property
    def interpreter(self) -> Interpreter:
        """The interpreter whose files are readable inside."""

    def start(self, confinement: Confinement, *, stdin: int, stdout: int, stderr: int) -> ConfinedProcess:
        """Start the process with three file descriptors and no other.

        Raises:
            EnvironmentLacksError: the machine could not start it.
        """
