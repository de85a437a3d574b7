"""How a process that was forked inside a sandbox confines itself further, as the launcher's settings.

Rules:
    1. Everything of the outer sandbox still holds; this only takes away.
    2. What it may write is one folder. It sees, signals and traces nothing but itself: Landlock's scope holds for
       processes outside its own domain, its parent among them.
    3. It may start no process and no other program; threads it may.

Data flow: sandbox's Interpreter, paths inside -> settings -> `launcher.limit` in the child.
"""

from __future__ import annotations

import platform
from pathlib import Path

from consilience.trials.sandbox.interpreter import Interpreter
from consilience.trials.sandbox.landlock import DEVICE, DEVICES, READ, SYSTEM_FACTS, WRITE
from consilience.trials.sandbox.seccomp import FilterProfile, build_filter


def fork_settings(interpreter: Interpreter, readable: tuple[str, ...], scratch: str) -> dict[str, list[str]]:
    """Return the settings, but for resource limits, which are each trial's own.

    Args:
        interpreter: whose files may be read.
        readable: what else may be read; need not exist on the host.
        scratch: the folder that may be written; need not exist on the host.
    """
    host = [(path, READ) for path in (*interpreter.readable, *SYSTEM_FACTS)] + [(path, DEVICE) for path in DEVICES]
    rules = [(path, rights) for path, rights in host if Path(path).exists()]
    rules += [*((path, READ) for path in readable), (scratch, WRITE)]
    profile = FilterProfile(may_fork=False, may_exec=False)
    return {
        "with-parent": ["1"],
        "landlock": [f"{rights}:{path}" for path, rights in rules],
        "seccomp": [build_filter(profile, platform.machine()).hex()],
    }
