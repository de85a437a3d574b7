"""The evaluator's side of a whole-program trial: run the program, then read what it handed over as data.

Rules:
    1. The program's files, its output and its errors are untrusted. Nothing here unpickles, unpacks or runs them,
       and sizes are checked before memory is taken.
    2. Bytes go through files in a folder that this process and the recorder share; the channel carries names.
    3. Clock, CPU and memory are the recorder's.

Data flow: `run` -> files, {call} -> recorder runs the program -> {value} -> Run -> JSON, text, array, bytes.
"""

from __future__ import annotations

import math
import os
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from consilience.trials.harness import harness_evaluator, harness_wire
    from consilience.trials.harness.harness_evaluator import CandidateError
else:
    import harness_evaluator
    import harness_wire
    from harness_evaluator import CandidateError

DEEPEST = 64  # levels of JSON, as in the answers of a called candidate
_NPY = b"\x93NUMPY"
_PREFIX_BYTES = {1: 10, 2: 12, 3: 12}  # by major version of the format: magic, version, length of the header
_LONGEST_HEADER = 4096
# What NumPy's own writer makes: these keys in this order, one plain type of numbers. Source: numpy.lib.format.
_HEADER = re.compile(
    r"\{'descr': '(?P<type>[<>|=](?:b1|[iu][1248]|f[248]|c8|c16))', 'fortran_order': (?P<order>True|False),"
    r" 'shape': \((?P<shape>[\d, ]*)\), \}\s*"
)


class OutputError(CandidateError):
    """A file that the program handed over, or should have, is not what was asked for."""

    def __init__(self, message: str) -> None:
        super().__init__("OutputError", message)

    def __str__(self) -> str:
        return self.message


class Program:
    """What `evaluate` is given: the parameter values, and a way to run the candidate's program in its sandbox.

    Attributes:
        parameters: the values of the problem's parameters; the program finds them in ``parameters.json``.
        Error: what a failing run or an unusable output raises, for ``except program.Error``.
    """

    Error = CandidateError

    def __init__(self, parameters: dict[str, Any], exchange: Callable[[Any], Any], folder: str) -> None:
        self.parameters = parameters
        self._exchange = exchange
        self._folder = folder
        self._runs = 0

    def run(self, *arguments: Any, stdin: str | bytes = b"", files: Mapping[str, Any] | None = None) -> Run:
        """Run the program once, in a fresh sandbox and folder, and return what came of it.

        Args:
            *arguments: words added to the problem's command, as text.
            stdin: what its standard input holds.
            files: further files for its folder, by path: text, bytes, an array for a path in ``.npy``, or any
                plain data, which is written as JSON.

        Raises:
            CandidateError: it ended with another exit code than 0. Time, memory and forbidden actions end the trial.
        """
        self._runs += 1
        inputs = {name: _as_bytes(name, value) for name, value in (files or {}).items()}
        here = os.path.join(self._folder, str(self._runs))  # noqa: PTH118 - pathlib costs an import
        os.mkdir(here)  # noqa: PTH102
        names = sorted(inputs)
        for number, name in enumerate(names):
            _write(os.path.join(here, f"in-{number}"), inputs[name])  # noqa: PTH118
        _write(os.path.join(here, "stdin"), stdin.encode() if isinstance(stdin, str) else bytes(stdin))  # noqa: PTH118
        request = {"number": self._runs, "inputs": names}
        answer = self._exchange({"op": "call", "name": "run", "args": [str(a) for a in arguments], "kwargs": request})
        if "error" in answer:
            raise CandidateError(answer["error"]["type"], answer["error"]["message"])
        return Run(here, answer["value"])


