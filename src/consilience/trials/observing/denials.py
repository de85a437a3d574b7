"""What a trial was denied, as facts: paths of this machine, programs and system calls. Nothing is judged here.

Rules:
    1. A path is denied when this machine has it and the sandbox does not show it, or shows it read-only.
    2. What libraries look for by habit, and do without, is left out.

Data flow: watched calls -> `Ledger` -> Denials -> `node.denied`.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path, PurePosixPath

from msgspec import Struct

from consilience.trials.sandbox.command import LAUNCHER

_QUIET = ("/proc", "/sys", "/dev/pts", "/dev/tty", "/dev/shm", "/dev/log", "/run", "/var/run", "/var/cache/ldconfig")  # noqa: S108
_QUIET_OF_ETC = (
    *("ld.so.preload", "ld.so.conf", "localtime", "timezone", "nsswitch.conf", "passwd", "group", "hosts"),
    *("resolv.conf", "host.conf", "gai.conf", "services", "protocols", "ssl", "pki", "selinux", "locale.alias"),
    *("os-release", "debian_version", "lsb-release", "machine-id", "inputrc", "terminfo", "mime.types", "fstab"),
    *("apache2", "httpd", "malloc.conf", "profile", "bash.bashrc", "gitconfig", "default", "fonts"),
)
_PYTHON_OF_ETC = "/etc/python"  # distributions' sitecustomize
_QUIET_AT_HOME = (
    *(".bashrc", ".profile", ".bash_profile", ".inputrc", ".terminfo", ".pydistutils.cfg", ".netrc", ".mime.types"),
    *(".local/lib", ".gitconfig", ".config/git", ".python_history", ".icons", ".fonts"),
)
_DEVICES = ("/dev/nvidia", "/dev/kfd", "/dev/dri")


class Denials(Struct, frozen=True, kw_only=True):
    """All that a trial was denied.

    Attributes:
        read: paths of this machine that it asked for and could not see, with `~` resolved to the user's home.
        written: folders of this machine that it would have written in.
        made: folders that it would have made.
        missing: programs that it tried to start and that were nowhere to be seen.
        executed: paths of programs of this machine that it tried to start and could not see.
        calls: system calls that were refused, with their number.
        complete: whether a watch was kept; without it only what the log says is here.
    """

    read: tuple[str, ...] = ()
    written: tuple[str, ...] = ()
    made: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    executed: tuple[str, ...] = ()
    calls: dict[str, int] = {}
    complete: bool = True


class Ledger:
    """Takes notes while a trial runs, for one thread at a time.

    Args:
        home: this user's home folder; a trial has another, and what it looks for there is looked for here.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._read: set[str] = set()
        self._written: set[str] = set()
        self._made: set[str] = set()
        self._started: dict[str, bool] = {}
        self._executed: set[str] = set()
        self._calls: Counter[str] = Counter()

    def note_call(self, name: str) -> None:
        """Note a refused call."""
        self._calls[name] += 1

    def note_read(self, path: str) -> None:
        """Note a path that this machine may have and the trial did not see."""
        names = {path, os.path.realpath(path)}  # a link in sight may lead to what is not
        if os.path.exists(path) and not any(is_quiet(name, self._home) for name in names):  # noqa: PTH110 - for speed
            self._read.add(path)

    def note_folder(self, path: str, towards: str) -> None:
        """Note a folder that the trial could not make.

        Args:
            path: the folder. Where this machine has it, it was wanted for the sake of what lies below.
            towards: the path that was last looked for.
        """
        if os.path.isdir(path) and PurePosixPath(towards).is_relative_to(path):  # noqa: PTH112
            path = towards
        if not is_quiet(path, self._home) and _may_write_above(path):
            self._made.add(path)

    def note_write(self, path: str) -> None:
        """Note a file that the trial could not write."""
        if not is_quiet(path, self._home) and _may_write_above(path):
            self._written.add(str(PurePosixPath(path).parent))

    def note_start(self, path: str, *, seen: bool) -> None:
        """Note an attempt to start a program."""
        name = PurePosixPath(path).name
        self._started[name] = self._started.get(name, False) or seen
        if not seen and os.path.exists(path):  # noqa: PTH110
            self._executed.add(path)

    def denials(self) -> Denials:
        """Return what was noted so far."""
        found = {PurePosixPath(path).name for path in self._executed}
        missing = {name for name, seen in self._started.items() if not seen} - found
        return Denials(
            read=tuple(sorted(self._read - self._executed)),
            written=tuple(sorted(self._written)),
            made=tuple(sorted(self._made)),
            missing=tuple(sorted(missing)),
            executed=tuple(sorted(path for path in self._executed if not self._started[PurePosixPath(path).name])),
            calls=dict(sorted(self._calls.items())),
        )


def _may_write_above(path: str) -> bool:
    """Tell whether this user may write in the nearest folder above that is there; the root of all counts as none."""
    above = next(str(each) for each in PurePosixPath(path).parents if os.path.isdir(each))  # noqa: PTH112
    return above != "/" and os.access(above, os.W_OK)


def is_quiet(path: str, home: Path) -> bool:
    """Tell whether libraries look for this path by habit: its absence says nothing."""
    if path.startswith("/dev/"):
        return not path.startswith(_DEVICES)
    if path.startswith(_PYTHON_OF_ETC) or path == LAUNCHER:  # Python looks for the source when it prints a traceback
        return True
    pure = PurePosixPath(path)
    places = [*_QUIET, *(f"/etc/{name}" for name in _QUIET_OF_ETC), *(str(home / name) for name in _QUIET_AT_HOME)]
    return str(pure) in {"/", "/etc", str(home)} or pure.suffix == ".pyc" or any(map(pure.is_relative_to, places))
