"""Every module imports where Linux's and Unix's own parts are absent; what needs them says so when it is used.

The parts are taken away in a process of its own. No other system has been run.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

TAKE_AWAY = """
import os, pkgutil, importlib, select, signal, socket, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

for name in {names!r}:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Absent())
import ctypes, multiprocessing, platformdirs, subprocess, tempfile, numpy, libcst, click, rich, cmaes
for module, gone in {gone!r}.items():
    for name in gone:
        if hasattr(sys.modules[module], name):
            delattr(sys.modules[module], name)
import consilience
SCRIPTS = ("harness_", "warden", "launcher", "__main__", "pool", "digits", "testing")
found = [each.name for each in pkgutil.walk_packages(consilience.__path__, "consilience.")]
for name in found:
    if not any(script in name for script in SCRIPTS):
        importlib.import_module(name)
"""
LINUX_ONLY = {"os": ["pidfd_open", "memfd_create", "pipe2", "setns", "unshare"], "signal": ["SIGPWR"]}
UNIX_ONLY = {
    "os": [*LINUX_ONLY["os"], "getuid", "geteuid", "wait4", "killpg", "setsid", "fork", "sysconf", "getppid", "pread"],
    "select": ["poll", "epoll"],
    "signal": ["SIGKILL", "SIGXCPU", "SIGSTOP", "SIGCONT"],
    "socket": ["AF_UNIX"],
}


def run(names: tuple[str, ...], gone: dict[str, list[str]], then: str = "") -> subprocess.CompletedProcess[str]:
    script = TAKE_AWAY.format(names=names, gone=gone) + textwrap.dedent(then)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize(
    ("names", "gone"),
    [((), LINUX_ONLY), (("fcntl", "resource", "pwd", "grp", "termios"), UNIX_ONLY)],
    ids=["as on macOS", "as on Windows"],
)
def test_every_module_imports(names: tuple[str, ...], gone: dict[str, list[str]]) -> None:
    done = run(names, gone)
    assert done.returncode == 0, done.stderr


def test_a_journal_without_locks_is_refused_with_a_way_out(tmp_path: Path) -> None:
    then = f"""
        from pathlib import Path
        from consilience.core.errors import EnvironmentLacksError
        from consilience.journal.device import WriterLock
        try:
            WriterLock(Path({str(tmp_path / "lock")!r}))
        except EnvironmentLacksError as error:
            print(error.hint)
    """
    done = run(("fcntl",), {}, then)
    assert "WSL 2" in done.stdout, done.stderr
