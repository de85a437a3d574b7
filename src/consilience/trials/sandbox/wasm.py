"""Level `wasm`: CPython compiled to WebAssembly, under wasmtime, in a process of its own.

Rules:
    1. It serves Python that is called (kind `function`), with the standard library and nothing else. Whatever
       needs a command, a process or a writable folder is refused with the reason.
    2. The candidate sees its folders, read-only, and the variables it is given. Other calls do not exist there.
    3. The interpreter is CPython-WASI's, not the problem's.

Data flow: Confinement -> orders -> `wasm_runner` -> SingleProcess.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from consilience.core.errors import EnvironmentLacksError
from consilience.core.outcome import IsolationLevel
from consilience.trials.sandbox.command import Command, parse_command
from consilience.trials.sandbox.confinement import Confinement
from consilience.trials.sandbox.interpreter import Interpreter
from consilience.trials.sandbox.single import SingleProcess
from consilience.trials.sandbox.spawn import Streams, require_paths, spawn
from consilience.trials.sandbox.wasm_module import WasmTools, compiled_module, runner_environment, runner_line

STRONGER_LEVEL = "Use level strong or restricted: consilience doctor says what they need."
WALL_GRACE_SECONDS = 5.0  # the recorder ends a trial at its limit; the runner only when nobody did
_OTHERS_MAY_READ = 0o005


class WasmSandbox:
    """Starts CPython-WASI for code that was meant for one interpreter."""

    level: IsolationLevel = "wasm"

    def __init__(self, tools: WasmTools, interpreter: Interpreter, *, cache: Path | None = None) -> None:
        self._tools = tools
        self._interpreter = interpreter
        self._cache = cache

    @property
    def interpreter(self) -> Interpreter:
        """The interpreter that commands are written for; the guest's own takes its place."""
        return self._interpreter

    def start(self, confinement: Confinement, *, stdin: int, stdout: int, stderr: int) -> SingleProcess:
        """Start the guest with three file descriptors and no other.

        Raises:
            EnvironmentLacksError: the confinement asks for what this level lacks, or nothing can be started.
        """
        require_paths(confinement)
        orders = self._orders(confinement, guest_arguments(confinement, self._interpreter.executable))
        process = spawn(
            runner_line(),
            Streams(stdin, stdout, stderr),
            environment=runner_environment(orders),
            folder=confinement.work_dir,
        )
        return SingleProcess(process)

    def _orders(self, confinement: Confinement, argv: tuple[str, ...]) -> dict[str, Any]:
        limits = confinement.limits
        return {
            "wasmtime": self._tools.folder,
            "module": compiled_module(self._tools, self._cache),
            "argv": argv,
            "environment": confinement.environment | confinement.late_environment,
            "folders": guest_folders(confinement),
            "memory_bytes": limits.memory_mb << 20,
            "cpu_seconds": limits.cpu_seconds,
            "wall_seconds": limits.wall_seconds + WALL_GRACE_SECONDS,
            "parent": os.getpid(),
        }


def guest_arguments(confinement: Confinement, interpreter: str) -> tuple[str, ...]:
    """Return the guest's command line: the same code, given as text, started in the same folder.

    Raises:
        EnvironmentLacksError: it is no code for the interpreter, or it may start processes.
    """
    command = parse_command(confinement.argv, interpreter)
    if confinement.may_fork or command.form not in {"code", "script"}:
        raise EnvironmentLacksError(
            f"level wasm calls functions of pure Python; it cannot run {' '.join(confinement.argv[:2])}",
            hint=STRONGER_LEVEL,
        )
    if confinement.devices:
        raise EnvironmentLacksError("level wasm reaches no devices", hint=STRONGER_LEVEL)
    if confinement.own_scratch:
        raise EnvironmentLacksError(
            f"level wasm cannot offer {confinement.own_scratch[0]} as scratch: nothing can be written there",
            hint=STRONGER_LEVEL,
        )
    if confinement.writable:
        raise EnvironmentLacksError(
            f"level wasm has no writable folders, and {confinement.writable[0]} is to be one", hint=STRONGER_LEVEL
        )
    start = f"import os; os.chdir({confinement.work_dir!r}); del os\n{_text(command)}"
    return ("python", *command.options, "-c", start, *command.target[1:])


def _text(command: Command) -> str:
    """Return a statement that runs the code as a text of its own, where `from __future__` may come first."""
    target = command.target[0]
    text, name = (target, "<string>") if command.form == "code" else (Path(target).read_text(encoding="utf-8"), target)
    return f"exec(compile({text!r}, {name!r}, 'exec'))"


def guest_folders(confinement: Confinement) -> list[str]:
    """Return the folders to share, read-only; what is not a folder cannot be shared, but for the script itself.

    Raises:
        EnvironmentLacksError: a single file is to be readable, or the user that root becomes may not read a folder.
    """
    named = dict.fromkeys((*confinement.readable, confinement.work_dir))
    folders = [path for path in named if Path(path).is_dir()]
    others = [path for path in named if path not in folders and path not in confinement.argv]
    if others:
        raise EnvironmentLacksError(f"level wasm shares folders, and {others[0]} is a file", hint=STRONGER_LEVEL)
    if os.getuid() == 0:
        _require_open_folders(folders)
    return folders


def _require_open_folders(folders: list[str]) -> None:
    for path in folders:
        if stat.S_IMODE(Path(path).stat().st_mode) & _OTHERS_MAY_READ != _OTHERS_MAY_READ:
            raise EnvironmentLacksError(
                f"root hands candidates to another user, who may not read {path}",
                hint="Run as an ordinary user, or with a umask of 022.",
            )
