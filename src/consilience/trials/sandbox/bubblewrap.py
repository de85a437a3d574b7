"""Level `strong`: bubblewrap, with a seccomp filter, its own namespaces and nothing of the host but what is named.

Rules:
    1. bubblewrap itself starts with an empty environment: its own is readable inside as /proc/1/environ, and
       ``--clearenv`` does not change that. The program's environment goes through ``--setenv``.
    2. Every argument goes through a file descriptor, so that nothing shows in the host's process list.
    3. The launcher, not bwrap, starts the target's session: until bwrap has bound its child's life to its own, their
       process group is what ends them together.
    4. Every writable place is a named folder or a sized tmpfs; the rest is read-only or absent.

Data flow: Confinement -> mounts by depth -> arguments on a descriptor -> bwrap -> launcher -> target.

Source of the options: bwrap(1) of 0.8 and later.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from functools import cache
from pathlib import Path

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
from consilience.trials.sandbox.limits import resource_limits, room, sums, tree_ceiling, tree_group
from consilience.trials.sandbox.process import HeldProcess
from consilience.trials.sandbox.seccomp import FilterProfile, build_exec_denial, build_filter
from consilience.trials.sandbox.spawn import Settings, Streams, keeper, require_paths, spawn

_MIB = 1 << 20
_ISOLATION = (
    *("--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--as-pid-1"),
    *("--cap-drop", "ALL", "--hostname", "sandbox"),
)


class BubblewrapSandbox:
    """Starts confined processes under one bwrap binary for one interpreter."""

    level: IsolationLevel = "strong"

    def __init__(self, binary: str, interpreter: Interpreter, place: Place | None = None) -> None:
        self.binary = binary
        self.interpreter = interpreter
        self.place = place

    def start(self, confinement: Confinement, *, stdin: int, stdout: int, stderr: int) -> HeldProcess:
        """Start the process with three file descriptors and no other.

        The thread that calls must outlive the process: the kernel ends the tree with the thread.

        Raises:
            EnvironmentLacksError: bwrap is gone, or a path of the confinement does not exist.
        """
        require_paths(confinement)
        command = parse_command(confinement.argv, self.interpreter.executable)
        with Settings() as settings, tree_group(confinement, self.place) as group:
            arguments = settings.holding(bubblewrap_arguments(confinement, self.interpreter))
            options, orders = self._filtered(confinement, command, settings)
            inner = command.line(
                self.interpreter.executable, (*_settings(confinement), *orders), launcher_for(self.interpreter)
            )
            line = [self.binary, "--args", str(arguments), *options, "--", *inner]
            kept = sums(tree_ceiling(confinement), room(confinement, private=private_places(confinement)), group)
            process = spawn(
                group.entering(line) if group else line,
                Streams(stdin, stdout, stderr),
                environment={},
                descriptors=settings.descriptors,
            )
        return HeldProcess(process, kept)

    def _filtered(
        self, confinement: Confinement, command: Command, settings: Settings
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return what puts the seccomp filter on: bwrap's options, and the launcher's last settings."""
        profile = FilterProfile(may_fork=confinement.may_fork, may_exec=True)
        seccomp = settings.holding(build_filter(profile, platform.machine()))
        may_exec = confinement.may_fork or command.form == "exec"
        orders = () if may_exec else (f"seccomp={build_exec_denial(platform.machine()).hex()}",)
        return ("--seccomp", str(seccomp)), orders


def private_places(confinement: Confinement) -> tuple[str, ...]:
    """Return where the confinement gets a tmpfs of its own, each of its scratch's size."""
    return (confinement.scratch, *confinement.own_scratch, "/tmp", "/dev/shm")  # noqa: S108 - the sandbox's own


def bubblewrap_arguments(confinement: Confinement, interpreter: Interpreter) -> Iterator[str]:
    """Yield bwrap's options: namespaces, mounts from the outermost in, environment, folder to start in."""
    size = str(confinement.scratch_mb * _MIB)
    yield from _ISOLATION
    yield from ("--proc", "/proc", "--dev", "/dev", "--size", size, "--tmpfs", "/dev/shm")  # noqa: S108
    yield from ("--size", size, "--tmpfs", "/tmp")  # noqa: S108 - the sandbox's own
    for option, path in _mounts(confinement, interpreter):
        if option == "--tmpfs":
            yield from ("--size", size, "--tmpfs", path)
        elif option == "--symlink":
            yield from ("--symlink", str(Path(path).readlink()), path)
        else:
            yield from (option, path, path)
    for name, target in confinement.links.items():
        yield from ("--symlink", target, f"{confinement.scratch}/{name}")
    # bwrap leaves /proc/sys writable to root's own id, and core_pattern is a way to run a program outside.
    shared = ("/dev/shm", "/tmp") if confinement.hosts_candidates else ()  # noqa: S108 - the sandbox's own
    for path in (*shared, "/proc", "/dev", "/"):
        yield from ("--remount-ro", path)
    for name, value in confinement.environment.items():
        yield from ("--setenv", name, value)
    yield from ("--chdir", confinement.work_dir)


def _mounts(confinement: Confinement, interpreter: Interpreter) -> list[tuple[str, str]]:
    """Return (option, path), parents first, so that what lies deeper is laid over what holds it."""
    mounts = [("--symlink" if _is_top_link(path) else "--ro-bind", path) for path in interpreter.readable]
    mounts += [("--ro-bind", path) for path in (launcher_for(interpreter), *confinement.readable)]
    mounts += [("--bind", path) for path in confinement.writable]
    mounts += [("--dev-bind", path) for path in confinement.devices]
    mounts += [("--tmpfs", path) for path in (confinement.scratch, *confinement.own_scratch)]
    mounts += [("--tmpfs", path) for path in hidden_folders(interpreter)]
    return sorted(mounts, key=lambda mount: len(Path(mount[1]).parts))


_HIDDEN = tuple(
    f"{above}consilience/domains"
    for above in ("", "site-packages/", "lib/python*/site-packages/", "python*/site-packages/")
)


@cache  # the interpreter's folders do not change during a run; looking costs milliseconds
def hidden_folders(interpreter: Interpreter) -> tuple[str, ...]:
    """Return what lies in the interpreter's packages and no candidate may read: our built-in problems' data.

    Their evaluators and labels would else be a way to a score.
    """
    found = [path for place in interpreter.readable for pattern in _HIDDEN for path in Path(place).glob(pattern)]
    return tuple(sorted({str(path) for path in found if path.is_dir()}))


def _is_top_link(path: str) -> bool:
    """Tell whether a system folder is a link into /usr, as /lib is on most distributions."""
    return len(Path(path).parts) == len(("/", "lib")) and Path(path).is_symlink()


def _settings(confinement: Confinement) -> tuple[str, ...]:
    unset = () if "PWD" in confinement.environment else ("unset=PWD",)  # bwrap adds it
    limits = limit_settings(resource_limits(confinement, count_tasks=True))
    variables = environment_settings(confinement.late_environment)
    return ("session=1", f"keeper={keeper()}", *unset, *limits, *variables)
