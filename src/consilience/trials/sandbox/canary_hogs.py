"""Attempts to use up the machine: memory, processes, disk space, files.

Rules:
    1. The standard library only: it runs under the confined interpreter, loaded by `canary_script`.
    2. An attempt has reached something when it holds more than it was given, and still does after a while:
       a watchdog had time to act. Being killed for it is the containment at work.
    3. What an attempt makes, it removes, should it succeed.

Data flow: limits and folders -> an attempt -> what it holds beyond its limits, "" for nothing.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator

_MIB = 1 << 20
_CHUNK = 4 * _MIB
_LONG_ENOUGH = 0.6  # seconds; a dozen turns of a watchdog that looks every 50 ms
_OVER = 2  # times what is allowed
_BOMB = 1200
_MAXIMUM_TASKS = 600  # of one tree: the limit is 512
_TEBIBYTE = 1 << 40
_FOUR = 4


def memory_of_one(places: dict[str, str]) -> str:
    """Hold twice the memory limit in one process."""
    size = _OVER * int(places["memory_mb"])
    try:
        block = bytearray(size * _MIB)
    except MemoryError:
        return ""
    block[:: os.sysconf("SC_PAGE_SIZE")] = b"x" * len(range(0, len(block), os.sysconf("SC_PAGE_SIZE")))
    time.sleep(_LONG_ENOUGH)
    return f"one process held {size} MB"


def memory_of_four(places: dict[str, str]) -> str:
    """Hold three quarters of the memory limit in each of four processes."""
    size = 3 * int(places["memory_mb"]) // 4
    reading, writing = os.pipe()
    children: list[int] = []
    for _ in range(_FOUR):
        children.append(os.fork())
        if children[-1] == 0:
            block = b"x" * (size * _MIB)
            os.write(writing, b"." if block else b"")
            time.sleep(60)
            os._exit(0)
    os.close(writing)
    told = 0
    while told < _FOUR and os.read(reading, 1):
        told += 1
    time.sleep(_LONG_ENOUGH)
    alive = [child for child in children if os.waitpid(child, os.WNOHANG)[0] == 0]
    _end(alive)
    return f"4 processes held {_FOUR * size} MB" if len(alive) == told == _FOUR else ""


def fork_bomb(_places: dict[str, str]) -> str:
    """Hold twice as many processes as a tree may have."""
    children: list[int] = []
    with contextlib.suppress(OSError):
        while len(children) < _BOMB:
            children.append(os.fork())
            if children[-1] == 0:
                time.sleep(60)
                os._exit(0)
    time.sleep(_LONG_ENOUGH)
    _end(children)
    return f"held {len(children)} processes" if len(children) > _MAXIMUM_TASKS else ""


def _end(children: list[int]) -> None:
    for child in children:
        os.kill(child, signal.SIGKILL)
    for child in children:
        os.waitpid(child, 0)


def _folders(places: dict[str, str]) -> Iterator[str]:
    """Yield a folder to fill in each place that might be written."""
    for place in (os.path.dirname(places["file"]), "/tmp", "/dev/shm", "/run", places["work"], places["scratch"]):  # noqa: PTH120, S108
        folder = f"{place}/{places['mark']}"
        try:
            os.mkdir(folder)  # noqa: PTH102
        except OSError:
            continue
        yield folder
        os.rmdir(folder)  # noqa: PTH106


def _fill(folder: str, size: int, at_most: int) -> int:
    """Make files of this size in the folder until it is refused; wait, remove them, and return how many."""
    made = 0
    with contextlib.suppress(OSError):
        while made < at_most:
            with open(f"{folder}/{made}", "wb", buffering=0) as file:  # noqa: PTH123
                made += 1
                if size and file.write(bytes(size)) < size:
                    break
    full = made >= at_most
    time.sleep(_LONG_ENOUGH if full else 0)
    for number in range(made):
        os.unlink(f"{folder}/{number}")  # noqa: PTH108
    return made if full else 0


def disk_fill(places: dict[str, str]) -> str:
    """Write twice the space that was given."""
    wanted = _OVER * int(places["scratch_mb"]) * _MIB // _CHUNK
    for folder in _folders(places):
        if _fill(folder, _CHUNK, wanted):
            return f"wrote {wanted * _CHUNK // _MIB} MB below {os.path.dirname(folder)}"  # noqa: PTH120
    return ""


def hidden_fill(places: dict[str, str]) -> str:
    """Write it into files that are unlinked while open."""
    wanted = _OVER * int(places["scratch_mb"]) * _MIB // _CHUNK
    for folder in _folders(places):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            made = 0
            while made < wanted:
                file = stack.enter_context(open(f"{folder}/hidden", "wb", buffering=0))  # noqa: PTH123
                os.unlink(f"{folder}/hidden")  # noqa: PTH108
                if file.write(bytes(_CHUNK)) < _CHUNK:
                    break
                made += 1
            if made == wanted:
                time.sleep(_LONG_ENOUGH)
                return f"hid {made * _CHUNK // _MIB} MB below {os.path.dirname(folder)}"  # noqa: PTH120
    return ""


def inode_fill(places: dict[str, str]) -> str:
    """Make four times as many empty files as were given."""
    wanted = 4 * int(places["scratch_files"])
    for folder in _folders(places):
        if _fill(folder, 0, wanted):
            return f"made {wanted} files below {os.path.dirname(folder)}"  # noqa: PTH120
    return ""


def sparse_file(places: dict[str, str]) -> str:
    """Make a file that claims a tebibyte."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    for folder in _folders(places):
        name = f"{folder}/sparse"
        with open(name, "wb") as file:  # noqa: PTH123
            with contextlib.suppress(OSError):
                file.truncate(_TEBIBYTE)
            size = os.fstat(file.fileno()).st_size
        os.unlink(name)  # noqa: PTH108
        if size == _TEBIBYTE:
            return f"made a file of 1 TiB below {os.path.dirname(folder)}"  # noqa: PTH120
    return ""


ATTEMPTS = (memory_of_one, memory_of_four, fork_bomb, disk_fill, hidden_fill, inode_fill, sparse_file)
