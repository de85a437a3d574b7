"""Who holds a lease: a process, told apart from any later one that is given its number.

Rules:
    1. A process is its number, its start time, the boot that it lives in and its namespace of process numbers.
    2. A process of another namespace (another container) cannot be seen from here: it counts as alive.
    3. A zombie is dead: it holds nothing any more.

Data flow: /proc -> Owner -> `leases`.

Source: Linux proc_pid_stat(5), proc_sys_kernel(5) for random/boot_id, pid_namespaces(7).
"""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import Struct

from consilience.trials.sandbox.proctree import start_ticks


class Owner(Struct, frozen=True, kw_only=True):
    """One process. `started` is in the kernel's ticks since boot; 0 where it cannot be told."""

    pid: int
    started: int
    boot: str
    namespace: str


def this_process() -> Owner:
    """Return the process that asks."""
    pid = os.getpid()
    return Owner(pid=pid, started=start_ticks(pid) or 0, boot=_boot(), namespace=_namespace())


def is_alive(owner: Owner) -> bool:
    """Tell whether a process may still be there."""
    if owner.boot != _boot():
        return False
    if owner.namespace != _namespace():
        return True
    return start_ticks(owner.pid) == owner.started


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""
