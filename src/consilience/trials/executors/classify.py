"""Why a process ended badly: exit code, signal, use and last words -> a Failure.

Rules:
    1. The recorder's measurements decide first, the child's words last.
    2. Messages are capped; they may hold untrusted text. They name limits, not measurements, so that the same
       failure reads the same in each run.

Data flow: Exit, Limits and log tail -> `ended_badly` -> Failure.
"""

from __future__ import annotations

import errno
import re
import signal

from consilience.core.outcome import Failure, FailureReason
from consilience.core.problem import Limits
from consilience.core.untrusted import LINE_CHARACTERS, cap
from consilience.trials.sandbox.confinement import Exit

SHELL_SIGNAL_BASE = 128  # shells and sandboxes report a child's signal n as exit code 128 + n
LAST_SIGNAL = 64
NEAR_MEMORY = 0.9  # a killed process that used this share of its memory was killed for it
NEAR_CPU = 0.7  # the kernel enforces by ticks: 0.88 of the exact time was seen with three trials on two cores

_OVERRUNS = {
    "processes": "killed for starting more processes than a trial may have",
    "room": "killed for writing more, or more files, than it was given room for",
}
_REFUSED = (errno.EPERM, errno.EACCES, errno.EROFS)
_OUT_OF_MEMORY_TEXT = "std::bad_alloc"  # how C++ libraries end where memory is refused
_LAST_ERROR = re.compile(r"^(?:[\w.]+\.)?(\w*(?:Error|Exception|Exit|Interrupt|Warning))(?::\s*(.*))?$")
_ERRNO = re.compile(r"\[Errno (\d+)\]")


def ended_badly(exit_: Exit, limits: Limits, log: str) -> Failure:
    """Say why a process ended without doing what it was asked for.

    Args:
        exit_: how it ended, with what its whole tree used.
        limits: what it was allowed.
        log: the tail of what it printed.
    """
    number = signal_of(exit_)
    if exit_.overran in _OVERRUNS:
        return Failure(reason="violation", message=_OVERRUNS[exit_.overran])
    if number == signal.SIGXCPU or (number == signal.SIGKILL and exit_.cpu_ms >= NEAR_CPU * 1000 * limits.cpu_seconds):
        return Failure(reason="cpu_limit", message=f"used up its {limits.cpu_seconds:g} s of CPU time")
    near_memory = exit_.memory_kb >= NEAR_MEMORY * 1024 * limits.memory_mb
    if exit_.overran == "memory" or (number and near_memory and exit_.memory_kb > exit_.inherited_kb):
        message = f"killed by {signal_name(number)} at its limit of {limits.memory_mb} MB"
        return Failure(reason="memory", message=message)
    if number == signal.SIGSYS:
        return Failure(reason="violation", message="made a system call that the sandbox forbids (SIGSYS)")
    end = f"killed by {signal_name(number)}" if number else f"ended with exit code {exit_.code}"
    return _by_last_words(end, last_line(log))


def raised(type_: str, number: int, message: str) -> Failure:
    """Say what an exception that a child reported means."""
    text = capped(f"{type_}: {message}" if message else type_)
    return Failure(reason=reason_of(type_, number), message=text)


def reason_of(type_: str, number: int) -> FailureReason:
    """Tell memory and refused actions from other exceptions."""
    if type_.endswith("MemoryError") or number == errno.ENOMEM:  # NumPy's is _ArrayMemoryError
        return "memory"
    if type_ == "PermissionError" or number in _REFUSED:
        return "violation"
    return "crash"


def signal_of(exit_: Exit) -> int:
    """Return the signal that ended it, or 0; an exit code of 128 + n counts as signal n."""
    passed_on = exit_.code - SHELL_SIGNAL_BASE
    return exit_.signal or (passed_on if 0 < passed_on <= LAST_SIGNAL else 0)


def signal_name(number: int) -> str:
    """Return the name of a signal, such as SIGKILL."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def last_line(log: str) -> str:
    """Return the last line that is not blank."""
    return next((line.strip() for line in reversed(log.splitlines()) if line.strip()), "")


def capped(text: str) -> str:
    """Return a failure's message within the cap of one line."""
    return cap(text, LINE_CHARACTERS)


def _by_last_words(end: str, words: str) -> Failure:
    found = _LAST_ERROR.match(words)
    number = _ERRNO.search(words)
    reason = reason_of(found[1], int(number[1]) if number else 0) if found else "crash"
    reason = "memory" if _OUT_OF_MEMORY_TEXT in words else reason
    return Failure(reason=reason, message=capped(f"{end}; last line: {words}" if words else end))
