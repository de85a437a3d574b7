"""Seccomp filters as classic BPF, packed with struct: which system calls reach the kernel at all.

Rules:
    1. An allow list: what `syscalls` does not name is refused with EPERM, so that Python raises.
    2. A call newer than the list gets ENOSYS, so that libc falls back to an older one; so does clone3, whose
       flags a filter cannot see. A foreign architecture is killed.
    3. Limits, priority and processors are one's own business: calls that take a process id get 0, oneself.
    4. Nobody takes a lease on a file: it makes everyone else who opens the file wait, outside as well.
    5. Pure: the same profile and machine give the same bytes.

Data flow: FilterProfile -> instructions -> bytes -> bubblewrap's ``--seccomp`` or the launcher's prctl.

Source: Linux Documentation/userspace-api/seccomp_filter.rst, uapi linux/filter.h, linux/seccomp.h, linux/sched.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from functools import cache

from msgspec import Struct

from consilience.trials.sandbox.syscalls import CALLS

MACHINES = ("x86_64", "aarch64")
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

_LOAD_WORD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_JUMP_GREATER = 0x25
_JUMP_AT_LEAST = 0x35
_JUMP_ANY_BIT = 0x45
_AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
_RETURN = 0x06

_ALLOW = 0x7FFF0000
_KILL = 0x80000000
_ASK = 0x7FC00000  # SECCOMP_RET_USER_NOTIF: a listener answers
_ERRNO = 0x00050000
_EPERM = _ERRNO | 1
_ENOSYS = _ERRNO | 38

_NUMBER_AT = 0  # struct seccomp_data: nr, arch, instruction pointer, six arguments
_ARCH_AT = 4
_ARGUMENTS_AT = 16

_CLONE_THREAD = 0x00010000
_CLONE_NAMESPACES = 0x7E020000  # NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
_AF_UNIX = 1
_SOCK_STREAM = 1
_SOCK_TYPE_MASK = 0xF
_AT_EMPTY_PATH = 0x1000
_EMPTY_PATH_FLAGS = {"newfstatat": 3, "statx": 2}  # which argument holds the flags
_TIOCSTI = 0x5412
_TIOCLINUX = 0x541C

_COMMAND_TYPE = 0xFF00  # the letter of an ioctl, uapi asm-generic/ioctl.h
_FILE_COMMANDS = (0x6600, 0x5800, 0x7600)  # "f", "X" and "v": flags, attributes and versions, uapi linux/fs.h
_LEASES = (1024, 1040)  # F_SETLEASE and F_SETDELEG of fcntl, uapi linux/fcntl.h

_PR_SET_PDEATHSIG = 1
_SIGKILL = 9

_CHECKED = frozenset(
    {
        *("clone", "clone3", "fork", "vfork", "execve", "execveat", "socketpair", "ioctl"),
        *("prlimit64", "setpriority", "sched_setaffinity", "prctl", "fcntl"),
    }
)
_MARKS = (
    *("chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "lchown", "fchown", "fchownat"),
    *("utime", "utimes", "utimensat", "futimesat"),
)
"""Calls that change modes, owners and times. Landlock does not govern them (Linux Documentation/userspace-api/
landlock.rst, "Current limitations"), so that a process could change those of every file of its user, and leave
word for the next trial in them."""

Instruction = tuple[int, int, int, int]


class FilterProfile(Struct, frozen=True):
    """What a filter grants beyond the common list: starting processes, and replacing the program."""

    may_fork: bool
    may_exec: bool


def _load(offset: int) -> Instruction:
    return (_LOAD_WORD, 0, 0, offset)


def _return(action: int) -> Instruction:
    return (_RETURN, 0, 0, action)


def _when_number(number: int | None, body: list[Instruction]) -> list[Instruction]:
    """Run `body`, which must return, when the call has this number; skip it otherwise."""
    if number is None:
        return []
    return [(_JUMP_EQUAL, 0, len(body), number), *body]


def _argument(index: int) -> Instruction:
    return _load(_ARGUMENTS_AT + 8 * index)


def _clone_body(profile: FilterProfile) -> list[Instruction]:
    """Never a namespace; without forking only threads."""
    body = [_argument(0), (_JUMP_ANY_BIT, 0, 1, _CLONE_NAMESPACES), _return(_EPERM)]
    if not profile.may_fork:
        body += [(_JUMP_ANY_BIT, 1, 0, _CLONE_THREAD), _return(_EPERM)]
    return [*body, _return(_ALLOW)]


def _socketpair_body() -> list[Instruction]:
    """Connected local streams only: a datagram socket could still send to any named socket."""
    return [
        _argument(0),
        (_JUMP_EQUAL, 1, 0, _AF_UNIX),
        _return(_EPERM),
        _argument(1),
        (_AND, 0, 0, _SOCK_TYPE_MASK),
        (_JUMP_EQUAL, 1, 0, _SOCK_STREAM),
        _return(_EPERM),
        _return(_ALLOW),
    ]


def _refusing_body(index: int, values: Iterable[int]) -> list[Instruction]:
    """Everything but these values of one argument."""
    refused = [part for value in values for part in ((_JUMP_EQUAL, 0, 1, value), _return(_EPERM))]
    return [_argument(index), *refused]


def _ioctl_body(profile: FilterProfile) -> list[Instruction]:
    """Everything but typing into a terminal; for a called candidate, but marks on files too."""
    body = _refusing_body(1, (_TIOCSTI, _TIOCLINUX))
    if not profile.may_fork:
        body += [(_AND, 0, 0, _COMMAND_TYPE), *_refusing_body(1, _FILE_COMMANDS)[1:]]
    return [*body, _return(_ALLOW)]


def _zero_body(*indices: int) -> list[Instruction]:
    """Only with these arguments zero; 32 bits of them, for the kernel reads them as ints."""
    body: list[Instruction] = []
    for index in indices:
        body += [_argument(index), (_JUMP_EQUAL, 1, 0, 0), _return(_EPERM)]
    return [*body, _return(_ALLOW)]


def _prctl_body() -> list[Instruction]:
    """Everything but undoing the order to be killed when the parent dies, without which a tree could outlive us."""
    return [
        _argument(0),
        (_JUMP_EQUAL, 0, 3, _PR_SET_PDEATHSIG),
        _argument(1),
        (_JUMP_EQUAL, 1, 0, _SIGKILL),
        _return(_EPERM),
        _return(_ALLOW),
    ]


def _checked_calls(profile: FilterProfile, column: int) -> Iterator[Instruction]:
    fork, execute = ([_return(_ALLOW if granted else _EPERM)] for granted in (profile.may_fork, profile.may_exec))
    bodies = {
        "clone": _clone_body(profile),
        "clone3": [_return(_ENOSYS)],
        "fork": fork,
        "vfork": fork,
        "execve": execute,
        "execveat": execute,
        "socketpair": _socketpair_body(),
        "ioctl": _ioctl_body(profile),
        "fcntl": [*_refusing_body(1, _LEASES), _return(_ALLOW)],
        "prlimit64": _zero_body(0),
        "setpriority": _zero_body(0, 1),  # PRIO_PROCESS is 0; 0 of PRIO_USER would be every process of the user
        "sched_setaffinity": _zero_body(0),
        "prctl": _prctl_body(),
    }
    if not profile.may_fork:  # whole programs need them: a compiler sets the mode of what it has made
        bodies |= {name: [_return(_EPERM)] for name in _MARKS}
    for name, body in bodies.items():
        yield from _when_number(CALLS[name][column], body)


def _ranges(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Join consecutive numbers, so that the filter has tens of comparisons rather than hundreds."""
    ordered = sorted(numbers)
    low = high = ordered[0]
    for number in ordered[1:]:
        if number != high + 1:
            yield low, high
            low = number
        high = number
    yield low, high


