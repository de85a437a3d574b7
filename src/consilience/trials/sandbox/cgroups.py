"""Control groups: memory and task limits of a whole tree that the kernel keeps itself, where the machine allows.

Rules:
    1. A group is made below the one that this process is in (v1), or beside it where the controllers are
       delegated (v2), so that no limit of the user's own is escaped; no other process is ever moved.
    2. A tree enters its group before its first program starts.
    3. Whoever makes a group removes it; groups of processes that are gone are removed by the next that looks.

Data flow: /proc/self -> `find_place` -> Place -> `Group` -> limits, entry command, kills counted -> removal.

Source: Linux Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst, cgroup-v1/pids.rst. v1 is measured on
a real kernel, v2's files only in an imitation: the machine at hand has its controllers on v1.
"""

from __future__ import annotations

import itertools
import os
import signal
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

from msgspec import Struct

from consilience.trials.sandbox.proctree import start_ticks

_PREFIX = "consilience"
_NEEDED = ("memory", "pids")
_HELPERS = 8  # tasks of ours in the group beside the tree's own
_REMOVE_TRIES, _REMOVE_SECONDS = 50, 0.01
_ENTER = """
n=$1
shift
while [ "$n" -gt 0 ]; do
    echo 0 > "$1" || exit 125
    shift
    n=$((n-1))
done
unset PWD OLDPWD
exec "$@"
"""  # 0 is oneself; a shell adds PWD
_counter = itertools.count()
_LEFT: list[Path] = []  # groups of this process that were not empty yet; the next one made tries again


class Place(Struct, frozen=True):
    """Where groups can be made: one folder (v2), or one for memory and one for tasks (v1)."""

    version: int
    folders: tuple[str, ...]


class Lack(Struct, frozen=True):
    """Why there are no groups, and how to get them."""

    reason: str
    mend: str


_SCOPE = "Start it in a scope of your own: systemd-run --user --scope -p Delegate=yes consilience ..."
_AS_ROOT = "Run as root, or have an administrator give you a folder of each below your own control group."


def usable_place() -> Place | None:
    """Return the place, or None where there is none."""
    place = find_place()
    return None if isinstance(place, Lack) else place


@cache
def find_place() -> Place | Lack:
    """Look for a place, try it by making a group, and sweep up what dead processes left there."""
    place = locate()
    if isinstance(place, Lack):
        return place
    try:
        _sweep(place)
        Group(place, memory_kb=1 << 20, tasks=16).remove()
    except OSError as error:
        return Lack(f"no control group can be made: {error}", _AS_ROOT)
    return place


def locate(process: Path = Path("/proc/self")) -> Place | Lack:
    """Return where groups may be made, by what the kernel says of this process; nothing is tried."""
    try:
        own = dict(_own_groups((process / "cgroup").read_text()))
        mounts = dict(_mounts((process / "mountinfo").read_text()))
    except OSError as error:
        return Lack(f"the kernel tells nothing of control groups: {error.strerror}", _AS_ROOT)
    if all(name in own and name in mounts for name in _NEEDED):
        folders = tuple(_folder(mounts[name], own[name]) for name in _NEEDED)
        if all(_may_write(folder) for folder in folders):
            return Place(1, folders)
        return Lack(f"this user may not make control groups (v1) in {folders[0]}", _AS_ROOT)
    if "" in own and "" in mounts:
        return _delegated(mounts[""], own[""])
    return Lack("no control group hierarchy with memory and pids is mounted", _AS_ROOT)


def _own_groups(text: str) -> list[tuple[str, str]]:
    """Return (controller, path) of each line of proc_pid_cgroup(5); v2 has no controller's name."""
    lines = [line.split(":", 2) for line in text.splitlines()]
    return [(name, path) for _id, names, path in lines for name in names.split(",")]


def _mounts(text: str) -> list[tuple[str, tuple[str, str]]]:
    """Return (controller, (root, mount point)) of each cgroup mount of proc_pid_mountinfo(5)."""
    found: list[tuple[str, tuple[str, str]]] = []
    for line in text.splitlines():
        fields, _, rest = line.partition(" - ")
        kind, _source, options = rest.split(" ", 2)
        root, point = fields.split()[3:5]
        names = {"cgroup2": [""], "cgroup": options.split(",")}.get(kind, [])
        found += [(name, (root, point)) for name in names]
    return found


def _folder(mount: tuple[str, str], path: str) -> str:
    root, point = mount
    below = os.path.relpath(path, root)
    return os.path.normpath(f"{point}/{below}") if not below.startswith("..") else point


