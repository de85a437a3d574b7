"""What is done when we are real root: candidates never run with root's powers over this machine.

Rules:
    1. Real root is user 0 with every id of the machine: root inside a user namespace is none.
    2. Level `none`: a user namespace in which root is a nobody without capabilities; it keeps root's files, for
       that is what the level means. Where namespaces are refused, the spare user; else nothing runs.
    3. Level `restricted`: always the spare user. Level `strong` has a namespace of its own.

Data flow: Confinement -> settings for the launcher, folders handed over.

Source: user_namespaces(7), capabilities(7). CVE-2019-5736 is what a root that is confined by less has done.
"""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

from consilience.core.errors import EnvironmentLacksError, IsolationError
from consilience.trials.sandbox.command import LAUNCHER
from consilience.trials.sandbox.confinement import Confinement
from consilience.trials.sandbox.interpreter import Interpreter

SPARE_USER = 65534
_ALL_IDS = ["0", "0", "4294967295"]
_OTHERS_MAY_ENTER = 0o001
_TRY_SECONDS = 20


@cache
def is_real_root() -> bool:
    """Tell whether this process is user 0 of the machine itself."""
    if os.getuid() != 0:
        return False
    try:
        return Path("/proc/self/uid_map").read_text().split() == _ALL_IDS
    except OSError:
        return True  # no user namespaces in this kernel


def without_root(confinement: Confinement, interpreter: Interpreter) -> tuple[str, ...]:
    """Return the launcher's settings that take root's powers from the process, and prepare its folders.

    Raises:
        IsolationError: neither a user namespace nor the spare user can be had.
        EnvironmentLacksError: the spare user cannot reach a path of the confinement.
    """
    if namespaces_work(interpreter.executable):
        return ("userns=1",)
    barred = barred_from(interpreter)
    if barred:
        raise IsolationError(
            "root may not run a candidate as itself: this machine refuses user namespaces, and "
            f"user {SPARE_USER} may not enter {barred}, where the interpreter is",
            hint="Run as an ordinary user, or with an interpreter that every user may read, such as /usr/bin/python3.",
        )
    hand_over(confinement)
    return (f"uid={SPARE_USER}",)


@cache
def namespaces_work(interpreter: str) -> bool:
    """Tell whether a process of this interpreter gets into a user namespace, by trying it."""
    line = [interpreter, "-I", "-S", LAUNCHER, "userns=1", "--", "code", "pass"]
    try:
        done = subprocess.run(line, capture_output=True, env={}, timeout=_TRY_SECONDS, check=False)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def barred_from(interpreter: Interpreter) -> str:
    """Return the first folder that keeps the spare user from the interpreter, or ""."""
    return next(filter(None, (unreachable(path) for path in interpreter.readable)), "")


def unreachable(path: str) -> str:
    """Return the first folder on the way to `path` that the spare user may not enter, or ""."""
    for folder in reversed(Path(path).resolve().parents):
        if not folder.stat().st_mode & _OTHERS_MAY_ENTER:
            return str(folder)
    return ""


def hand_over(confinement: Confinement) -> None:
    """Check that the spare user gets to every path, and give it the folders that it is to write."""
    folders = (*confinement.writable, confinement.scratch)
    for path in (*confinement.readable, *folders, confinement.work_dir):
        barred = unreachable(path)
        if barred:
            raise EnvironmentLacksError(
                f"the sandbox runs as user {SPARE_USER}, who may not enter {barred} on the way to {path}",
                hint=f"Run as an ordinary user, or: chmod o+x {barred}",
            )
    for top in folders:
        os.chown(top, SPARE_USER, SPARE_USER)
        for parent, names, files in os.walk(top):
            for name in (*names, *files):
                os.chown(Path(parent, name), SPARE_USER, SPARE_USER, follow_symlinks=False)
