"""Runs inside the sandbox, in the confined interpreter: sets the last limits on itself, then becomes the target.

Rules:
    1. The standard library only, few imports, none of this package: it may run under another Python.
    2. Limits are set before the first line of the target runs, in the order rlimits, user, Landlock, seccomp.
    3. A limit that cannot be set ends the process with code 125 and a line on stderr.

Data flow: ``launcher.py KEY=VALUE... -- FORM TARGET ARGUMENT...`` -> limits -> script, code, module or exec.
Keys: ``rlimit`` NUMBER:VALUE, ``uid`` NUMBER, ``landlock`` RIGHTS:PATH, ``seccomp`` HEX, ``unset`` NAME,
``with-parent`` 1 (die with it), ``env`` NAME=VALUE (for the target only), ``observe`` DESCRIPTOR:NUMBER:HEX (a
filter whose listener is sent through this socket; NUMBER is that of the seccomp call),
``userns`` 1 (become a nobody without capabilities in a user namespace),
``keeper`` DESCRIPTOR (of a pipe: stop if its other end is closed, else close it), ``session`` 1 (start one).
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FAILED = 125

_PR_SET_PDEATHSIG, _SIGKILL = 1, 9
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
_SECCOMP_SET_MODE_FILTER, _SECCOMP_NEW_LISTENER = 1, 8
_PR_SET_NO_NEW_PRIVS = 38
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same numbers on every architecture
_ALL_FILE_RIGHTS = 0xFFFF  # bits 0 to 15: every filesystem right of Landlock's ABI 5 and later
_RIGHTS_ON_A_FILE = 0xC007  # those that the kernel accepts for a path that is not a folder
_TCP_BIND_AND_CONNECT = 3
_SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS = 3
_PATH_BENEATH = 1
_BYTES_OF_AN_INSTRUCTION = 8
_TYPE_BITS, _FOLDER = 0o170000, 0o040000  # of a file's mode
_SEARCH_PATH = "PYTHONPATH="
_CLONE_NEWUSER = 0x10000000
_NOBODY = 65534  # inside; outside it stays the user that it was
_CAPABILITIES = 0x20080522  # _LINUX_CAPABILITY_VERSION_3: two words each of effective, permitted, inheritable

_MADE: list[Any] = []

# Imports below stay inside functions: each process pays only for what it was asked to do.


def _set_rlimits(pairs: list[str]) -> None:
    import resource  # noqa: PLC0415

    for pair in pairs:
        number, value = map(int, pair.split(":"))
        _soft, hard = resource.getrlimit(number)
        amount = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(number, (amount, amount))


def _become(uid: int) -> None:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def _leave_root_behind() -> None:
    """Enter a user namespace as a nobody and give up every capability that comes with it."""
    import struct  # noqa: PLC0415

    user, group = os.getuid(), os.getgid()
    os.setgroups([])
    _libc("unshare", _CLONE_NEWUSER)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{_NOBODY} {user} 1"), ("gid_map", f"{_NOBODY} {group} 1")):
        with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123
            file.write(text)
    _libc("capset", struct.pack("=Ii", _CAPABILITIES, 0), bytes(24))


def _machinery() -> list[Any]:
    """Return [classes of a long and of a function, the loaded library, functions by name]; made once.

    Of `_ctypes`, the part of ctypes that is written in C: ctypes itself costs 3.6 ms of each start.
    """
    if not _MADE:
        import _ctypes  # noqa: PLC0415

        class Long(_ctypes._SimpleCData):  # type: ignore[type-arg]  # noqa: SLF001 - all of it is private
            _type_ = "l"

        class Int(_ctypes._SimpleCData):  # type: ignore[type-arg]  # noqa: SLF001
            _type_ = "i"

        class Function(_ctypes.CFuncPtr):
            _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO
            _restype_ = Int

        library = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]  # what the process has loaded
        _MADE.extend([Long, Function, lambda name: _ctypes.dlsym(library, name), {}])
    return _MADE


def _libc(name: str, *arguments: object) -> int:
    """Call a function of the C library; integers go as longs, bytes as pointers."""
    import _ctypes  # noqa: PLC0415

    long, function, find, known = _machinery()
    if name not in known:
        known[name] = function(find(name))
    result: int = known[name](*[long(value) if isinstance(value, int) else value for value in arguments])
    if result == -1:
        code = _ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def _stop_if_orphaned(keeper: int) -> None:
    """Stop where our starter is dead already: it was too early for the order to die with it."""
    try:
        orphaned = os.read(keeper, 1) == b""
    except BlockingIOError:
        orphaned = False
    if orphaned:
        os._exit(FAILED)
    os.close(keeper)


def _call(number: int, *arguments: object) -> int:
    return _libc("syscall", number, *arguments)


def _prctl(option: int, *arguments: object) -> None:
    _libc("prctl", option, *arguments, *[0] * (4 - len(arguments)))


def open_rules(rules: list[str]) -> list[tuple[int, int]]:
    """Open what each rule RIGHTS:PATH names; returns (rights, descriptor). What is not there gives no rule."""
    opened = []
    for rule in rules:
        rights, path = rule.split(":", 1)
        try:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # it cannot be reached either: leaving a rule out takes away and gives nothing
        folder = (os.fstat(descriptor).st_mode & _TYPE_BITS) == _FOLDER
        opened.append((int(rights) if folder else int(rights) & _RIGHTS_ON_A_FILE, descriptor))
    return opened


def enter_ruleset(opened: list[tuple[int, int]]) -> None:
    """Restrict this process to what was opened, for good, by Landlock; the descriptors are closed here."""
    import struct  # noqa: PLC0415

    handled = struct.pack("=QQQ", _ALL_FILE_RIGHTS, _TCP_BIND_AND_CONNECT, _SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS)
    ruleset = _call(_CREATE_RULESET, handled, len(handled), 0)
    for rights, descriptor in opened:
        _call(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, descriptor), 0)
        os.close(descriptor)
    _call(_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def make_program(instructions: bytes) -> Any:
    """Return a ``struct sock_fprog`` over packed instructions."""
    import _ctypes  # noqa: PLC0415

    class Length(_ctypes._SimpleCData):  # type: ignore[type-arg]  # noqa: SLF001
        _type_ = "H"

    class Filter(_ctypes._SimpleCData):  # type: ignore[type-arg]  # noqa: SLF001
        _type_ = "z"

    class Program(_ctypes.Structure):
        _fields_ = (("length", Length), ("filter", Filter))

    return Program(len(instructions) // _BYTES_OF_AN_INSTRUCTION, instructions)


def enter_filter(program: Any) -> None:
    """Put a seccomp filter on this process, for good."""
    import _ctypes  # noqa: PLC0415

    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, _ctypes.byref(program))


def _send_listener(order: str) -> None:
    """Put on the filter that asks a listener, and hand the listener to who waits at the other end of the socket."""
    import _ctypes  # noqa: PLC0415
    import socket  # noqa: PLC0415

    descriptor, number, instructions = order.split(":")
    program = make_program(bytes.fromhex(instructions))
    channel = socket.socket(fileno=int(descriptor))
    listener = _call(int(number), _SECCOMP_SET_MODE_FILTER, _SECCOMP_NEW_LISTENER, _ctypes.byref(program))
    socket.send_fds(channel, [b"listener"], [listener])
    os.close(listener)
    channel.close()


def _give(variables: list[str]) -> None:
    """Set the problem's own variables; a search path for modules counts at once, as if it had been there before."""
    for variable in variables:
        name, _, value = variable.partition("=")
        os.environ[name] = value
    added = next((variable for variable in variables if variable.startswith(_SEARCH_PATH)), "")[len(_SEARCH_PATH) :]
    if added and not sys.flags.ignore_environment:
        sys.path[:0] = [os.path.abspath(place) for place in added.split(":") if place]  # noqa: PTH100