def _may_write(folder: str) -> bool:
    return os.access(folder, os.W_OK) and os.access(f"{folder}/cgroup.procs", os.W_OK)


def _delegated(mount: tuple[str, str], path: str) -> Place | Lack:
    """Return the nearest folder above this process's group whose children get both controllers."""
    folder = Path(_folder(mount, path))
    for above in (folder, *folder.parents):
        if not above.is_relative_to(mount[1]):
            break
        with suppress(OSError):
            given = (above / "cgroup.subtree_control").read_text().split()
            if set(_NEEDED) <= set(given) and _may_write(str(above)):
                return Place(2, (str(above),))
    return Lack("no control group (v2) above this process is delegated to it with memory and pids", _SCOPE)


class Group:
    """The group of one tree."""

    def __init__(self, place: Place, *, memory_kb: int, tasks: int) -> None:
        """Make it and set its limits.

        Raises:
            OSError: the kernel refuses.
        """
        _LEFT[:] = [folder for folder in _LEFT if not _remove(folder, tries=1)]
        name = f"{_owner(os.getpid())}-{next(_counter)}"
        self._version = place.version
        self._folders = [Path(folder, name) for folder in place.folders]
        try:
            for folder in self._folders:
                folder.mkdir()
            self._limit(memory_kb, tasks + _HELPERS)
        except OSError:
            self.remove()
            raise

    def _limit(self, memory_kb: int, tasks: int) -> None:
        amount = str(memory_kb * 1024)
        memory, pids = self._folders[0], self._folders[-1]
        (pids / "pids.max").write_text(str(tasks))
        if self._version == 1:
            (memory / "memory.limit_in_bytes").write_text(amount)
            _write_if_there(memory / "memory.memsw.limit_in_bytes", amount)
        else:
            (memory / "memory.max").write_text(amount)
            _write_if_there(memory / "memory.swap.max", "0")
            _write_if_there(memory / "memory.oom.group", "1")

    def entering(self, line: list[str]) -> list[str]:
        """Return the command that enters the group and then becomes this command."""
        files = [f"{folder}/cgroup.procs" for folder in self._folders]
        return ["/bin/sh", "-c", _ENTER, "sh", str(len(files)), *files, *line]

    def kills(self) -> int:
        """Return how many processes the kernel has killed for the group's memory limit."""
        name = "memory.oom_control" if self._version == 1 else "memory.events"
        try:
            fields = (self._folders[0] / name).read_text().split()
        except OSError:
            return 0
        return int(fields[fields.index("oom_kill") + 1]) if "oom_kill" in fields else 0

    def memory_kb(self) -> int:
        """Return what its processes hold that is theirs: pages shared among them count once, files not at all."""
        name = "rss" if self._version == 1 else "anon"
        try:
            fields = (self._folders[0] / "memory.stat").read_text().split()
        except OSError:
            return 0
        return int(fields[fields.index(name) + 1]) // 1024 if name in fields else 0

    def remove(self) -> None:
        """Kill what is left in it and remove it; what is still being taken down is waited for, or left for later."""
        _LEFT.extend(folder for folder in self._folders if not _remove(folder))


def _write_if_there(file: Path, text: str) -> None:
    if file.exists():
        file.write_text(text)


def _owner(pid: int) -> str:
    """Name a process for as long as this machine is up, in its own namespace of process ids."""
    namespace = os.stat("/proc/self/ns/pid").st_ino  # noqa: PTH116 - of a link that leads nowhere
    return f"{_PREFIX}-{namespace}-{pid}-{start_ticks(pid)}"


def _remove(folder: Path, tries: int = _REMOVE_TRIES) -> bool:
    """Kill a group's members and remove it; False when it is not empty yet."""
    for _ in range(tries):
        try:
            folder.rmdir()
        except FileNotFoundError:
            return True
        except OSError:
            _kill_members(folder)
            time.sleep(_REMOVE_SECONDS)
        else:
            return True
    return False


def _kill_members(folder: Path) -> None:
    with suppress(OSError):
        for member in (folder / "cgroup.procs").read_text().split():
            os.kill(int(member), signal.SIGKILL)


def _sweep(place: Place) -> None:
    """Remove the groups of processes that are gone, and kill what should have died with them."""
    ours = _owner(os.getpid()).split("-")[:2]
    for top in place.folders:
        for folder in Path(top).glob(f"{'-'.join(ours)}-*"):
            pid = int(folder.name.split("-")[2])
            if folder.name.rpartition("-")[0] == _owner(pid):
                continue
            _remove(folder)
