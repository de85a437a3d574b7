"""What would allow each thing that a trial was denied, or why nothing does.

Rules:
    1. A line is offered only if the loader would take it and a trial could start with it.
    2. What libraries ask for by habit and do without is no denial.

Data flow: Denials + Outcome + LoadedProblem -> `wishes_of` -> Wish for each.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from consilience.core.outcome import Outcome
from consilience.core.ports import LoadedProblem
from consilience.node.grouping import Group, group_folders, group_reads, shown
from consilience.node.places import STATE_NAME
from consilience.problems.granting import is_secret_name, opens_secret, refusal
from consilience.trials.executors.interpreters import child_environment, executable_of
from consilience.trials.executors.interpreters import inspect_interpreter as inspect_modules
from consilience.trials.observing.denials import Denials
from consilience.trials.observing.printed import wanted_modules, wanted_variables
from consilience.trials.sandbox.interpreter import inspect_interpreter

_STARTING = frozenset({"clone", "fork", "vfork", "execve", "execveat"})
_HABITS = frozenset(  # refused in every trial of some libraries, which do without
    {"mbind", "set_mempolicy", "move_pages", "migrate_pages", "sched_setscheduler", "sched_setattr", "io_uring_setup"}
)
_LOCAL = frozenset({"socket (local)", "socket (netlink)"})  # name services and libuv ask, and do without
_ANY_USER = "user"  # whose name it is says nothing about a problem
_DEVICE_FOLDER = "/dev/"
_OURS = Path(__file__).resolve().parents[1]  # a traceback reads the launcher that it passes through


class Wish(Struct, frozen=True, kw_only=True):
    """One thing that was denied. `key` and `value` are what to add to ``[sandbox]``; "" where nothing would help.

    `first` is what has to be done before that, `advice` what to do instead.
    """

    found: str
    key: str = ""
    value: str = ""
    name: str = ""
    advice: str = ""
    first: str = ""


def wishes_of(loaded: LoadedProblem, outcome: Outcome, denials: Denials) -> tuple[Wish, ...]:
    """Return what was denied, each with what would allow it; nothing is named twice."""
    found: dict[tuple[str, str, str], Wish] = {}
    for wish in _all(loaded, outcome, denials):
        named = (wish.key, wish.name, wish.value) if wish.key else ("", "", wish.found)
        found.setdefault(named, wish)
    return tuple(found.values())


def _all(loaded: LoadedProblem, outcome: Outcome, denials: Denials) -> Iterator[Wish]:
    asked = [path for path in denials.read if not Path(os.path.realpath(path)).is_relative_to(_OURS)]
    reads = [_beyond_links(loaded, path) for path in asked]
    devices = [path for path in reads if path.startswith(_DEVICE_FOLDER)]
    written = group_folders((*denials.written, *denials.made))
    groups = group_reads(
        [path for path in reads if path not in devices], written, Path.home(), lambda p: not refusal(p)
    )
    readable = {group.path for group in groups}
    yield from (_to_read(loaded, group) for group in groups)
    yield from (_to_write(loaded, folder, readable) for folder in written)
    yield from (_to_execute(loaded, path) for path in denials.executed)
    yield from (_missing(name) for name in denials.missing)
    if devices:
        yield Wish(found=f"{devices[0]} (a device)", key="gpus", value="1")
    yield from (_variable(name) for name in wanted_variables(outcome.log) if name not in loaded.problem.environment)
    yield from (_module(loaded, name) for name in wanted_modules(outcome.log) if not outcome.ok)
    yield from (_call(name, times) for name, times in denials.calls.items() if _matters(name, outcome))


def _beyond_links(loaded: LoadedProblem, path: str) -> str:
    """Return what a path in a folder in sight leads to: a link out of it needs a grant of its own."""
    granted = any(Path(path).is_relative_to(each) for each in (*loaded.grants.readable, *_installed(loaded)))
    return os.path.realpath(path) if granted else path


def _allowed(loaded: LoadedProblem, path: str) -> str:
    """Return why a path cannot be granted, or ""."""
    return refusal(path) or opens_secret(path, loaded, (loaded.root / STATE_NAME,))


def _to_read(loaded: LoadedProblem, group: Group) -> Wish:
    kind = f"read {group.count} files" if group.count > 1 else "read"
    found = f"{shown(group.path)} ({kind})"
    reason = _allowed(loaded, group.path)
    if reason:
        return Wish(found=found, advice=f"no line allows it: {reason}")
    return Wish(found=found, key="readable", value=shown(group.path))


def _to_write(loaded: LoadedProblem, folder: str, readable: set[str]) -> Wish:
    found = f"{shown(folder)} (written)"
    reason = _allowed(loaded, folder)
    if reason:
        return Wish(found=found, advice=f"no line allows it: {reason}; have the program write below $TMPDIR")
    if any(Path(folder).is_relative_to(each) for each in _installed(loaded)):
        return Wish(found=found, advice="what is installed is read-only: have the program write below $TMPDIR")
    if folder in {*readable, *loaded.grants.readable}:
        return Wish(found=found, advice="it is read too, so it cannot be scratch: have the program write below $TMPDIR")
    above = next((each for each in {*readable, *loaded.grants.readable} if Path(folder).is_relative_to(each)), "")
    place = _there(folder, above) if above else folder
    first = "" if not above or Path(place).is_dir() else f"mkdir -p {shown(folder)} (its place is read-only), then "
    return Wish(found=found, key="scratch", value=shown(place), first=first)


def _there(folder: str, above: str) -> str:
    """Return the nearest folder that exists, strictly below a read-only place: only there can scratch be mounted."""
    inside = [str(each) for each in (Path(folder), *Path(folder).parents) if Path(above) in each.parents]
    return next((each for each in inside if Path(each).is_dir()), folder)


def _installed(loaded: LoadedProblem) -> tuple[str, ...]:
    return inspect_interpreter(executable_of(loaded.interpreter)).readable


def _to_execute(loaded: LoadedProblem, path: str) -> Wish:
    folder = Path(path).parent
    place = str(folder.parent if folder.name == "bin" else folder)
    place = path if _allowed(loaded, place) else place
    reason = _allowed(loaded, place)
    if reason:
        return Wish(found=f"{shown(path)} (started)", advice=f"no line allows it: {reason}")
    return Wish(found=f"{shown(path)} (started)", key="readable", value=shown(place))


def _missing(name: str) -> Wish:
    found = shutil.which(name)
    if found is None:
        return Wish(found=f"program {name}", advice=f"it is not on this machine: install {name} for all users")
    path = child_environment("", "")["PATH"]
    return Wish(
        found=f"program {name}, which this machine has as {shown(found)}",
        key="environment",
        name="PATH",
        value=f"{Path(found).parent}:{path}",
    )


def _variable(name: str) -> Wish:
    found = f"environment variable {name}"
    if is_secret_name(name):
        return Wish(found=found, advice="no line gives a secret to a candidate: fetch beforehand what it is for")
    return Wish(
        found=found, key="environment", name=name, value=_ANY_USER if name == "USER" else os.environ.get(name, "...")
    )


def _module(loaded: LoadedProblem, name: str) -> Wish:
    """Say why a module was not found: it is installed from a folder that is not in sight, or not installed at all."""
    found = f"module {name}"
    python = executable_of(loaded.interpreter)
    for place in inspect_modules(python).path:
        if any(Path(place, file).exists() for file in (name, f"{name}.py")):
            reason = _allowed(loaded, place)
            if reason:
                return Wish(found=found, advice=f"no line allows {shown(place)}, where it is: {reason}")
            return Wish(found=f"{found}, which is in {shown(place)}", key="readable", value=shown(place))
    advice = f"it is not installed for {shown(python)}: install it there, or name another interpreter under [evaluator]"
    return Wish(found=found, advice=advice)


def _matters(name: str, outcome: Outcome) -> bool:
    return name not in _HABITS and (name not in _LOCAL or not outcome.ok)


def _call(name: str, times: int) -> Wish:
    found = f"{name} ({times} times)" if times > 1 else name
    if name.startswith("socket"):
        return Wish(
            found=found, advice="the sandbox has no network: fetch beforehand, and grant the folder as readable"
        )
    if name in _STARTING:
        advice = "a called candidate starts no process: make it a whole program (kind program or command)"
        return Wish(found=f"starting a process ({found})", advice=advice)
    return Wish(found=f"system call {found}", advice="no line allows it: every sandbox refuses it")
