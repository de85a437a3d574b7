"""Finds the strongest level that this machine can enforce, by running the canaries at each.

Rules:
    1. The first level, from the strongest down, whose canaries all held is the level; nothing else is.
    2. A level that failed says why and how to mend it.
    3. A cached answer holds for one boot, user, interpreter, set of tools, control groups or none, and version of
       this package.

Data flow: interpreter + Tools -> a sandbox for each level -> canaries -> Probe -> (cache) -> Sandbox.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from consilience.core.canonical import hash_value
from consilience.core.errors import EnvironmentLacksError, IsolationError
from consilience.core.outcome import LEVEL_RANK, IsolationLevel
from consilience.core.version import version
from consilience.trials.sandbox.bubblewrap import BubblewrapSandbox
from consilience.trials.sandbox.canaries import Canary, run_canaries
from consilience.trials.sandbox.cgroups import usable_place
from consilience.trials.sandbox.confinement import Sandbox
from consilience.trials.sandbox.interpreter import Interpreter, inspect_interpreter
from consilience.trials.sandbox.landlock import REQUIRED_ABI, LandlockSandbox
from consilience.trials.sandbox.mends import UNSAFE_MEND, mend_for
from consilience.trials.sandbox.plain import PlainSandbox
from consilience.trials.sandbox.root import barred_from
from consilience.trials.sandbox.seccomp import MACHINES
from consilience.trials.sandbox.tools import Tools, find_tools
from consilience.trials.sandbox.wasm import WasmSandbox
from consilience.trials.sandbox.wasm_canaries import run_wasm_canaries
from consilience.trials.sandbox.wasm_module import WasmTools, compiled_module

_NOT_ON_WINDOWS = "the recorder's pipes and the journal's locks are made for Unix"

TreeLimits = Literal["hard", "soft"]


class LevelReport(Struct, frozen=True, kw_only=True):
    """One attempt at a level.

    `tool` is the bubblewrap used, `wasm` what level `wasm` used; `reason` and `mend` are "" where it held. `trees`
    says who keeps the memory and number of processes of a whole tree: the kernel (`hard`), or a watchdog that looks
    every 50 ms (`soft`).
    """

    level: IsolationLevel
    tool: str = ""
    wasm: WasmTools = WasmTools()
    canaries: tuple[Canary, ...] = ()
    reason: str = ""
    mend: str = ""
    trees: TreeLimits = "soft"

    @property
    def held(self) -> bool:
        """Tell whether the level was proved."""
        return not self.reason


class Probe(Struct, frozen=True, kw_only=True):
    """The level that was proved, and a report on each attempt, from the strongest down."""

    level: IsolationLevel
    interpreter: str
    reports: tuple[LevelReport, ...]


def probe_sandboxes(interpreter: str, *, tools: Tools | None = None, every: bool = False) -> Probe:
    """Run the canaries at each level until one holds.

    Args:
        interpreter: absolute path of the Python that will run confined.
        tools: what to try; the default is what is found on this machine.
        every: try the weaker levels too, for a full report.

    Raises:
        EnvironmentLacksError: the interpreter does not start even without a sandbox.
    """
    inspected = inspect_interpreter(interpreter)
    reports: list[LevelReport] = []
    for report in _attempts(inspected, tools or find_tools()):
        reports.append(report)
        if report.held and not every:
            break
    proved: IsolationLevel = next((report.level for report in reports if report.held), "none")
    return Probe(level=proved, interpreter=interpreter, reports=tuple(reports))


def strongest_sandbox(interpreter: str, *, cache_dir: Path | None = None, tools: Tools | None = None) -> Sandbox:
    """Return the strongest sandbox whose canaries all held; at worst one of level `none`.

    Args:
        interpreter: absolute path of the Python that will run confined.
        cache_dir: where an earlier probe's answer is kept; None probes each time.
        tools: what to try; the default is what is found on this machine.
    """
    return open_sandbox(cached_probe(interpreter, cache_dir=cache_dir, tools=tools))


def open_sandbox(probe: Probe) -> Sandbox:
    """Return the sandbox that a probe proved."""
    inspected = inspect_interpreter(probe.interpreter)
    held = next((report for report in probe.reports if report.held), None)
    if held is None:
        return unsafe_sandbox(probe.interpreter)
    if held.level == "wasm":
        compiled_module(held.wasm)  # which takes seconds where the cache has been emptied: not in a trial's time
        return WasmSandbox(held.wasm, inspected)
    place = usable_place()
    if held.level == "strong":
        return BubblewrapSandbox(held.tool, inspected, place)
    return LandlockSandbox(inspected, place)


def unsafe_sandbox(interpreter: str) -> Sandbox:
    """Return level `none`, for a user who asked for it by name.

    Raises:
        EnvironmentLacksError: not on Linux: nothing there ends what a program starts.
    """
    if platform.system() != "Linux":
        raise EnvironmentLacksError(
            f"programs without a sandbox are not run on {platform.system()}: their descendants could not be found",
            hint=mend_for("wasm", Tools()),
        )
    return PlainSandbox(inspect_interpreter(interpreter), usable_place())


def sandbox_of(level: IsolationLevel, interpreter: str, *, trees: TreeLimits = "hard") -> Sandbox:
    """Return a sandbox of a level without proving anything, to run the full set of canaries in it.

    Args:
        level: which; not `wasm`.
        interpreter: absolute path of the Python that will run confined.
        trees: `soft` leaves the control groups out.

    Raises:
        IsolationError: the machine lacks what the level is made of.
    """
    tools, inspected = find_tools(), inspect_interpreter(interpreter)
    place = usable_place() if trees == "hard" else None
    if level == "none":
        return PlainSandbox(inspected, place)
    if level == "strong" and tools.bubblewrap:
        return BubblewrapSandbox(tools.bubblewrap[0], inspected, place)
    reason = "bubblewrap is not installed" if level == "strong" else _restricted_lacks(inspected, tools)
    if reason or level != "restricted":
        raise IsolationError(f"there is no level {level} here: {reason}", hint=mend_for(level, tools))
    return LandlockSandbox(inspected, place)


def cached_probe(interpreter: str, *, cache_dir: Path | None = None, tools: Tools | None = None) -> Probe:
    """Probe, or return the earlier answer for the same boot, user, interpreter, tools and version.

    A cache that cannot be read or written is no error: the machine is probed again.
    """
    tools = tools or find_tools()
    if cache_dir is None:
        return probe_sandboxes(interpreter, tools=tools)
    file = cache_dir / f"sandbox-{_cache_key(interpreter, tools)}.json"
    try:
        return msgspec.json.decode(file.read_bytes(), type=Probe)
    except (OSError, msgspec.DecodeError):
        probe = probe_sandboxes(interpreter, tools=tools)
    _keep(file, msgspec.json.encode(probe))
    return probe


def require_level(probe: Probe, minimum: IsolationLevel) -> None:
    """Refuse to go on below a level.

    Raises:
        IsolationError: the proved level is lower; says why each better level failed and how to mend it.
    """
    if LEVEL_RANK[probe.level] >= LEVEL_RANK[minimum]:
        return
    failed = [report for report in probe.reports if not report.held and LEVEL_RANK[report.level] >= LEVEL_RANK[minimum]]
    reasons = "; ".join(f"{report.level}: {report.reason}" for report in failed)
    mends = dict.fromkeys(report.mend for report in failed if report.mend)
    raise IsolationError(
        f"this machine enforces isolation level {probe.level!r}, the policy demands {minimum!r} ({reasons})",
        hint=" ".join([*mends, UNSAFE_MEND]),
    )


def _attempts(interpreter: Interpreter, tools: Tools) -> Iterator[LevelReport]:
    yield from _native_attempts(interpreter, tools)
    yield _wasm_attempt(interpreter, tools)


def _native_attempts(interpreter: Interpreter, tools: Tools) -> Iterator[LevelReport]:
    if platform.system() != "Linux" or platform.machine() not in MACHINES:
        here = f"{platform.system()} on {platform.machine()}"
        yield _failed("strong", f"there is no sandbox of the system's own for {here}", tools)
        return
    for binary in tools.bubblewrap:
        yield _attempt(BubblewrapSandbox(binary, interpreter, usable_place()), interpreter, tools, binary)
    if not tools.bubblewrap:
        yield _failed("strong", "bubblewrap is not installed", tools)
    reason = _restricted_lacks(interpreter, tools)
    if reason:
        yield _failed("restricted", reason, tools)
    else:
        yield _attempt(LandlockSandbox(interpreter, usable_place()), interpreter, tools)


def _wasm_attempt(interpreter: Interpreter, tools: Tools) -> LevelReport:
    if platform.system() == "Windows":
        return LevelReport(level="wasm", reason=_NOT_ON_WINDOWS, mend="Run consilience in WSL 2, which is a Linux.")
    if tools.wasm.lacks:
        return _failed("wasm", tools.wasm.lacks, tools)
    try:
        canaries = run_wasm_canaries(WasmSandbox(tools.wasm, interpreter), interpreter.executable)
    except EnvironmentLacksError as error:
        return LevelReport(level="wasm", reason=error.message, mend=error.hint)
    reason = _lost(canaries)
    mend = mend_for("wasm", tools) if reason else ""
    return LevelReport(level="wasm", wasm=tools.wasm, canaries=canaries, reason=reason, mend=mend)


def _attempt(sandbox: Sandbox, interpreter: Interpreter, tools: Tools, binary: str = "") -> LevelReport:
    try:
        canaries = run_canaries(sandbox, interpreter.executable)
    except EnvironmentLacksError as error:
        return _failed(sandbox.level, error.message, tools)
    reason = _lost(canaries)
    mend = mend_for(sandbox.level, tools) if reason else ""
    return LevelReport(level=sandbox.level, tool=binary, canaries=canaries, reason=reason, mend=mend, trees=_trees())


def _trees() -> TreeLimits:
    return "soft" if usable_place() is None else "hard"


def _lost(canaries: tuple[Canary, ...]) -> str:
    """Name the first canary that did not hold and count the rest; "" where all held."""
    lost = [f"{canary.name} ({canary.detail})" for canary in canaries if not canary.held]
    return f"canaries did not hold: {lost[0]}" + (f" and {len(lost) - 1} more" if lost[1:] else "") if lost else ""


def _failed(level: IsolationLevel, reason: str, tools: Tools) -> LevelReport:
    return LevelReport(level=level, reason=reason, mend=mend_for(level, tools))


def _restricted_lacks(interpreter: Interpreter, tools: Tools) -> str:
    if tools.landlock_abi < REQUIRED_ABI:
        return f"Landlock ABI {REQUIRED_ABI} is needed, this kernel has {tools.landlock_abi or 'none'}"
    if os.getuid() == 0:
        barred = barred_from(interpreter)
        if barred:
            return f"root must become another user, who may not enter {barred}, where the interpreter is"
    return ""


def _cache_key(interpreter: str, tools: Tools) -> str:
    boot = Path("/proc/sys/kernel/random/boot_id")
    return hash_value(
        {
            "boot": boot.read_text().strip() if boot.exists() else "",
            "tools": tools,
            "binaries": [[path, _modified(path)] for path in tools.bubblewrap],
            "interpreter": inspect_interpreter(interpreter),
            "package": version(),
            "code": max(file.stat().st_mtime_ns // 1_000_000 for file in Path(__file__).parent.glob("*.py")),
            "user": os.getuid() if hasattr(os, "getuid") else -1,
            "trees": _trees(),
            "wasm": _modified(tools.wasm.python),
        }
    )[:32]


def _modified(path: str) -> int:
    return Path(path).stat().st_mtime_ns // 1_000_000 if Path(path).is_file() else 0


def _keep(file: Path, data: bytes) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_suffix(f".{os.getpid()}")
        temporary.write_bytes(data)
        temporary.replace(file)
    except OSError:
        return
