"""Runs inside CPython-WASI: the canaries of every level, and those that only this level has.

Rules:
    1. The standard library only. It is given the texts of the shared scripts, which it runs as modules.
    2. What does not exist there is held, and says so: "no such call". Any other exception is a broken canary, which
       gives no answer and so fails the probe.

Data flow: JSON in argv[1] (places, texts of the shared scripts) -> attempts -> [name, reached, detail] for each.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ABSENT = "no such call"
_ABSENT_MODULES = ("ctypes", "fcntl", "resource", "mmap", "termios", "multiprocessing.shared_memory")


class _Absent(types.ModuleType):
    """Stands in for a module that WASI does not have: every use of it is refused."""

    def __getattr__(self, name: str) -> object:
        raise OSError(_ABSENT)


def environment_given(places: dict[str, str]) -> str:
    """Find a variable that was not given."""
    extra = set(os.environ) - {"CANARY"}
    return "" if not extra and os.environ["CANARY"] == places["mark"] else f"found {sorted(extra)}"


def write_own_folder(places: dict[str, str]) -> str:
    """Write into the folder that was given, which is read-only."""
    with open(os.path.join(places["work"], "written"), "w") as file:  # noqa: PTH118, PTH123
        file.write("x")
    return "wrote a file"


def climb_out(places: dict[str, str]) -> str:
    """Leave the given folder by its parent."""
    with open(os.path.join(places["work"], "..", "outside", "secret")) as file:  # noqa: PTH118, PTH123
        return file.read()


def follow_link(places: dict[str, str]) -> str:
    """Leave the given folder by a link in it."""
    with open(os.path.join(places["work"], "link")) as file:  # noqa: PTH118, PTH123
        return file.read()


def list_root(_places: dict[str, str]) -> str:
    """Look at the host's top folder."""
    return f"found {os.listdir('/')}"  # noqa: PTH208


def thread_started(_places: dict[str, str]) -> str:
    """Start a thread, which could work on between calls."""
    import _thread  # noqa: PLC0415 - one attempt's own

    try:
        _thread.start_new_thread(list, ())
    except RuntimeError as error:
        raise OSError(str(error)) from error
    return "started a thread"


def foreign_descriptors(places: dict[str, str]) -> str:
    """Find a descriptor beyond the three streams, the given folder and the module's own library.

    WASI shows each shared folder as a descriptor; the files inside the module are on no device.
    """
    own, extra = os.stat(places["work"]), []  # noqa: PTH116
    for number in range(3, 256):
        try:
            found = os.fstat(number)
        except OSError:
            continue
        if not os.path.samestat(found, own) and (found.st_dev, found.st_nlink) != (0, 0):
            extra.append(number)
    return f"found descriptors {extra}" if extra else ""


OWN_ATTEMPTS = (
    environment_given,
    write_own_folder,
    climb_out,
    follow_link,
    list_root,
    thread_started,
    foreign_descriptors,
)


def shared_attempts(texts: dict[str, str]) -> tuple[Any, ...]:
    """Return the attempts of the shared scripts, but for those that this level makes in its own way."""
    for name in _ABSENT_MODULES:
        try:
            importlib.import_module(name)
        except ImportError:
            sys.modules[name] = _Absent(name)
    own = {attempt.__name__ for attempt in OWN_ATTEMPTS}
    found = (attempt for name, text in texts.items() for attempt in _module(name, text).ATTEMPTS)
    return tuple(attempt for attempt in found if attempt.__name__ not in own)


def _module(name: str, text: str) -> Any:
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(text, name, "exec"), module.__dict__)  # noqa: S102 - our own script, given as text
    return module


def tried(attempt: Any, places: dict[str, str]) -> tuple[str, str]:
    """Return what an attempt reached, and why it reached nothing."""
    try:
        return attempt(places), ""
    except OSError as error:
        return "", str(error)
    except AttributeError as error:
        if isinstance(error.obj, types.ModuleType):
            return "", _ABSENT
        raise


def main() -> None:
    """Print what each attempt reached, one JSON triple a line."""
    given = json.loads(sys.argv[1])
    for attempt in (*OWN_ATTEMPTS, *shared_attempts(given["scripts"])):
        reached, detail = tried(attempt, given["places"])
        print(json.dumps([attempt.__name__, reached, detail]), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
