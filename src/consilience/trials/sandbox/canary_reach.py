"""Attempts to reach what lies outside a sandbox: files, sockets, signals, other processes' secrets, new powers.

Rules:
    1. The standard library only: it runs under the confined interpreter, loaded by `canary_script`.
    2. Each attempt succeeds on a machine without a sandbox, so that "held" means something.
    3. An attempt that fails says so by raising OSError; anything else is a broken canary and fails the probe.

Data flow: where the canaries are -> an attempt -> what it reached, "" for nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import time

_CLONE_NEWUSER = 0x10000000
_ESCAPED = 7


def read_outside(places: dict[str, str]) -> str:
    """Read a file outside."""
    with open(places["file"]) as file:  # noqa: PTH123
        return file.read()


def write_outside(places: dict[str, str]) -> str:
    """Write a file outside."""
    with open(places["file"] + ".written", "w") as file:  # noqa: PTH123
        file.write("x")
    return "wrote a file"


def mark_outside(places: dict[str, str]) -> str:
    """Change the times of a file outside, which needs no right to open it."""
    os.utime(places["file"])
    return "changed the times of a file"


def _connect(family: int, kind: int, address: str | tuple[str, int]) -> str:
    with socket.socket(family, kind) as connection:
        connection.settimeout(1)
        connection.connect(address)
        connection.send(b"canary")
    return f"sent to {address!r}"


def tcp_loopback(places: dict[str, str]) -> str:
    """Reach a listening TCP socket of the host."""
    return _connect(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", int(places["tcp"])))


def udp_loopback(places: dict[str, str]) -> str:
    """Reach a bound UDP socket of the host."""
    _connect(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", int(places["udp"])))
    time.sleep(0.02)
    return "sent; the listener tells whether it arrived"


def unix_abstract(places: dict[str, str]) -> str:
    """Reach an abstract local socket of the host."""
    return _connect(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + places["abstract"])


def unix_pathname(places: dict[str, str]) -> str:
    """Reach a named local socket of the host."""
    return _connect(socket.AF_UNIX, socket.SOCK_STREAM, places["socket"])


def signal_outside(places: dict[str, str]) -> str:
    """Ask whether a signal may be sent to a process outside."""
    os.kill(int(places["pid"]), 0)
    return "may signal a process outside"


def find_process(places: dict[str, str]) -> str:
    """See that a process outside exists, by how a signal to it is refused."""
    for pid in map(int, places["decoys"].split()):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            continue
        except PermissionError:
            return "a process outside was seen"
        return "a process outside was seen"
    return ""


def foreign_environment(places: dict[str, str]) -> str:
    """Read the environment of another process, pid 1 and the parent above all."""
    names = ["1", str(os.getppid()), places["pid"]]
    with contextlib.suppress(OSError):
        names += os.listdir("/proc")  # noqa: PTH208
    for name in names:
        if name.isdigit() and int(name) != os.getpid():
            try:
                with open(f"/proc/{name}/environ", "rb") as file:  # noqa: PTH123
                    if file.read(1):
                        return f"read the environment of process {name}"
            except OSError:
                continue
    return ""


def inherited_environment(places: dict[str, str]) -> str:
    """Find a variable that was not given."""
    given = {"CANARY", "LC_CTYPE"}
    with open("/proc/self/environ", "rb") as file:  # noqa: PTH123
        names = {entry.split(b"=")[0].decode() for entry in file.read().split(b"\0") if entry}
    extra = (names | set(os.environ)) - given - {"PWD"}
    return "" if not extra and os.environ["CANARY"] == places["mark"] else f"found {sorted(extra)}"


def foreign_descriptors(_places: dict[str, str]) -> str:
    """Find an open descriptor beyond the three that were given."""
    extra = []
    for number in range(3, 256):
        try:
            os.fstat(number)
        except OSError:
            continue
        extra.append(number)
    return f"found descriptors {extra}" if extra else ""


def kernel_settings(_places: dict[str, str]) -> str:
    """Open the machine's settings for writing, such as core_pattern."""
    for path in ("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/sysrq-trigger"):
        with contextlib.suppress(OSError):
            os.close(os.open(path, os.O_WRONLY))
            return f"may write {path}"
    return ""


def nested_user_namespace(_places: dict[str, str]) -> str:
    """Make a user namespace, the usual first step into the kernel."""
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    return "made a user namespace"


def fork_denied(_places: dict[str, str]) -> str:
    """Start a process where none is allowed."""
    child = os.fork()
    if child == 0:
        os._exit(_ESCAPED)
    os.waitpid(child, 0)
    return "started a process"


def exec_denied(_places: dict[str, str]) -> str:
    """Replace the program where that is not allowed. Comes last: the new program prints the leak."""
    os.execv("/bin/echo", ["echo", '["exec_denied", "replaced the program"]'])  # noqa: S606
    return ""


ATTEMPTS = (
    read_outside,
    write_outside,
    mark_outside,
    tcp_loopback,
    udp_loopback,
    unix_abstract,
    unix_pathname,
    signal_outside,
    foreign_environment,
    inherited_environment,
    foreign_descriptors,
    kernel_settings,
    nested_user_namespace,
    fork_denied,
    exec_denied,
)

STATED = (find_process,)  # of the full set only: reached at a level that is worth having all the same
