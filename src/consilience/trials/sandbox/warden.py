"""A small process between us and a confined tree that has no namespace to die with: it adopts orphans and ends them.

It is a script of its own because adopting orphans (PR_SET_CHILD_SUBREAPER) changes a whole process, and ours
may be somebody's notebook.

Rules:
    1. When the main process ends, whatever it started ends too, however it tried to detach.
    2. When our process dies, the kernel sends SIGTERM and the tree ends.
    3. It reports what the tree used, without itself. Its own environment is empty.

Data flow: orders on a descriptor -> main process -> wait, kill, reap -> report on another descriptor, exit status.
Orders are NUL-separated: number of arguments, arguments, NAME=VALUE...
What leaks: a process that may signal others of its user (level `none` only) can kill the warden first.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_SIGNAL_BASE = 128


def _children(pid: int) -> list[int]:
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - pathlib costs 5 ms of each start
            with open(f"/proc/{pid}/task/{task}/children") as file:  # noqa: PTH123
                found += [int(child) for child in file.read().split()]
    except OSError:
        return found
    return found


def _kill_all() -> None:
    """Kill every descendant once; those that appear meanwhile are met in the next round.

    Process groups go first: the kernel kills one at a stroke, so that it cannot outrun us by forking.
    """
    for pid in _children(os.getpid()):
        try:
            os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    waiting = [os.getpid()]
    while waiting:
        below = _children(waiting.pop())
        waiting += below
        for pid in below:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def _reap_until(main: int) -> int:
    """Reap until the main process has ended, and return its wait status."""
    while True:
        pid, status = os.wait()
        if pid == main:
            return status


def _end_the_rest() -> None:
    while True:
        _kill_all()
        try:
            os.wait()
            while os.waitpid(-1, os.WNOHANG)[0]:  # many at once, or a bomb of thousands takes minutes to sweep up
                pass
        except ChildProcessError:
            return


def _exit_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else _SIGNAL_BASE - code


def _alone(keeper: int) -> bool:
    """Tell whether whoever started us is dead already: its end of the pipe is closed."""
    try:
        return os.read(keeper, 1) == b""
    except BlockingIOError:
        return False


def _watching_us(arguments: list[bytes]) -> list[bytes]:
    """Give the launcher the end of a pipe that reads as ended once we are dead, as one of its settings."""
    reading, _kept_open_by_us = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    os.set_inheritable(reading, True)
    end = arguments.index(b"--")
    return [*arguments[:end], b"keeper=%d" % reading, *arguments[end:]]


def _main(orders: int, report: int, keeper: int) -> None:
    for descriptor in (orders, report, keeper):
        os.set_inheritable(descriptor, False)
    signal.signal(signal.SIGTERM, lambda *_: _kill_all())
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if _alone(keeper):
        os._exit(_SIGNAL_BASE + signal.SIGTERM)
    with os.fdopen(orders, "rb") as file:
        count, *rest = file.read().split(b"\0")
    arguments, entries = _watching_us(rest[: int(count)]), rest[int(count) :]
    environment = dict(entry.split(b"=", 1) for entry in entries if entry)
    main = os.posix_spawn(arguments[0], arguments, environment, setsid=True)
    status = _reap_until(main)
    _end_the_rest()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    os.write(report, f"{round((used.ru_utime + used.ru_stime) * 1000)} {used.ru_maxrss}".encode())
    os._exit(_exit_code(status))


if __name__ == "__main__":
    _main(*map(int, sys.argv[1:4]))
