"""The candidate's side of a split trial: import the program, answer calls until the channel closes.

Rules:
    1. One line in, one line out. The program's own output goes to the log.
    2. The answer is plain data or an error; it never carries a score.

Data flow: start line {path, prefix, generators, name, seed} -> calls {name, args, kwargs} -> {value} or {error, stage}.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from consilience.trials.harness import harness_wire
else:
    import harness_wire


def main() -> None:
    """Serve one trial."""
    receive, send = harness_wire.open_channel()
    start = receive()
    if start is not None:
        serve(start, receive, send)


def serve(start: dict[str, Any], receive: Callable[[], Any], send: Callable[[Any], None]) -> None:
    """Import the program at the first call, and answer until the channel closes."""
    _find_modules(start)
    call = receive()
    if call is None:
        return
    program, failure = _load(start)
    while call is not None:
        _reply(send, failure or _answer(program, call))
        call = receive()


def _find_modules(start: dict[str, Any]) -> None:
    """Look for modules where the problem's interpreter does; under WASI, beside the program and where we do."""
    if harness_wire.WASI:
        sys.path[:] = [*start["path"], *sys.path]  # of those, only the program's folders exist there
        return
    sys.path[:] = start["path"]
    sys.prefix = sys.exec_prefix = start["prefix"]


def _reply(send: Callable[[Any], None], answer: dict[str, Any]) -> None:
    """Send an answer, or say why it cannot be sent as plain, finite data."""
    try:
        send(answer)
    except Exception as error:  # noqa: BLE001 - the named boundary: what the program returned is foreign
        send({"error": harness_wire.describe(error), "stage": "answer"})


def _load(start: dict[str, Any]) -> tuple[Any, dict[str, Any] | None]:
    """Import the program, with its generators seeded before its first line and again after its last."""
    try:
        harness_wire.load_generators(start["generators"])
        harness_wire.seed_all(start["seed"])
        program = __import__(start["name"])
    except BaseException as error:  # noqa: BLE001 - the named boundary: importing runs foreign code
        return None, _failed(error, "import")
    harness_wire.seed_all(start["seed"])
    return program, None


def _answer(program: Any, call: dict[str, Any]) -> dict[str, Any]:
    function = getattr(program, call["name"], None)
    if not callable(function):
        missing = AttributeError(f"the program defines no function {call['name']!r}")
        return {"error": harness_wire.describe(missing), "stage": "call"}
    try:
        return {"value": function(*call["args"], **call["kwargs"])}
    except BaseException as error:  # noqa: BLE001 - the named boundary: calling runs foreign code
        return _failed(error, "call")


def _failed(error: BaseException, stage: str) -> dict[str, Any]:
    """Write the traceback to the log and describe the error."""
    sys.stderr = sys.__stderr__
    try:
        import traceback  # noqa: PLC0415 - only failing programs pay for it

        traceback.print_exception(type(error), error, error.__traceback__)
    except BaseException:  # noqa: BLE001, S110 - a program may break anything here; the description still goes out
        pass
    return {"error": harness_wire.describe(error), "stage": stage}