class Run:
    """One run of the program that ended with exit code 0.

    Attributes:
        seconds: its wall time, taken by the recorder.
        cpu_seconds: of all its processes.
        memory_mb: the peak of its resident memory.
        stdout: what it printed, capped; untrusted.
        stderr: what it printed as errors, capped; untrusted.
        outputs: the files that it handed over, of those that the problem names.
    """

    def __init__(self, folder: str, value: dict[str, Any]) -> None:
        self.seconds: float = value["seconds"]
        self.cpu_seconds: float = value["cpu_seconds"]
        self.memory_mb: float = value["memory_mb"]
        self.stdout: str = value["stdout"]
        self.stderr: str = value["stderr"]
        self.outputs: tuple[str, ...] = tuple(value["outputs"])
        self._folder = folder

    def bytes(self, name: str) -> bytes:
        """Return a file as it is.

        Raises:
            OutputError: the program has not written it, or the problem does not name it among its outputs.
        """
        if name not in self.outputs:
            found = ", ".join(self.outputs) or "none of the files that evaluator.outputs names"
            raise OutputError(f"the program has not written {name}; it wrote {found}")
        path = os.path.join(self._folder, f"out-{self.outputs.index(name)}")  # noqa: PTH118
        with open(path, "rb") as file:  # noqa: PTH123 - pathlib is not imported otherwise
            return file.read()

    def text(self, name: str) -> str:
        """Return a file as UTF-8 text.

        Raises:
            OutputError: it is missing, or not UTF-8.
        """
        try:
            return self.bytes(name).decode()
        except UnicodeDecodeError as error:
            raise OutputError(f"{name} is not UTF-8 text: byte {error.start}") from None

    def json(self, name: str) -> Any:
        """Return a file's value as strict JSON: no NaN, no infinity, no key twice, at most 64 levels.

        Raises:
            OutputError: it is missing, or not that.
        """
        import json  # noqa: PLC0415 - a program may hand over something else

        text = self.text(name)
        try:
            value = json.loads(text, parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_once)
            _check_depth(value)
        except (ValueError, RecursionError) as error:
            raise OutputError(f"{name} is not strict JSON: {error}"[:500]) from None
        return value

    def array(self, name: str) -> Any:
        """Return a NumPy array of numbers or booleans from a ``.npy`` file.

        Header and size are checked before memory is taken, and nothing is unpickled. Archives are refused.

        Raises:
            OutputError: it is missing, or not that.
        """
        import numpy as np  # noqa: PLC0415 - the problem's interpreter need not have it

        data = self.bytes(name)
        kind, shape, order, offset = read_npy_header(data, name)
        flat = np.frombuffer(data, dtype=kind, offset=offset)
        try:
            return flat.reshape(shape, order="F" if order else "C").copy(order="K")
        except ValueError as error:  # more dimensions, or larger ones, than NumPy has: only where nothing is in it
            raise OutputError(f"{name} has a shape that cannot be: {error}"[:500]) from None


def main() -> None:
    """Serve whole-program trials until the channel closes."""
    harness_evaluator.main(lambda start, parameters, ask: Program(parameters, ask, start["exchange"]))


def read_npy_header(data: bytes, name: str) -> tuple[str, tuple[int, ...], bool, int]:
    """Return type, shape, whether it is in Fortran's order, and where the numbers begin.

    Raises:
        OutputError: not NumPy's format, not plain numbers, or another size than the header says.
    """
    if data[: len(_NPY)] != _NPY or len(data) < max(_PREFIX_BYTES.values()):
        raise OutputError(f"{name} is no .npy file (archives such as .npz are refused)")
    start = _PREFIX_BYTES.get(data[6])
    if start is None:
        raise OutputError(f"{name} has version {data[6]} of the .npy format, which is not known")
    offset = start + int.from_bytes(data[8:start], "little")
    header = data[start:offset].decode("latin-1") if offset <= min(len(data), _LONGEST_HEADER) else ""
    found = _HEADER.fullmatch(header)
    if found is None:
        raise OutputError(f"{name} holds something else than plain numbers: {header[:80]!r}")
    kind, shape = found["type"], tuple(int(part) for part in found["shape"].replace(" ", "").split(",") if part)
    expected = math.prod(shape) * int(kind[2:])
    if expected != len(data) - offset:
        raise OutputError(f"{name} holds {len(data) - offset} bytes of numbers, its header says {expected}")
    return kind, shape, found["order"] == "True", offset


def _as_bytes(name: str, value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if name.endswith(".npy"):
        import io  # noqa: PLC0415 - only for arrays

        import numpy as np  # noqa: PLC0415

        stream = io.BytesIO()
        np.save(stream, np.asarray(value), allow_pickle=False)
        return stream.getvalue()
    import json  # noqa: PLC0415 - only for plain data

    return json.dumps(value, allow_nan=False, default=harness_wire.as_plain).encode()


def _write(path: str, data: bytes) -> None:
    with open(path, "wb") as file:  # noqa: PTH123 - pathlib is not imported otherwise
        file.write(data)


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is no number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is beyond the largest number")
    return number


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _check_depth(value: Any) -> None:
    layer = [value]
    for _ in range(DEEPEST + 1):
        layer = [inner for item in layer for inner in _inner(item)]
        if not layer:
            return
    raise ValueError(f"nested deeper than {DEEPEST} levels")


def _inner(item: Any) -> list[Any]:
    if isinstance(item, dict):
        return list(item.values())
    return item if isinstance(item, list) else []
