"""The kernel's side of asking: seccomp user notifications, received and answered.

Rules:
    1. What is read of the asking process may have changed by the time the kernel goes on: it serves to inform, and
       never to decide what is safe. What the filter would have refused is refused.
    2. A question whose process has gone is no error.

Data flow: listener descriptor -> `receive` -> Question -> `proceed` or `refuse`.

Source: seccomp_unotify(2); uapi linux/seccomp.h (struct seccomp_notif, seccomp_notif_resp, the ioctls).
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import platform
import struct

from msgspec import Struct

try:
    import fcntl
except ImportError:  # Windows, where nobody watches: `can_ask` says so
    fcntl = None  # type: ignore[assignment]

SECCOMP_CALL = {"x86_64": 317, "aarch64": 277}
_GET_ACTION_AVAILABLE = 2
_USER_NOTIFY = 0x7FC00000
_RECEIVE, _SEND, _STILL_VALID = 0xC0502100, 0xC0182101, 0x40082102
_QUESTION = struct.Struct("=QIIiIQ6Q")  # id, pid, flags, then seccomp_data: nr, arch, instruction pointer, arguments
_ANSWER = struct.Struct("=QqiI")  # id, value, error, flags
_GO_ON = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE, Linux 5.5
_PAGE = mmap.PAGESIZE
LONGEST_PATH = 4096  # PATH_MAX


class Question(Struct, frozen=True):
    """A call that waits for its answer. `pid` is the asking thread's, as this process sees it."""

    id: int
    pid: int
    number: int
    arguments: tuple[int, ...]


def can_ask() -> bool:
    """Tell whether the kernel knows user notifications (Linux 5.0; going on needs 5.5)."""
    number = SECCOMP_CALL.get(platform.machine())
    if number is None or platform.system() != "Linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    action = ctypes.c_uint32(_USER_NOTIFY)
    known = libc.syscall(ctypes.c_long(number), ctypes.c_uint(_GET_ACTION_AVAILABLE), 0, ctypes.byref(action)) == 0
    return known and _release() >= (5, 6)  # 5.6 has openat2, with which `views` looks


def _release() -> tuple[int, int]:
    major, minor, *_ = platform.release().split("-")[0].split(".")
    return int(major), int(minor)


def receive(listener: int) -> Question | None:
    """Take one question; None when its process is gone."""
    buffer = bytearray(_QUESTION.size)
    try:
        fcntl.ioctl(listener, _RECEIVE, buffer)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.EINTR}:
            return None
        raise
    number_id, pid, _flags, number, _arch, _pointer, *arguments = _QUESTION.unpack(buffer)
    return Question(number_id, pid, number, tuple(arguments))


def is_waiting(listener: int, question: Question) -> bool:
    """Tell whether the asking thread is still the one that asked: its memory may be believed then."""
    try:
        fcntl.ioctl(listener, _STILL_VALID, struct.pack("=Q", question.id))
    except OSError:
        return False
    return True


def proceed(listener: int, question: Question) -> None:
    """Let the kernel carry the call out."""
    _answer(listener, _ANSWER.pack(question.id, 0, 0, _GO_ON))


def refuse(listener: int, question: Question) -> None:
    """Let the call fail with EPERM, as the ordinary filter does."""
    _answer(listener, _ANSWER.pack(question.id, 0, -errno.EPERM, 0))


def _answer(listener: int, answer: bytes) -> None:
    try:
        fcntl.ioctl(listener, _SEND, bytearray(answer))
    except OSError as error:
        if error.errno != errno.ENOENT:  # it was killed meanwhile
            raise


def read_memory(pid: int, address: int, size: int) -> bytes:
    """Read memory of the asking process up to `size` bytes; b"" where it cannot be read. Stops at unmapped pages."""
    found = b""
    try:
        memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        while len(found) < size:
            place = address + len(found)
            part = os.pread(memory, min(size - len(found), _PAGE - place % _PAGE), place)
            found += part
            if not part or b"\0" in part:
                break
    except (OSError, OverflowError):  # unmapped, or an address that is none
        return found
    finally:
        os.close(memory)
    return found


def read_text(pid: int, address: int) -> str:
    """Read a NUL-terminated text of the asking process; "" where there is none."""
    data = read_memory(pid, address, LONGEST_PATH)
    return os.fsdecode(data.partition(b"\0")[0]) if b"\0" in data else ""
