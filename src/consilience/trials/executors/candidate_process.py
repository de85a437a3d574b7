"""The candidate's process of a split trial, started at the first call.

Rules:
    1. It gets the candidate's files, the seed and the arguments of calls; nothing of the evaluator.
    2. Lock-step: a byte that was not asked for ends the trial.
    3. How the process ended decides over what the evaluator makes of it.

Data flow: TrialRequest -> Starter -> Child -> call -> Reply or Failure.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any, Literal

from msgspec import Struct

from consilience.core.outcome import Failure
from consilience.core.ports import TrialRequest
from consilience.trials.executors.arrays import ArrayHeader, all_finite, check_arrays, encode_frame, with_arrays
from consilience.trials.executors.candidate_start import Starter
from consilience.trials.executors.child import Child
from consilience.trials.executors.classify import capped, ended_badly, raised
from consilience.trials.executors.messages import NotPlainError, check_plain, decode_line, encode_line
from consilience.trials.executors.pipes import Lines, Pump
from consilience.trials.executors.tree import Tree
from consilience.trials.sandbox.confinement import Exit

_NAN_REFUSED = "Out of range float values"  # how the json module says that a number is not finite


class RaisedError(Struct, frozen=True, kw_only=True):
    """An exception inside the candidate, as it describes it."""

    type: str
    message: str
    errno: int = 0


class Reply(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The candidate's answer to one call. A line with any other field is no answer."""

    value: Any = None
    error: RaisedError | None = None
    stage: Literal["", "import", "call", "answer"] = ""
    body: int = 0
    arrays: list[ArrayHeader] = []


class ArrayReply(Reply, frozen=True, kw_only=True):
    """An answer with arrays, whose bytes were checked."""

    raw: bytes


class CandidateProcess:
    """One candidate in its sandbox, for one trial."""

    def __init__(self, starter: Starter, request: TrialRequest, *, held: bool = False) -> None:
        """Prepare for a trial; `held` keeps it still outside its turn."""
        self._starter = starter
        self._request = request
        self._held = held
        self._child: Child | None = None
        self._tree: Tree | None = None

    @property
    def started(self) -> bool:
        """Tell whether it has been called."""
        return self._child is not None

    def start(self, pump: Pump) -> Failure | None:
        """Start it, or say why there is nothing to start."""
        entry = next((file.path for file in self._request.artifact.files if file.path.endswith(".py")), None)
        if entry is None:
            message = "the evaluator calls a function, but the candidate has no Python file"
            return Failure(reason="evaluator_error", message=message)
        self._child, line = self._starter.start(self._request, PurePosixPath(entry))
        self._tree = Tree(self._child.pid)
        self._child.join(pump)
        self._child.inbox.put(encode_line(line))
        return None

    def call(self, message: Any, pump: Pump, deadline: float) -> Reply | Failure:
        """Pass one call in and its answer out, in lock-step."""
        if self._tree and self._held:
            self._tree.let_go()
        reply = self._exchange(message, pump, deadline)
        if self._tree and self._held and not self._running.ended:
            self._tree.hold()
        return reply

    def _exchange(self, message: Any, pump: Pump, deadline: float) -> Reply | Failure:
        child, lines = self._running, self._lines
        child.inbox.put(encode_frame(message))
        limit_kb = self._request.limits.output_kb
        in_time = pump.run(lambda: lines.settled or child.ended or child.flooded(limit_kb), deadline)
        frame = lines.take_frame()
        if lines.overflow:
            return Failure(reason="invalid_output", message=f"the candidate's answer is over {limit_kb} kB")
        if child.flooded(limit_kb):
            return Failure(reason="invalid_output", message=Child.flood_message(limit_kb))
        if frame is not None:
            return _reply(*frame)
        if in_time:
            return self.gone(pump)
        seconds = self._request.limits.wall_seconds
        return Failure(reason="timeout", message=f"the candidate did not answer within the trial's {seconds:g} s")

    def cpu_seconds(self) -> float:
        """Return the CPU time that it has used since it was started, in or out of its turn."""
        return self._tree.cpu_seconds() if self._tree else 0.0

    def disturbed(self) -> bool:
        """Tell whether it has spoken unasked, flooded its log, or ended."""
        child = self._child
        return child is not None and (
            self._lines.spoke or child.ended or self._lines.closed or child.flooded(self._request.limits.output_kb)
        )

    def disturbance(self, pump: Pump) -> Failure:
        """Say what it did out of turn."""
        if self._lines.spoke:
            return Failure(reason="invalid_output", message="the candidate wrote on the channel without being asked")
        if self._running.flooded(self._request.limits.output_kb):
            return Failure(reason="invalid_output", message="the candidate flooded its log out of turn")
        return self.gone(pump)

    def gone(self, pump: Pump) -> Failure:
        """Say how it ended."""
        exit_ = self._running.end(pump)
        if self._running.killed:
            return Failure(reason="invalid_output", message="the candidate closed the channel without an answer")
        return ended_badly(exit_, self._request.limits, self.log())

    def end(self, pump: Pump) -> Exit | None:
        """End it, if it was ever started."""
        return self._child.end(pump) if self._child else None

    def spoke_unasked(self) -> bool:
        """Tell, after the end, whether bytes were left on the channel."""
        return self._child is not None and self._lines.spoke

    def log(self) -> str:
        """Return the tail of what it printed."""
        return self._child.log.text() if self._child else ""

    @property
    def _running(self) -> Child:
        assert self._child is not None  # noqa: S101 - `start` comes first
        return self._child

    @property
    def _lines(self) -> Lines:
        lines = self._running.answers
        assert isinstance(lines, Lines)  # noqa: S101 - `start` makes it so; for the type checker
        return lines


def as_failure(reply: Reply) -> Failure | None:
    """Say what an answer's error means for the trial, if the evaluator lets it pass."""
    if reply.error is None:
        return None
    error = reply.error
    if reply.stage == "answer":
        reason: Literal["non_finite", "invalid_output"]
        reason = "non_finite" if error.message.startswith(_NAN_REFUSED) else "invalid_output"
        return Failure(reason=reason, message=capped(f"the candidate's answer is not plain data: {error.message}"))
    return raised(error.type, error.errno, error.message)


def answer_message(reply: Reply, seconds: float, cpu_seconds: float) -> dict[str, Any]:
    """Return what the evaluator is told, with the wall and CPU time that the recorder took."""
    times = {"seconds": seconds, "cpu_seconds": cpu_seconds}
    if reply.error is not None:
        return {"error": {"type": reply.error.type, "message": reply.error.message}, **times}
    message = {"value": reply.value, **times}
    return with_arrays(message, reply.arrays, reply.raw) if isinstance(reply, ArrayReply) else message


def _reply(line: bytes, raw: bytes) -> Reply | Failure:
    try:
        reply = decode_line(line, Reply)
        check_plain(reply.value)
        check_arrays(reply, [reply.value], (line, raw))
    except NotPlainError as error:
        return Failure(reason="invalid_output", message=capped(f"the candidate's answer is not strict JSON: {error}"))
    if not reply.arrays:
        return reply
    if not all_finite(reply.arrays, raw):
        refused = RaisedError(type="ValueError", message=f"{_NAN_REFUSED} in an array: NaN or infinity")
        return Reply(error=refused, stage="answer")
    return ArrayReply(value=reply.value, body=reply.body, arrays=reply.arrays, raw=raw)
