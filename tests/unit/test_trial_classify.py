"""Why a process ended badly."""

from __future__ import annotations

import errno
import signal

import pytest

from consilience.core.problem import Limits
from consilience.trials.executors.classify import capped, ended_badly, last_line, raised
from consilience.trials.executors.logs import LOG_CHARACTERS, joined_log
from consilience.trials.sandbox.confinement import Exit

LIMITS = Limits(wall_seconds=10, cpu_seconds=2, memory_mb=100)


def exited(code: int = 0, number: int = 0, cpu_ms: int = 10, memory_kb: int = 1000) -> Exit:
    return Exit(code=code, signal=number, cpu_ms=cpu_ms, memory_kb=memory_kb)


@pytest.mark.parametrize(
    ("exit_", "log", "reason"),
    [
        (exited(number=signal.SIGXCPU), "", "cpu_limit"),
        (exited(number=signal.SIGKILL, cpu_ms=1990), "", "cpu_limit"),
        (exited(number=signal.SIGKILL, cpu_ms=1700), "", "cpu_limit"),
        (exited(number=signal.SIGKILL, cpu_ms=1000), "", "crash"),
        (exited(code=128 + signal.SIGXCPU), "", "cpu_limit"),
        (exited(number=signal.SIGKILL, memory_kb=99 * 1024), "", "memory"),
        (exited(number=signal.SIGSEGV, memory_kb=99 * 1024), "", "memory"),
        (exited(code=1), "Traceback ...\nMemoryError\n", "memory"),
        (exited(code=1), "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 8 GiB\n", "memory"),
        (exited(number=signal.SIGABRT), "terminate called\n  what():  std::bad_alloc\n", "memory"),
        (exited(number=signal.SIGSYS), "", "violation"),
        (exited(code=1), "PermissionError: [Errno 1] Operation not permitted\n", "violation"),
        (exited(code=1), "OSError: [Errno 30] Read-only file system: '/etc/x'\n", "violation"),
        (exited(code=1), "ValueError: boom\n", "crash"),
        (exited(code=1), "I printed PermissionError: in passing, then more\n", "crash"),
        (exited(number=signal.SIGKILL), "", "crash"),
        (exited(number=signal.SIGSEGV), "", "crash"),
        (exited(code=0), "", "crash"),
    ],
)
def test_reasons(exit_: Exit, log: str, reason: str) -> None:
    failure = ended_badly(exit_, LIMITS, log)
    assert failure.reason == reason, failure


def test_our_own_size_is_not_taken_for_the_childs() -> None:
    ours = Exit(code=0, signal=signal.SIGSEGV, cpu_ms=10, memory_kb=99 * 1024, inherited_kb=99 * 1024)
    assert ended_badly(ours, LIMITS, "").reason == "crash"


def test_a_crash_names_signal_or_code_and_the_last_words() -> None:
    assert ended_badly(exited(number=signal.SIGSEGV), LIMITS, "").message == "killed by SIGSEGV"
    message = ended_badly(exited(code=3), LIMITS, "first\nValueError: boom\n\n").message
    assert message == "ended with exit code 3; last line: ValueError: boom"


@pytest.mark.parametrize(
    ("type_", "number", "reason"),
    [
        ("ValueError", 0, "crash"),
        ("MemoryError", 0, "memory"),
        ("OSError", errno.ENOMEM, "memory"),
        ("PermissionError", errno.EPERM, "violation"),
        ("OSError", errno.EROFS, "violation"),
        ("OSError", errno.ENOENT, "crash"),
    ],
)
def test_reported_exceptions(type_: str, number: int, reason: str) -> None:
    assert raised(type_, number, "text").reason == reason


def test_text_is_capped() -> None:
    assert len(capped("x" * 10_000)) == 500
    assert last_line("a\nb\n  \n") == "b"
    assert len(joined_log({"candidate": "x" * 10**6, "evaluator": "y" * 10**6})) <= LOG_CHARACTERS + 50
    assert joined_log({"candidate": " \n", "evaluator": "words\n"}) == "[evaluator]\nwords\n"


def test_a_tree_that_was_ended_for_its_memory_says_so_however_large_we_are_ourselves() -> None:
    ended = Exit(code=0, signal=9, cpu_ms=10, memory_kb=600_000, inherited_kb=900_000, overran="memory")
    assert ended_badly(ended, Limits(memory_mb=512), "").reason == "memory"
