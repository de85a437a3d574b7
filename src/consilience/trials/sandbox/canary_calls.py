"""Attempts on other processes, and on parts of the kernel that have often been the way out of a sandbox.

Rules:
    1. The standard library only: it runs under the confined interpreter, loaded by `canary_script`.
    2. Each is aimed at a decoy: a process outside that was started for it, of our user or of the spare user.
    3. A part of the kernel is reached when it answers at all, even if it only refuses the arguments: the
       arguments are impossible on purpose.

Data flow: process ids of decoys -> a system call -> what it reached, "" for nothing.

Source of the numbers: the kernel's uapi headers, asm/unistd_64.h (x86-64) and asm-generic/unistd.h (arm64).
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
from collections.abc import Callable

_ARM = platform.machine() == "aarch64"
_PTRACE, _VM_READ, _IOPRIO_SET = (117, 270, 30) if _ARM else (101, 310, 251)
_BPF, _KEYCTL, _USERFAULTFD, _PERF = (280, 219, 282, 241) if _ARM else (321, 250, 323, 298)
_IO_URING = 425
_ATTACH, _DETACH = 16, 17  # PTRACE_ATTACH, PTRACE_DETACH
_GET_KEYRING, _PROCESS_KEYRING = 0, -2
_IO_PROCESS, _IO_BEST_EFFORT = 1, 2 << 13
_NICE = 1
_PR_SET_PDEATHSIG = 1
_FCNTL = 25 if _ARM else 72
_SET_LEASE, _WRITE_LEASE = 1024, 1  # F_SETLEASE, F_WRLCK
_ANY_FLAGS = 0xFFFFFFFF
_REFUSED = (errno.EPERM, errno.EACCES, errno.ESRCH, errno.ENOSYS)


def _error(number: int, *arguments: int | ctypes.Array[ctypes.c_char] | None) -> int:
    """Make a system call and return its error number, 0 for success."""
    libc = ctypes.CDLL(None, use_errno=True)
    longs = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return ctypes.get_errno() if libc.syscall(ctypes.c_long(number), *longs) == -1 else 0


def _on_a_decoy(places: dict[str, str], action: Callable[[int], object], reached: str) -> str:
    """Try an action on each decoy; tell what was reached on the first that let it."""
    for pid in map(int, places["decoys"].split()):
        try:
            action(pid)
        except OSError:
            continue
        return reached
    return ""


def _raise(code: int) -> None:
    if code:
        raise OSError(code, os.strerror(code))


def trace_outside(places: dict[str, str]) -> str:
    """Attach to a process outside as its debugger (ptrace)."""

    def attach(pid: int) -> None:
        _raise(_error(_PTRACE, _ATTACH, pid, 0, 0))
        os.waitpid(pid, 0)
        _error(_PTRACE, _DETACH, pid, 0, 0)

    return _on_a_decoy(places, attach, "attached to a process outside")


def read_memory_outside(places: dict[str, str]) -> str:
    """Read the memory of a process outside (process_vm_readv). A bad address means that the permission was given."""
    buffer = ctypes.create_string_buffer(8)
    vector = ctypes.create_string_buffer(16)
    ctypes.memmove(vector, (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 8), 16)

    def read(pid: int) -> None:
        code = _error(_VM_READ, pid, vector, 1, vector, 1, 0)
        _raise(code if code != errno.EFAULT else 0)

    return _on_a_decoy(places, read, "may read the memory of a process outside")


def limit_outside(places: dict[str, str]) -> str:
    """Change a resource limit of a process outside."""
    import resource  # noqa: PLC0415 - not on every system that has to import this file

    def limit(pid: int) -> None:
        resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))

    return _on_a_decoy(places, limit, "changed a limit of a process outside")


def renice_outside(places: dict[str, str]) -> str:
    """Change the priority of a process outside, or of its group."""

    def renice(pid: int) -> None:
        try:
            os.setpriority(os.PRIO_PROCESS, pid, _NICE)
        except OSError:
            os.setpriority(os.PRIO_PGRP, pid, _NICE)

    return _on_a_decoy(places, renice, "changed the priority of a process outside")


def pin_outside(places: dict[str, str]) -> str:
    """Choose the processors of a process outside."""
    own = os.sched_getaffinity(0)
    return _on_a_decoy(places, lambda pid: os.sched_setaffinity(pid, own), "chose the processors of a process outside")


def ioprio_outside(places: dict[str, str]) -> str:
    """Change the disk priority of a process outside."""

    def change(pid: int) -> None:
        _raise(_error(_IOPRIO_SET, _IO_PROCESS, pid, _IO_BEST_EFFORT))

    return _on_a_decoy(places, change, "changed the disk priority of a process outside")


def end_with_parent_undone(_places: dict[str, str]) -> str:
    """Undo the order to die with the process that started it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(0), 0, 0, 0) != 0:
        _raise(ctypes.get_errno())
    return "need not die with its parent any more"


def file_lease(places: dict[str, str]) -> str:
    """Take a lease on a file, which makes whoever opens it wait for us."""
    with open(os.environ.get("TMPDIR", places["work"]) + "/leased", "w") as file:  # noqa: PTH123
        _raise(_error(_FCNTL, file.fileno(), _SET_LEASE, _WRITE_LEASE))
    return "took a lease on a file"


def _answers(code: int) -> str:
    if code in _REFUSED:
        return ""
    return f"the kernel answered: {errno.errorcode.get(code, 'done')}"


def io_uring(_places: dict[str, str]) -> str:
    """Reach io_uring, with a ring of no entries."""
    return _answers(_error(_IO_URING, 0, None))


def bpf(_places: dict[str, str]) -> str:
    """Reach bpf, with an unknown command."""
    return _answers(_error(_BPF, _ANY_FLAGS, None, 0))


def keyctl(_places: dict[str, str]) -> str:
    """Reach keyctl: ask for the process keyring."""
    return _answers(_error(_KEYCTL, _GET_KEYRING, _PROCESS_KEYRING, 0))


def userfaultfd(_places: dict[str, str]) -> str:
    """Reach userfaultfd, with every flag."""
    return _answers(_error(_USERFAULTFD, _ANY_FLAGS))


def perf_event_open(_places: dict[str, str]) -> str:
    """Reach perf_event_open, with every flag."""
    return _answers(_error(_PERF, None, 0, -1, -1, _ANY_FLAGS))


ATTEMPTS = (
    trace_outside,
    read_memory_outside,
    limit_outside,
    renice_outside,
    pin_outside,
    ioprio_outside,
    end_with_parent_undone,
    file_lease,
    io_uring,
    bpf,
    keyctl,
    userfaultfd,
    perf_event_open,
)
