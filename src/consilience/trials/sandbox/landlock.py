"""Level `restricted`: Landlock, seccomp and resource limits, which a process puts on itself; no namespaces needed.

Rules:
    1. Landlock's ABI must be 6 or later (Linux 6.12): before it, signals and abstract sockets get through.
    2. Real root never runs a candidate here: it becomes the spare user 65534, or the level is not offered.
    3. No socket can be made, so that named sockets and UDP, which Landlock does not cover, stay out of reach.

Data flow: Confinement -> rules, filter, limits as the launcher's settings -> (warden) -> launcher -> target.

What is weaker than `strong`: `scratch` is a plain folder without a size (a watchdog counts what it gains); a readable
path inside a writable folder is writable; the host's process ids, though not their environments, can be guessed
at; POSIX semaphores (multiprocessing locks) do not work, because /dev/shm is the host's.

Source: Linux Documentation/userspace-api/landlock.rst; uapi linux/landlock.h.
"""

from __future__ import annotations

import ctypes
import os
import platform
from pathlib import Path

from consilience.core.errors import EnvironmentLacksError
from consilience.core.outcome import IsolationLevel
from consilience.trials.sandbox.cgroups import Place
from consilience.trials.sandbox.command import (
    Command,
    environment_settings,
    launcher_for,
    limit_settings,
    parse_command,
)
from consilience.trials.sandbox.confinement import Confinement
from consilience.trials.sandbox.interpreter import Interpreter
from consilience.trials.sandbox.limits import is_watched, resource_limits, room, sums
from consilience.trials.sandbox.plain import start_below_warden
from consilience.trials.sandbox.process import HeldProcess
from consilience.trials.sandbox.root import SPARE_USER, hand_over
from consilience.trials.sandbox.seccomp import FilterProfile, build_filter
from consilience.trials.sandbox.spawn import Streams, keeper, make_links, require_paths, spawn

REQUIRED_ABI = 6
_CREATE_RULESET = 444
_VERSION_QUESTION = 1  # LANDLOCK_CREATE_RULESET_VERSION
READ = 0x000D  # EXECUTE, READ_FILE, READ_DIR
WRITE = 0x75BF  # all but device nodes, sockets, and ioctl on devices
DEVICE = 0x0006  # WRITE_FILE, READ_FILE
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
OWN_FACTS = ("/proc/self",)
SYSTEM_FACTS = ("/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/sys/devices/system/cpu")
CONTROLLED_DEVICE = 0x8006  # IOCTL_DEV too: what a driver does, it does by ioctl
_DRIVER_FACTS = ("/proc/driver/nvidia", "/proc/devices", "/proc/modules")  # `strong` shows them in its own /proc


def landlock_abi() -> int:
    """Return the kernel's Landlock ABI, or 0 where it has none or it is switched off."""
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(ctypes.c_long(_CREATE_RULESET), None, ctypes.c_size_t(0), ctypes.c_uint(_VERSION_QUESTION))
    return max(0, int(version))


class LandlockSandbox:
    """Starts processes that confine themselves before their first line."""

    level: IsolationLevel = "restricted"

    def __init__(self, interpreter: Interpreter, place: Place | None = None) -> None:
        self.interpreter = interpreter
        self.place = place

    def start(self, confinement: Confinement, *, stdin: int, stdout: int, stderr: int) -> HeldProcess:
        """Start the process; as root, hand its writable folders to the spare user first.

        The thread that calls must outlive the process: the kernel ends the tree with the thread.

        Raises:
            EnvironmentLacksError: a path does not exist, or the spare user cannot reach it.
        """
        require_paths(confinement)
        _refuse_own_scratch(confinement)
        make_links(confinement.scratch, confinement.links)
        if os.getuid() == 0:
            hand_over(confinement)
        command = parse_command(confinement.argv, self.interpreter.executable)
        settings = self._settings(confinement, command)
        line = command.line(self.interpreter.executable, settings, launcher_for(self.interpreter))
        streams = Streams(stdin, stdout, stderr)
        if is_watched(confinement):
            return start_below_warden(line, confinement, streams, self.place)
        kept = sums(None, room(confinement), None)
        environment = dict(confinement.environment)
        return HeldProcess(spawn(line, streams, environment=environment, folder=confinement.work_dir), kept)

    def _settings(self, confinement: Confinement, command: Command) -> tuple[str, ...]:
        profile = FilterProfile(may_fork=confinement.may_fork, may_exec=confinement.may_fork or command.form == "exec")
        root = os.getuid() == 0
        return (
            *limit_settings(resource_limits(confinement, count_tasks=root)),
            *environment_settings(confinement.late_environment),
            *((f"uid={SPARE_USER}",) if root else ()),
            "with-parent=1",
            *(() if is_watched(confinement) else (f"keeper={keeper()}",)),  # a warden looks for itself
            *(f"landlock={rights}:{path}" for path, rights in landlock_rules(confinement, self.interpreter)),
            f"seccomp={build_filter(profile, platform.machine()).hex()}",
        )


def landlock_rules(confinement: Confinement, interpreter: Interpreter) -> list[tuple[str, int]]:
    """Return each path that the confined process may use, with its rights as Landlock's bits."""
    read = (*interpreter.readable, launcher_for(interpreter), *confinement.readable, *SYSTEM_FACTS, *OWN_FACTS)
    rules = [(path, READ) for path in read]
    rules += [(path, WRITE) for path in (*confinement.writable, confinement.scratch)]
    rules += [(path, DEVICE) for path in DEVICES]
    if confinement.devices:
        rules += [(path, READ) for path in _DRIVER_FACTS]
        rules += [(path, CONTROLLED_DEVICE) for path in confinement.devices]
    return [(path, rights) for path, rights in rules if Path(path).exists()]


def _refuse_own_scratch(confinement: Confinement) -> None:
    """Say that a folder of the host cannot be replaced by an empty one here: nothing can be mounted."""
    if confinement.own_scratch:
        raise EnvironmentLacksError(
            f"isolation level restricted cannot offer {confinement.own_scratch[0]} as scratch: it mounts nothing",
            hint="name scratch places below ~ (they lie in the trial's own folder then), or install bubblewrap",
        )
