from __future__ import annotations

import struct

import pytest

from consilience.trials.sandbox.seccomp import (
    MACHINES,
    FilterProfile,
    build_exec_denial,
    build_filter,
    build_observing_filter,
)
from consilience.trials.sandbox.syscalls import CALLS

ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
ALLOW, KILL, EPERM, ENOSYS = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026
CALLED = FilterProfile(may_fork=False, may_exec=False)
WHOLE = FilterProfile(may_fork=True, may_exec=True)
THREAD, NEW_USER, NEW_NET = 0x10000, 0x10000000, 0x40000000

MARKS = {
    *("chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "lchown", "fchown", "fchownat"),
    *("utime", "utimes", "utimensat", "futimesat"),
}

# Numbers from the kernel's tables, written down here independently of the product's list.
X86 = {
    "read": 0,
    "socket": 41,
    "connect": 42,
    "bind": 49,
    "accept": 43,
    "listen": 50,
    "ptrace": 101,
    "mount": 165,
    "umount2": 166,
    "pivot_root": 155,
    "chroot": 161,
    "reboot": 169,
    "init_module": 175,
    "finit_module": 313,
    "delete_module": 176,
    "kexec_load": 246,
    "add_key": 248,
    "request_key": 249,
    "keyctl": 250,
    "unshare": 272,
    "setns": 308,
    "perf_event_open": 298,
    "open_by_handle_at": 304,
    "process_vm_readv": 310,
    "process_vm_writev": 311,
    "memfd_create": 319,
    "bpf": 321,
    "userfaultfd": 323,
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "pidfd_getfd": 438,
    "personality": 135,
    "shmget": 29,
    "msgget": 68,
    "mq_open": 240,
    "process_madvise": 440,
}
ARM = {
    "read": 63,
    "socket": 198,
    "connect": 203,
    "bind": 200,
    "ptrace": 117,
    "mount": 40,
    "unshare": 97,
    "setns": 268,
    "bpf": 280,
    "perf_event_open": 241,
    "keyctl": 219,
    "userfaultfd": 282,
    "process_vm_readv": 270,
    "io_uring_setup": 425,
    "init_module": 105,
    "kexec_load": 104,
    "memfd_create": 279,
    "shmget": 194,
}


def run(code: bytes, machine: str, number: int, arguments: tuple[int, ...] = (), *, arch: int | None = None) -> int:
    """Interpret classic BPF over one struct seccomp_data, as the kernel would."""
    padded = (*arguments, *[0] * (6 - len(arguments)))
    data = struct.pack("<IIQ6Q", number, ARCH[machine] if arch is None else arch, 0, *padded)
    program = list(struct.iter_unpack("<HBBI", code))
    accumulator = counter = 0
    while True:
        operation, on_true, on_false, value = program[counter]
        counter += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, value)
        elif operation == 0x54:
            accumulator &= value
        elif operation == 0x06:
            return int(value)
        else:
            taken = {
                0x15: accumulator == value,
                0x25: accumulator > value,
                0x35: accumulator >= value,
                0x45: bool(accumulator & value),
            }[operation]
            counter += on_true if taken else on_false


@pytest.mark.parametrize("profile", [CALLED, WHOLE])
@pytest.mark.parametrize(("machine", "numbers"), [("x86_64", X86), ("aarch64", ARM)])
def test_dangerous_calls_are_refused_and_read_is_not(
    profile: FilterProfile, machine: str, numbers: dict[str, int]
) -> None:
    code = build_filter(profile, machine)
    results = {name: run(code, machine, number) for name, number in numbers.items()}
    assert results.pop("read") == ALLOW
    assert set(results.values()) == {EPERM}


@pytest.mark.parametrize("machine", MACHINES)
def test_every_plain_call_is_allowed_and_its_neighbours_only_if_listed(machine: str) -> None:
    column = MACHINES.index(machine)
    checked = {
        *("clone", "clone3", "fork", "vfork", "execve", "execveat", "socketpair", "ioctl"),
        *("prlimit64", "setpriority", "sched_setaffinity", "prctl", "fcntl"),
        *MARKS,
    }
    listed = {numbers[column] for name, numbers in CALLS.items() if name not in checked}
    special = {CALLS[name][column] for name in checked}
    code = build_filter(CALLED, machine)
    top = max(number for number in listed | special if number is not None)
    for number in range(top + 1):
        if number not in special:
            assert run(code, machine, number) == (ALLOW if number in listed else EPERM), number
    assert run(code, machine, top + 1) == ENOSYS


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("profile", [CALLED, WHOLE])
def test_foreign_architecture_is_killed(machine: str, profile: FilterProfile) -> None:
    for code in (build_filter(profile, machine), build_exec_denial(machine)):
        assert run(code, machine, 0, arch=0x40000003) == KILL


