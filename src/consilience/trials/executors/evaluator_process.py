"""The evaluator's process of a split trial: trusted code of the problem's owner, kept warm.

Rules:
    1. It has a folder of its own, in which the support files lie and data files are linked; that is its cwd.
    2. It has a clean environment and never sees the candidate's files, nor the candidate its.
    3. It is started when first needed, and again after it was ended; a failed trial ends it.
    4. The holdout's files are in the folder of a process that was started for the holdout, and in no other.

Data flow: LoadedProblem -> folder, process -> {ready} -> requests and answers, by the pump.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from consilience.core.outcome import Failure
from consilience.core.ports import LoadedProblem
from consilience.trials.executors import folders, interpreters
from consilience.trials.executors.arrays import ArrayHeader, check_arrays, encode_frame, with_arrays
from consilience.trials.executors.child import Child, line_channel
from consilience.trials.executors.classify import capped, ended_badly
from consilience.trials.executors.grants import home_links
from consilience.trials.executors.messages import NotPlainError, decode_line
from consilience.trials.executors.pipes import Lines, Pump
from consilience.trials.executors.trusted import start_trusted
from consilience.trials.harness import script_arguments
from consilience.trials.sandbox.confinement import ConfinedProcess, Exit
from consilience.trials.sandbox.spawn import make_links

START_SECONDS = 120.0  # imports of heavy libraries from a cold disk
LINE_KB = 64 * 1024  # arguments for a candidate may be large; the owner's code is trusted with our memory
ARGUMENTS_KB = 1024 * 1024  # with arrays
MEMORY_FACTOR = 4  # the evaluator may use this many times the candidate's memory, and at least:
MEMORY_LEAST_MB = 8192
EXCHANGE = ".exchange"  # in its folder


PACKAGE = Path(__file__).resolve().parents[2]
"""The folder of the package `consilience`: its helpers are found there by interpreters that lack the package."""


class Report(Struct, frozen=True, kw_only=True):
    """One line from the evaluator."""

    op: Literal["ready", "call", "reference", "metrics", "invalid", "candidate_error", "error"]
    name: str = ""
    to: int = 0
    source: str = ""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    metrics: dict[str, float] = {}
    non_finite: list[str] = []
    message: str = ""
    error: dict[str, Any] = {}
    cpu_ms: int = 0
    memory_kb: int = 0
    body: int = 0
    arrays: list[ArrayHeader] = []


class ArrayReport(Report, frozen=True, kw_only=True):
    """A call with arrays among its arguments, whose bytes were checked."""

    raw: bytes


class EvaluatorProcess:
    """The warm evaluator of one problem, or the one that scores on its holdout."""

    def __init__(self, loaded: LoadedProblem, work_dir: Path, pump: Pump, *, holdout: bool = False) -> None:
        self._loaded = loaded
        self._holdout = holdout
        self._whole = loaded.problem.evaluator.kind == "program"
        self._work_dir = work_dir
        self._folder = work_dir
        self._pump = pump
        self._child: Child | None = None
        self.cpu_ms = 0  # used by the present process up to its last report

    @property
    def folder(self) -> Path:
        """Where its files lie at present."""
        return self._folder

    @property
    def exchange(self) -> Path:
        """Where it and the recorder leave files for each other: a whole program's inputs and outputs."""
        return self._folder / EXCHANGE

    @property
    def answers(self) -> Lines:
        """Its channel."""
        lines = self._running.answers
        assert isinstance(lines, Lines)  # noqa: S101 - `_start` makes it so; for the type checker
        return lines

    @property
    def ended(self) -> bool:
        """Tell whether its process is gone."""
        return self._running.ended

    def ready(self) -> Failure | None:
        """Start it if it does not run, and wait until its imports are done."""
        if self._alive():
            self._running.log.reset()
            return None
        self.stop()
        self._start()
        if not self._pump.run(lambda: self.answers.settled or self.ended, time.monotonic() + START_SECONDS):
            return Failure(reason="evaluator_timeout", message=f"the evaluator did not load in {START_SECONDS:g} s")
        report = self.report()
        if isinstance(report, Failure):
            return report
        self.cpu_ms = 0  # what the start took is charged to the trial that needed it: budgets are totals
        return None if report.op == "ready" else own_error(report)

    def send(self, message: dict[str, Any]) -> None:
        """Send it a message, with its arrays if it has any."""
        self._running.inbox.put(encode_frame(message))

    def report(self) -> Report | Failure:
        """Return the line that it has sent, or say why there is none."""
        frame = self.answers.take_frame()
        if frame is None and not self.answers.overflow:
            return self._gone()
        if frame is None or self.answers.overflow:
            most = f"a line of over {LINE_KB} kB, or over {ARGUMENTS_KB} kB with arrays"
            return Failure(reason="invalid_output", message=f"the evaluator sent {most}")
        try:
            return _report(*frame)
        except NotPlainError as error:
            return Failure(reason="invalid_output", message=capped(f"the evaluator sent no valid line: {error}"))

    def log(self) -> str:
        """Return the tail of what it has printed in this trial."""
        return self._child.log.text() if self._child else ""

    def stop(self) -> Exit | None:
        """End its process and remove its folder. It starts afresh when it is needed again."""
        if self._child is None:
            return None
        exit_ = self._child.end(self._pump)
        self._child = None
        folders.remove(self._folder)
        return exit_

    def _alive(self) -> bool:
        """Tell whether a process waits for a request: it may have ended, or spoken unasked, between trials."""
        if self._child is None:
            return False
        self._pump.poll()
        return not (self._child.ended or self.answers.spoke or self.answers.closed)

    @property
    def _running(self) -> Child:
        assert self._child is not None  # noqa: S101 - callers have called `ready`
        return self._child

    def _gone(self) -> Failure:
        exit_ = self._running.end(self._pump)
        failure = ended_badly(exit_, self._loaded.problem.limits, self.log())
        return Failure(reason="evaluator_error", message=capped(f"the evaluator's process {failure.message}"))

    def _start(self) -> None:
        self._folder = folders.make_folder(self._work_dir, "evaluator-")
        scratch = self._folder / ".tmp"
        folders.write_files(self._folder, self._loaded.support)
        folders.link_data(self._folder, self._loaded)
        make_links(str(self._folder), home_links(self._loaded.grants, Path.home()))
        scratch.mkdir()
        if self._holdout:
            folders.write_files(self._folder, self._loaded.holdout)
        if self._whole:
            folders.link_visible(self._folder, self._loaded)
            self.exchange.mkdir()
        self._child = Child(self._spawn, line_channel(LINE_KB, ARGUMENTS_KB))
        self._child.join(self._pump)
        self.send(self._start_line())

    def _start_line(self) -> dict[str, Any]:
        evaluator = self._loaded.problem.evaluator
        entry = Path(evaluator.entry)
        memory_mb = max(MEMORY_FACTOR * self._loaded.problem.limits.memory_mb, MEMORY_LEAST_MB)
        line = {
            "path": [str(self._folder / entry.parent), str(self._folder)],
            "name": entry.stem,
            "entry": str(entry),
            "function": "holdout" if self._holdout else "evaluate",
            "memory_bytes": memory_mb << 20,
            "helpers": str(PACKAGE),
        }
        return {**line, "exchange": str(self.exchange)} if self._whole else line

    def _spawn(self, stdin: int, stdout: int, stderr: int) -> ConfinedProcess:
        environment = interpreters.child_environment(str(self._folder), str(self._folder / ".tmp"))
        script = script_arguments("program" if self._whole else "evaluator")
        argv = [interpreters.executable_of(self._loaded.interpreter), "-s", *script]
        extra = interpreters.ONE_THREAD | interpreters.FIXED_HASH_SEED | self._loaded.problem.environment
        return start_trusted(argv, self._folder, environment | extra, (stdin, stdout, stderr))


def own_error(report: Report) -> Failure:
    """Say what the evaluator's own exception was."""
    text = f"{report.error.get('type')}: {report.error.get('message')}"
    return Failure(reason="evaluator_error", message=capped(f"the evaluator raised {text}"))


def call_message(report: Report) -> dict[str, Any]:
    """Return what a called process is told, of the evaluator's call."""
    message = {"name": report.name, "args": report.args, "kwargs": report.kwargs}
    return with_arrays(message, report.arrays, report.raw) if isinstance(report, ArrayReport) else message


def _report(line: bytes, raw: bytes) -> Report:
    report = decode_line(line, Report)
    check_arrays(report, [report.args, report.kwargs], (line, raw))
    if not report.arrays:
        return report
    return ArrayReport(**{field: getattr(report, field) for field in Report.__struct_fields__}, raw=raw)
