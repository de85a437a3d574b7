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


class WrongAnswerError(CandidateError):
    """The candidate's answer is wrong, where a score counts right answers only."""

    def __init__(self, message: str) -> None:
        super().__init__("WrongAnswerError", message)


class Called:
    """A program in its sandbox, of which functions are called through the recorder.

    Attributes:
        seconds: wall time of the last call, taken by the recorder outside both processes.
        cpu_seconds: CPU time that the program's process has used in this trial up to the last answer: its start,
            its calls, and whatever it does between them.
    """

    _number = 0

    def __init__(self, exchange: Callable[[Any], Any]) -> None:
        self.seconds = self.cpu_seconds = 0.0
        self._exchange = exchange

    def _ask(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        request = {"op": "call", "name": name, "to": self._number, "args": args, "kwargs": kwargs}
        answer: dict[str, Any] = self._exchange(request)
        self.seconds, self.cpu_seconds = answer["seconds"], answer["cpu_seconds"]
        return answer


class Candidate(Called):
    """What `evaluate` is given: the parameter values, and a way to call the candidate's program.

    Attributes:
        parameters: the values of the problem's parameters.
        Error: the exception that a failing call raises, for ``except candidate.Error``.
        WrongAnswer: an exception to raise on a wrong answer, given what is wrong: the trial fails, as
            `invalid_output`. It is a ``candidate.Error``.
    """

    Error = CandidateError
    WrongAnswer = WrongAnswerError

    def __init__(self, parameters: dict[str, Any], exchange: Callable[[Any], Any]) -> None:
        super().__init__(exchange)
        self.parameters = parameters

    def call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """Run a function of the candidate's program in its sandbox and return its result as plain data and arrays.

        Raises:
            CandidateError: it raised or returned something else than that, or what is not finite.
        """
        answer = self._ask(name, args, kwargs)
        if "error" in answer:
            raise CandidateError(answer["error"]["type"], answer["error"]["message"])
        return answer["value"]

    def reference(self, path: str) -> Reference:
        """Start your own code beside the candidate, held as the candidate is, to time one by the other.

        Called before the first `call`; candidate and reference are then both started fresh.

        Args:
            path: a Python file in the evaluator's folder; it finds no other file of yours.
        """
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - pathlib is not imported otherwise
            source = file.read()
        return Reference(self._exchange({"op": "reference", "source": source})["value"], self._exchange)


class Reference(Called):
    """The evaluator's own code in a sandbox, beside the candidate."""

    def __init__(self, number: int, exchange: Callable[[Any], Any]) -> None:
        super().__init__(exchange)
        self._number = number

    def call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """Run a function of the reference.

        Raises:
            RuntimeError: it raised, or its result cannot be sent: the evaluator's fault.
        """
        answer = self._ask(name, args, kwargs)
        if "error" in answer:
            raise RuntimeError(f"the reference raised {answer['error']['type']}: {answer['error']['message']}")
        return answer["value"]

    def trip(self, *args: Any) -> float:
        """Return the wall time (seconds) of a call that does nothing: the way there with these arguments, and back.

        No function has an empty name, so the process answers at once.
        """
        self._ask("", args, {})
        return self.seconds


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
    """Set the evaluator's own limits, end with the recorder, and let it find its files and our helpers."""
    _die_with_parent()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # macOS takes no limit of the address space
        resource.setrlimit(resource.RLIMIT_AS, (start["memory_bytes"], resource.getrlimit(resource.RLIMIT_AS)[1]))
    sys.path[:0] = start["path"]
    sys.meta_path.append(_Helpers(start["helpers"]))


class _Helpers:
    """Finds the package `consilience`, for its `evaluators`, where the interpreter does not have it.

    Asked last. It finds the folder of that package and runs none of its code.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:  # noqa: ARG002 - the import system's
        """Return the package with that folder, as one without code of its own."""
        if name != "consilience":
            return None
        from importlib.machinery import ModuleSpec  # noqa: PLC0415 - only evaluators that use the helpers pay for it

        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [self._folder]
        return spec


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
