"""Resource limits of one confined process, as pairs for setrlimit.

Rules:
    1. Soft and hard limits are equal, so that a process cannot raise them and CPU time ends in SIGKILL at
       every level (a namespace's first process ignores SIGXCPU).
    2. Without forking, the address space is a true total; with forking it bounds each process, and the
       control group (`cgroups`) or the watchdog bounds the sum.
    3. The number of processes is a limit of the whole user and void for root: never the only defence.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from consilience.core.errors import EnvironmentLacksError
from consilience.trials.sandbox.cgroups import Group, Place
from consilience.trials.sandbox.confinement import Confinement
from consilience.trials.sandbox.process import Ceiling, Sums
from consilience.trials.sandbox.room import Gauge, Room

try:
    import resource
except ImportError:  # Windows, where nothing here is started: `probe` says so
    resource = None  # type: ignore[assignment]

MAXIMUM_FILES = 256
MAXIMUM_TASKS = 512
MAXIMUM_PROCESSES = 256
_KIB, _MIB = 1 << 10, 1 << 20


def file_bytes(confinement: Confinement) -> int:
    """Return the largest file that may be written: the output limit or the scratch folder, whichever is more."""
    return max(confinement.limits.output_kb * _KIB, confinement.scratch_mb * _MIB)


def resource_limits(confinement: Confinement, *, count_tasks: bool) -> tuple[tuple[int, int], ...]:
    """Return (number, value) for each limit.

    Args:
        confinement: its limits; CPU seconds are rounded up, the kernel counts whole ones.
        count_tasks: whether the process has a user of its own, or a user namespace's own count.
    """
    pairs = [
        (resource.RLIMIT_CPU, max(1, math.ceil(confinement.limits.cpu_seconds))),
        (resource.RLIMIT_FSIZE, file_bytes(confinement)),
        (resource.RLIMIT_NOFILE, MAXIMUM_FILES),
        (resource.RLIMIT_CORE, 0),
    ]
    if confinement.limit_address_space:
        pairs.append((resource.RLIMIT_AS, confinement.limits.memory_mb * _MIB))
    if count_tasks:
        pairs.append((resource.RLIMIT_NPROC, MAXIMUM_TASKS))
    return tuple(pairs)


def tree_ceiling(confinement: Confinement) -> Ceiling | None:
    """Return what the watchdog allows the whole tree, or None where single-process limits are totals."""
    return whole_tree_ceiling(confinement) if is_watched(confinement) else None


def is_watched(confinement: Confinement) -> bool:
    """Tell whether only a watchdog bounds what the whole tree uses."""
    forks = confinement.may_fork and not confinement.hosts_candidates
    return forks or not confinement.limit_address_space


@contextmanager
def tree_group(confinement: Confinement, place: Place | None) -> Iterator[Group | None]:
    """Make a control group for a tree that may fork, where there is a place; remove it if nothing is started.

    Its memory limit allows for a full scratch folder too: the kernel counts the pages of a tmpfs with the rest.

    Raises:
        EnvironmentLacksError: the place was lost.
    """
    group = _make_group(confinement, place) if place and confinement.may_fork else None
    try:
        yield group
    except BaseException:  # an interrupt too must leave no group behind
        if group is not None:
            group.remove()
        raise


def _make_group(confinement: Confinement, place: Place) -> Group:
    memory_kb = (confinement.limits.memory_mb + confinement.scratch_mb) * 1024
    try:
        return Group(place, memory_kb=memory_kb, tasks=MAXIMUM_TASKS)
    except OSError as error:
        raise EnvironmentLacksError(
            f"a control group cannot be made any more: {error}", hint="Run consilience doctor to see what changed."
        ) from error


def room(confinement: Confinement, *, private: tuple[str, ...] = ()) -> Room:
    """Return where the process may write and how much.

    Args:
        confinement: its folders; its scratch counts as one of the host's unless it is among `private`.
        private: mount points of sized tmpfs that the level gives it.
    """
    scratch = () if confinement.scratch in private else (confinement.scratch,)
    return Room(
        folders=(*confinement.writable, *scratch),
        private=private,
        megabytes=confinement.scratch_mb,
        files=confinement.scratch_files,
    )


def sums(ceiling: Ceiling | None, place: Room, group: Group | None) -> Sums:
    """Return what is kept of the tree as a whole; measures its folders as they are now."""
    return Sums(ceiling=ceiling, gauge=Gauge(place), group=group)


def whole_tree_ceiling(confinement: Confinement) -> Ceiling:
    """Return the limits as sums over a tree; they are soft, for they are checked every 50 ms."""
    limits = confinement.limits
    return Ceiling(limits.memory_mb * 1024, round(limits.cpu_seconds * 1000), MAXIMUM_PROCESSES)