def limit(settings: dict[str, list[str]]) -> None:
    """Set every limit that the settings name on this process, for good."""
    for name in settings.get("unset", []):
        os.environ.pop(name, None)
    _set_rlimits(settings.get("rlimit", []))
    _change_user(settings)
    if "landlock" in settings or "seccomp" in settings:
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    if "landlock" in settings:
        enter_ruleset(open_rules(settings["landlock"]))
    for instructions in settings.get("seccomp", []):
        enter_filter(make_program(bytes.fromhex(instructions)))
    for order in settings.get("observe", []):
        _send_listener(order)
    if "env" in settings:
        _give(settings["env"])


def _change_user(settings: dict[str, list[str]]) -> None:
    """Become who the settings say, and see to it that we end with our starter."""
    for uid in settings.get("uid", []):
        _become(int(uid))
    if "userns" in settings:
        _leave_root_behind()
    if "with-parent" in settings:  # after the user, for changing it forgets this
        _prctl(_PR_SET_PDEATHSIG, _SIGKILL)
    if "session" in settings:
        os.setsid()
    for keeper in settings.get("keeper", []):
        _stop_if_orphaned(int(keeper))


def _parse(arguments: list[str]) -> tuple[dict[str, list[str]], str, list[str]]:
    end = arguments.index("--")
    settings: dict[str, list[str]] = {}
    for argument in arguments[:end]:
        key, value = argument.split("=", 1)
        settings.setdefault(key, []).append(value)
    return settings, arguments[end + 1], arguments[end + 2 :]


def _fresh_main(file: str | None) -> dict[str, object]:
    """Empty ``__main__`` of this launcher's own names, so that the target finds the module it expects."""
    names = sys.modules["__main__"].__dict__
    for name in [name for name in names if name not in {"__name__", "__builtins__", "__loader__"}]:
        del names[name]
    names.update(__doc__=None, __package__=None, __spec__=None)
    if file is not None:
        names["__file__"] = file
    return names


def _become_target(form: str, target: list[str], first_path: list[str]) -> None:
    if form == "exec":
        os.execv(target[0], target)  # noqa: S606 - the command was chosen by the caller, not by a shell
    if form == "module":
        import runpy  # noqa: PLC0415

        sys.argv = target
        sys.path[:0] = [os.getcwd()] if first_path else []  # noqa: PTH109
        runpy.run_module(target[0], run_name="__main__", alter_sys=True)
    elif form == "code":
        sys.argv = ["-c", *target[1:]]
        sys.path[:0] = [""] if first_path else []
        exec(compile(target[0], "<string>", "exec"), _fresh_main(None))  # noqa: S102 - running it is the purpose
    else:
        sys.argv = target
        sys.path[:0] = [os.path.dirname(target[0])] if first_path else []  # noqa: PTH120
        with open(target[0], "rb") as file:  # noqa: PTH123
            source = file.read()
        exec(compile(source, target[0], "exec"), _fresh_main(target[0]))  # noqa: S102


def _run() -> None:
    isolated = sys.flags.isolated or getattr(sys.flags, "safe_path", False)
    first_path = [] if isolated else [sys.path.pop(0)]
    settings, form, target = _parse(sys.argv[1:])
    try:
        limit(settings)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"the confinement could not be completed: {error}\n")
        sys.stderr.flush()
        os._exit(FAILED)
    _become_target(form, target, first_path)


if __name__ == "__main__":
    _run()
