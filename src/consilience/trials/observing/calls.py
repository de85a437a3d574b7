"""Which system calls are watched, where their paths are, and what refused ones are called.

Rules:
    1. A watched call is one that the sandbox allows and that names a path: it goes on after it was noted.
    2. What the filter refuses needs no entry to be noted; its name here is for people.

Data flow: number and machine -> Watched or a name -> `supervisor`.

Source of the numbers: the kernel's uapi headers, asm/unistd_64.h (x86-64) and asm-generic/unistd.h (arm64).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from consilience.trials.sandbox.seccomp import MACHINES
from consilience.trials.sandbox.syscalls import CALLS

Use = Literal["read", "open", "open_how", "write", "make", "execute"]


class Watched(Struct, frozen=True):
    """A call with a path: what it does to it, which argument is the path, which the folder that it starts from.

    `folder` is None where a relative path starts from the working folder; `flags` is the argument of open's flags.
    """

    use: Use
    path: int
    folder: int | None = None
    flags: int | None = None


WATCHED: Mapping[str, Watched] = {
    "open": Watched("open", 0, None, 1),
    "openat": Watched("open", 1, 0, 2),
    "openat2": Watched("open_how", 1, 0, 2),
    "creat": Watched("write", 0),
    "stat": Watched("read", 0),
    "lstat": Watched("read", 0),
    "newfstatat": Watched("read", 1, 0),
    "statx": Watched("read", 1, 0),
    "access": Watched("read", 0),
    "faccessat": Watched("read", 1, 0),
    "faccessat2": Watched("read", 1, 0),
    "chdir": Watched("read", 0),
    "execve": Watched("execute", 0),
    "execveat": Watched("execute", 1, 0),
    "mkdir": Watched("make", 0),
    "mkdirat": Watched("make", 1, 0),
    "rename": Watched("write", 1),
    "renameat": Watched("write", 3, 2),
    "renameat2": Watched("write", 3, 2),
    "truncate": Watched("write", 0),
}

_REFUSED: Mapping[str, tuple[int | None, int | None]] = {
    "socket": (41, 198),
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "accept": (43, 202),
    "accept4": (288, 242),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "kcmp": (312, 272),
    "shmget": (29, 194),
    "shmctl": (31, 195),
    "shmat": (30, 196),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "mbind": (237, 235),
    "set_mempolicy": (238, 237),
    "move_pages": (279, 239),
    "migrate_pages": (256, 238),
    "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118),
    "sched_setattr": (314, 274),
    "perf_event_open": (298, 241),
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_setup": (206, 0),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "chroot": (161, 51),
    "pivot_root": (155, 41),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "setxattr": (188, 5),
    "fanotify_init": (300, 262),
    "personality": (135, 92),
    "syslog": (103, 116),
    "setuid": (105, 146),
    "setgid": (106, 144),
    "setgroups": (116, 159),
    "modify_ldt": (154, None),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
}


def call_name(number: int, machine: str) -> str:
    """Return a call's name, or its number where it has none here."""
    column = MACHINES.index(machine)
    for table in (CALLS, _REFUSED):
        for name, numbers in table.items():
            if numbers[column] == number:
                return name
    return f"call {number}"
