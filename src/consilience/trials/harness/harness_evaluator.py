"""The evaluator's side of a split trial: import it once, then score one candidate for each request.

Rules:
    1. The evaluator reaches the candidate through the recorder alone, by data.
    2. It is kept warm: what it imports is imported once. The recorder restarts it after a failed trial.

Data flow: start line -> {ready} -> requests {seed, parameters} -> calls out, answers in -> {metrics} or {error}.
"""

from __future__ import annotations

import math
import resource
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from consilience.trials.harness import harness_wire
else:
    import harness_wire


class CandidateError(RuntimeError):
    """The candidate's code raised, or returned what is not plain data. Its text is untrusted.

    Attributes:
        type: the name of the exception's type in the candidate.
        message: its text.
    """

    def __init__(self, type_: str, message: str) -> None:
        super().__init__(f"{type_}: {message}")
        self.type = type_
        self.message = message


class Candidate:
    """What `evaluate` is given: the parameter values, and a way to call the candidate's program.

    Attributes:
        parameters: the values of the problem's parameters.
        seconds: wall time of the last call, taken by the recorder outside both processes.
        Error: the exception that a failing call raises, for ``except candidate.Error``.
    """

    Error = CandidateError

    def __init__(self, parameters: dict[str, Any], exchange: Callable[[Any], Any]) -> None:
        self.parameters = parameters
        self.seconds = 0.0
        self._exchange = exchange

    def call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """Run a function of the candidate's program in its sandbox and return its result as plain data.

        Raises:
            CandidateError: it raised or returned something else than finite plain data.
        """
        answer = self._exchange({"op": "call", "name": name, "args": args, "kwargs": kwargs})
        self.seconds = answer["seconds"]
        if "error" in answer:
            raise CandidateError(answer["error"]["type"], answer["error"]["message"])
        return answer["value"]


def main() -> None:
    """Serve trials until the channel closes."""
    receive, send = harness_wire.open_channel()
    start = receive()
    if start is None:
        return
    _prepare(start)
    try:
        evaluate = _load(start)
    except BaseException as error:  # noqa: BLE001 - the named boundary: importing runs the owner's code
        send(_failed(error))
        return
    send({"op": "ready"})
    _serve(evaluate, receive, send)


def _serve(evaluate: Callable[..., Any], receive: Callable[[], Any], send: Callable[[Any], None]) -> None:
    import random  # noqa: F401, PLC0415 - loaded so that each trial seeds it

    def exchange(message: Any) -> Any:
        send(message)
        answer = receive()
        if answer is None:
            raise SystemExit  # the recorder is gone, so there is nobody to score for
        return answer

    while (request := receive()) is not None:
        harness_wire.seed_all(request["seed"])
        send(_score(evaluate, Candidate(request["parameters"], exchange), request["seed"]))


def _score(evaluate: Callable[..., Any], candidate: Candidate, seed: int) -> dict[str, Any]:
    try:
        return _report(evaluate(candidate, seed))
    except BaseException as error:  # noqa: BLE001 - the named boundary: scoring runs the owner's code
        return _failed(error)


def _prepare(start: dict[str, Any]) -> None:
    """Set the evaluator's own limits, end with the recorder, and put its folder on the path."""
    _die_with_parent()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # macOS takes no limit of the address space
        resource.setrlimit(resource.RLIMIT_AS, (start["memory_bytes"], resource.getrlimit(resource.RLIMIT_AS)[1]))
    sys.path[:0] = start["path"]


def _die_with_parent() -> None:
    """Ask Linux to kill this process when its parent ends, even if the parent was killed itself."""
    import ctypes  # noqa: PLC0415 - once for each start, not for each trial
    import signal  # noqa: PLC0415

    set_death_signal = 1  # PR_SET_PDEATHSIG, prctl(2)
    try:
        ctypes.CDLL(None).prctl(set_death_signal, int(signal.SIGKILL), 0, 0, 0)
    except (OSError, AttributeError):
        return  # not Linux: the closed channel ends it once it is idle


def _load(start: dict[str, Any]) -> Callable[..., Any]:
    import importlib  # noqa: PLC0415 - after the path is set

    module = importlib.import_module(start["name"])
    evaluate = getattr(module, "evaluate", None)
    if not callable(evaluate):
        raise TypeError(f"{start['entry']} defines no function evaluate(candidate, seed)")
    return evaluate  # type: ignore[no-any-return]


def _report(result: Any) -> dict[str, Any]:
    """Turn what `evaluate` returned into numbers, named non-finite ones, or a complaint."""
    numbers: dict[str, float] = {}
    non_finite: list[str] = []
    for name, raw in (result if isinstance(result, dict) else {"": result}).items():
        value = raw.item() if hasattr(raw, "item") else raw
        if type(name) is not str or type(value) not in (int, float, bool):
            return _complaint(name, value)
        if not _finite(value):
            non_finite.append(f"{name or 'result'} = {value}"[:200])
            continue
        numbers[name] = float(value)
    return {"op": "metrics", "metrics": numbers, "non_finite": non_finite, "cpu_ms": _cpu_ms(), "memory_kb": _peak_kb()}


def _complaint(name: Any, value: Any) -> dict[str, Any]:
    found = f"{type(value).__name__} for {name!r}" if type(name) is str else f"a metric named by {type(name).__name__}"
    text = f"evaluate returned {found}, expected a number or a dict of numbers by name"
    return {"op": "invalid", "message": text[:500], "cpu_ms": _cpu_ms(), "memory_kb": _peak_kb()}


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond the largest float
        return False


def _failed(error: BaseException) -> dict[str, Any]:
    """Write the traceback to the log and tell the candidate's errors from the evaluator's own."""
    import traceback  # noqa: PLC0415 - only failing trials pay for it

    traceback.print_exception(type(error), error, error.__traceback__, file=sys.__stderr__)
    op = "candidate_error" if isinstance(error, CandidateError) else "error"
    return {"op": op, "error": harness_wire.describe(error), "cpu_ms": _cpu_ms(), "memory_kb": _peak_kb()}


def _cpu_ms() -> int:
    """Return the CPU time that this process and its finished children have used so far."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return round(1000 * (own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime))


def _peak_kb() -> int:
    """Return the peak of resident memory; rusage would count what the recorder had before the exec."""
    try:
        with open("/proc/self/status", "rb") as file:  # noqa: PTH123 - pathlib is not imported otherwise
            status = file.read()
        return int(status.split(b"VmHWM:", 1)[1].split()[0])
    except (OSError, IndexError, ValueError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak // 1024 if sys.platform == "darwin" else peak  # bytes there, kB elsewhere