def test_x32_numbers_do_not_slip_through() -> None:
    assert run(build_filter(WHOLE, "x86_64"), "x86_64", 0x40000000 + 41) == ENOSYS


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("profile", "flags", "expected"),
    [
        (CALLED, THREAD | 0xF00, ALLOW),
        (CALLED, 17, EPERM),
        (CALLED, THREAD | NEW_NET, EPERM),
        (WHOLE, 17, ALLOW),
        (WHOLE, 17 | NEW_USER, EPERM),
        (WHOLE, THREAD, ALLOW),
    ],
)
def test_clone_flags(machine: str, profile: FilterProfile, flags: int, expected: int) -> None:
    number = CALLS["clone"][MACHINES.index(machine)]
    assert number is not None
    assert run(build_filter(profile, machine), machine, number, (flags,)) == expected


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("family", "kind", "expected"),
    [(1, 1, ALLOW), (1, 1 | 0o2000000, ALLOW), (1, 2, EPERM), (1, 5, EPERM), (2, 1, EPERM)],
)
def test_only_connected_local_streams(machine: str, family: int, kind: int, expected: int) -> None:
    number = CALLS["socketpair"][MACHINES.index(machine)]
    assert number is not None
    assert run(build_filter(CALLED, machine), machine, number, (family, kind)) == expected


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("profile", [CALLED, WHOLE])
@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("prlimit64", (0, 7), ALLOW),
        ("prlimit64", (1, 7), EPERM),
        ("setpriority", (0, 0, 5), ALLOW),
        ("setpriority", (0, 4711, 5), EPERM),
        ("setpriority", (1, 0, 5), EPERM),
        ("setpriority", (2, 0, 5), EPERM),
        ("sched_setaffinity", (0,), ALLOW),
        ("sched_setaffinity", (4711,), EPERM),
        ("prctl", (1, 9), ALLOW),
        ("prctl", (1, 0), EPERM),
        ("prctl", (1, 15), EPERM),
        ("prctl", (15, 0), ALLOW),
        ("fcntl", (5, 4), ALLOW),
        ("fcntl", (5, 1024, 1), EPERM),
        ("fcntl", (5, 1040, 1), EPERM),
        ("ioctl", (5, 0x541B), ALLOW),
        ("ioctl", (5, 0x5412), EPERM),
        ("ioctl", (5, 0x541C), EPERM),
    ],
)
def test_a_process_manages_itself_only_and_stays_bound_to_its_parent(
    machine: str, profile: FilterProfile, name: str, arguments: tuple[int, ...], expected: int
) -> None:
    number = CALLS[name][MACHINES.index(machine)]
    assert number is not None
    assert run(build_filter(profile, machine), machine, number, arguments) == expected


@pytest.mark.parametrize(("request_", "expected"), [(0x5412, EPERM), (0x541C, EPERM), (0x5413, ALLOW), (0x5401, ALLOW)])
def test_typing_into_a_terminal_is_refused(request_: int, expected: int) -> None:
    assert run(build_filter(WHOLE, "x86_64"), "x86_64", 16, (0, request_)) == expected


@pytest.mark.parametrize(("name", "number"), [("fork", 57), ("vfork", 58), ("execve", 59), ("execveat", 322)])
def test_processes_and_programs_follow_the_profile(name: str, number: int) -> None:
    assert CALLS[name][0] == number
    assert run(build_filter(CALLED, "x86_64"), "x86_64", number) == EPERM
    assert run(build_filter(WHOLE, "x86_64"), "x86_64", number) == ALLOW
    assert run(build_filter(WHOLE, "x86_64"), "x86_64", 435) == ENOSYS


def test_exec_denial_denies_that_and_nothing_else() -> None:
    code = build_exec_denial("x86_64")
    assert {number for number in range(500) if run(code, "x86_64", number) != ALLOW} == {59, 322}


def test_jumps_stay_inside_the_program() -> None:
    for machine in MACHINES:
        program = list(struct.iter_unpack("<HBBI", build_filter(CALLED, machine)))
        assert len(program) < 4096
        for index, (operation, on_true, on_false, _value) in enumerate(program):
            if operation in {0x15, 0x25, 0x35, 0x45}:
                assert index + 1 + max(on_true, on_false) < len(program)
        assert program[-1][0] == 0x06


@pytest.mark.parametrize("name", sorted(MARKS))
@pytest.mark.parametrize("machine", MACHINES)
def test_a_called_candidate_changes_no_modes_owners_or_times(machine: str, name: str) -> None:
    number = CALLS[name][MACHINES.index(machine)]
    if number is not None:
        assert run(build_filter(CALLED, machine), machine, number) == EPERM
        assert run(build_filter(WHOLE, machine), machine, number) == ALLOW


ASK = 0x7FC00000
WATCHED_HERE = ("openat", "newfstatat", "statx", "execve")


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("profile", [CALLED, WHOLE])
def test_the_observing_filter_asks_where_the_other_refuses(machine: str, profile: FilterProfile) -> None:
    column = MACHINES.index(machine)
    watched = {CALLS[name][column] for name in WATCHED_HERE}
    plain, observing = build_filter(profile, machine), build_observing_filter(profile, machine, WATCHED_HERE)
    for number in range(1000):
        for arguments in ((0,) * 6, (17,), (THREAD,), (1, 1), (2, 2), (0, 0x5412)):
            before, now = run(plain, machine, number, arguments), run(observing, machine, number, arguments)
            assert now == (ASK if before == EPERM or number in watched else before), number


@pytest.mark.parametrize("machine", MACHINES)
def test_a_file_that_is_open_is_not_asked_about(machine: str) -> None:
    column = MACHINES.index(machine)
    observing = build_observing_filter(CALLED, machine, WATCHED_HERE)
    for name, flags in (("newfstatat", (3, 0, 0, 0x1000)), ("statx", (3, 0, 0x1000))):
        number = CALLS[name][column]
        assert number is not None
        assert run(observing, machine, number, flags) == ALLOW


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("command", [0x40086602, 0x401C5820, 0x40087602, 0x80086601])
def test_a_called_candidate_leaves_no_flags_on_files(machine: str, command: int) -> None:
    number = CALLS["ioctl"][MACHINES.index(machine)]
    assert number is not None
    assert run(build_filter(CALLED, machine), machine, number, (5, command)) == EPERM
    assert run(build_filter(WHOLE, machine), machine, number, (5, command)) == ALLOW