def _plain_calls(column: int) -> Iterator[Instruction]:
    known = [numbers[column] for numbers in CALLS.values()]
    numbers = [numbers[column] for name, numbers in CALLS.items() if name not in _CHECKED]
    for low, high in _ranges(number for number in numbers if number is not None):
        yield (_JUMP_AT_LEAST, 0, 2, low)
        yield (_JUMP_GREATER, 1, 0, high)
        yield _return(_ALLOW)
    yield (_JUMP_GREATER, 0, 1, max(number for number in known if number is not None))
    yield _return(_ENOSYS)


def _head(machine: str) -> list[Instruction]:
    return [_load(_ARCH_AT), (_JUMP_EQUAL, 1, 0, _AUDIT_ARCH[machine]), _return(_KILL), _load(_NUMBER_AT)]


def _pack(instructions: Iterable[Instruction]) -> bytes:
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in instructions)


@cache
def build_filter(profile: FilterProfile, machine: str) -> bytes:
    """Return the filter's ``struct sock_filter`` array.

    Args:
        profile: what is granted beyond the common list.
        machine: `platform.machine()`; one of MACHINES.
    """
    column = MACHINES.index(machine)
    return _pack([*_head(machine), *_checked_calls(profile, column), *_plain_calls(column), _return(_EPERM)])


@cache
def build_observing_filter(profile: FilterProfile, machine: str, watched: tuple[str, ...]) -> bytes:
    """Return a filter that asks its listener where `build_filter` refuses, and about each watched call.

    Args:
        profile: what is granted beyond the common list.
        machine: one of MACHINES.
        watched: calls of the list; those about a file that is open already (AT_EMPTY_PATH) pass unasked.
    """
    column = MACHINES.index(machine)
    asked = [part for name in watched for part in _when_number(CALLS[name][column], _asking_body(name))]
    rest = [*_checked_calls(profile, column), *_plain_calls(column), _return(_EPERM)]
    return _pack([*_head(machine), *asked, *(_return(_ASK) if part == _return(_EPERM) else part for part in rest)])


def _asking_body(name: str) -> list[Instruction]:
    index = _EMPTY_PATH_FLAGS.get(name)
    if index is None:
        return [_return(_ASK)]
    return [_argument(index), (_JUMP_ANY_BIT, 0, 1, _AT_EMPTY_PATH), _return(_ALLOW), _return(_ASK)]


@cache
def build_exec_denial(machine: str) -> bytes:
    """Return a filter that allows everything but replacing the program; for use on top of another."""
    column = MACHINES.index(machine)
    denied = [_return(_EPERM)]
    body = [part for name in ("execve", "execveat") for part in _when_number(CALLS[name][column], denied)]
    return _pack([*_head(machine), *body, _return(_ALLOW)])
