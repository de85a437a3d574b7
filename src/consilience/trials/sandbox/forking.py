"""How a process that was forked inside a sandbox confines itself further, as the launcher's settings.

Rules:
    1. Everything of the outer sandbox still holds; this only takes away.
    2. What it may write is one folder. It sees, signals and traces nothing but itself: Landlock's scope holds for
       processes outside its own domain, its parent among them.
    3. It may start no process and no other program; threads it may.

Data flow: sandbox's Interpreter, paths inside -> ForkSettings -> the warm process -> each child.
"""

from __future__ import annotations

import platform

from msgspec import Struct

from consilience.trials.sandbox.interpreter import Interpreter
from consilience.trials.sandbox.landlock import DEVICE, DEVICES, OWN_FACTS, READ, SYSTEM_FACTS, WRITE
from consilience.trials.sandbox.seccomp import FilterProfile, build_filter


class ForkSettings(Struct, frozen=True):
    """What each child is confined by, but for resource limits, which are each trial's own.

    Attributes:
        rules: Landlock's rules, whose paths are opened once for all children.
        own_rules: those whose paths mean another place in each process; opened by the child.
        filters: seccomp filters, as hexadecimal text.
    """

    rules: tuple[str, ...]
    own_rules: tuple[str, ...]
    filters: tuple[str, ...]


def fork_settings(interpreter: Interpreter, readable: tuple[str, ...], own: tuple[str, str]) -> ForkSettings:
    """Return the settings.

    Args:
        interpreter: whose files may be read.
        readable: what else may be read.
        own: two folders that each child makes for itself before it is confined: one to read, one to write.
    """
    rules = [(path, READ) for path in (*interpreter.readable, *SYSTEM_FACTS, *readable)]
    rules += [(path, DEVICE) for path in DEVICES]
    program, scratch = own
    profile = FilterProfile(may_fork=False, may_exec=False)
    return ForkSettings(
        rules=tuple(f"{rights}:{path}" for path, rights in rules),
        own_rules=(*(f"{READ}:{path}" for path in (*OWN_FACTS, program)), f"{WRITE}:{scratch}"),
        filters=(build_filter(profile, platform.machine()).hex(),),
    )
