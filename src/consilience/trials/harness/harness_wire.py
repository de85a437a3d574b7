"""What the harness scripts share: a private channel of JSON lines and arrays, plain data, seeds.

Rules:
    1. The channel is taken off descriptors 0 and 1 before foreign code is imported: what that code prints
       goes to the log, and what it starts inherits no channel.
    2. Strict JSON: NaN and infinity are refused, not written as literals that JSON lacks.
    3. None of this is a defence inside the process. The recorder checks every byte that comes out.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, BinaryIO

if TYPE_CHECKING or __package__:  # the package's name is empty in a child, where scripts are modules beside each other
    from consilience.trials.harness import harness_arrays
else:
    import harness_arrays

FIRST_PRIVATE_DESCRIPTOR = 100  # far from what programs open, and below the sandbox's limit on open files
ANSWER, LOG = 1, 2
_EPERM, _ENOMEM = 1, 12  # as the recorder's system numbers them (errno(3))
WASI = sys.platform == "wasi"
LARGEST_SEED = 2**32  # NumPy's legacy generator takes what is below


def open_channel() -> tuple[Callable[[], Any], Callable[[Any], None]]:
    """Take stdin and stdout away and return ``(receive, send)`` over private copies of them.

    `receive` gives the next message with its arrays, or None at the end. Afterwards descriptor 0 reads nothing and
    descriptor 1 is the log.
    """
    if WASI:
        return _standard_channel()
    import fcntl  # noqa: PLC0415 - only needed here, before foreign code

    inward = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, FIRST_PRIVATE_DESCRIPTOR)
    outward = fcntl.fcntl(ANSWER, fcntl.F_DUPFD_CLOEXEC, FIRST_PRIVATE_DESCRIPTOR)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(LOG, ANSWER)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr] # so that a killed program leaves a log
    decode, encode = _codec()
    return _receiver(open(inward, "rb", closefd=False), decode), _sender(outward, encode)


def _standard_channel() -> tuple[Callable[[], Any], Callable[[Any], None]]:
    """Return the channel where descriptors cannot be moved: 0 and 1 stay, and what is printed goes to the log."""
    inward, sys.stdin = sys.stdin.buffer, None
    sys.stdout = sys.__stdout__ = sys.stderr  # type: ignore[misc,assignment]
    decode, encode = _codec()
    return _receiver(inward, decode), _sender(ANSWER, encode)


def _codec() -> tuple[Callable[[str], Any], Callable[..., str]]:
    """Return decoder and encoder of JSON; the encoder is told what to do with what JSON lacks.

    Importing `json` brings `re` and `enum`, 9 of the 22 ms of CPU time that starting a candidate cost
    (measured, CPython 3.11). Its C core alone does the work, so that is used where there is one.
    """
    try:
        from _json import encode_basestring_ascii, make_encoder, make_scanner  # noqa: PLC0415 - see above

        scan = make_scanner(_ScannerSettings())  # type: ignore[arg-type]

        def encode(value: Any, plain: Callable[[Any], Any] = as_plain) -> str:
            # markers (new ones each time: a failed call leaves its own behind), default, string encoder, indent,
            # separators, sort_keys, skipkeys, allow_nan
            encoder = make_encoder({}, plain, encode_basestring_ascii, None, ":", ",", False, False, False)
            return "".join(encoder(value, 0))

        encode(None)  # a core of another shape fails here
    except (ImportError, TypeError):  # another Python, or a core of another shape
        import json  # noqa: PLC0415 - see above

        def encode_slowly(value: Any, plain: Callable[[Any], Any] = as_plain) -> str:
            return json.dumps(value, allow_nan=False, default=plain, separators=(",", ":"))

        return json.loads, encode_slowly
    return (lambda text: scan(text, 0)[0]), encode


class _ScannerSettings:
    """What the C scanner reads from a decoder. Lines come from the recorder, which writes no NaN."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float
    memo: dict[str, str] = {}  # noqa: RUF012 - one decoder for each process


def _receiver(lines: BinaryIO, decode: Callable[[str], Any]) -> Callable[[], Any]:
    def receive() -> Any:
        line = lines.readline()
        message = decode(line.decode()) if line else None
        if type(message) is dict and harness_arrays.BODY in message:
            harness_arrays.fill(message, lines)
        return message

    return receive


def _sender(descriptor: int, encode: Callable[..., str]) -> Callable[[Any], None]:
    write = os.write

    def send(value: Any) -> None:
        for buffer in harness_arrays.frame(value, encode, as_plain):
            data = memoryview(buffer)
            while data:
                data = data[write(descriptor, data) :]

    return send


def as_plain(value: Any) -> Any:
    """Turn a NumPy array or scalar into lists and numbers, for JSON.

    Raises:
        TypeError: it is neither.
    """
    to_list = getattr(value, "tolist", None)
    if to_list is None:
        raise TypeError(f"a {type(value).__name__} is not plain data")
    return to_list()


def seed_all(seed: int) -> None:
    """Seed every global generator that is loaded: the one of `random` and NumPy's."""
    random, numpy = sys.modules.get("random"), sys.modules.get("numpy")
    if random is not None:
        random.seed(seed)
    if numpy is not None and hasattr(numpy, "random"):
        numpy.random.seed(seed % LARGEST_SEED)


def load_generators(names: list[str]) -> None:
    """Import the modules whose global generators foreign code will use, so that `seed_all` finds them."""
    for name in names:
        try:
            __import__(name)
        except ImportError:
            continue  # the code that names it may do without


def describe(error: BaseException) -> dict[str, Any]:
    """Describe an exception as data: its type's name, its text, and its errno where it has one."""
    try:
        text = str(error)
    except BaseException:  # noqa: BLE001 - the exception's own __str__ is foreign code
        text = "(its text cannot be read)"
    number = getattr(error, "errno", None)
    number = number if type(number) is int else 0
    if WASI:
        text, number = _abroad(error, text, number)
    return {"type": type(error).__name__, "message": text[:2000], "errno": number}


def _abroad(error: BaseException, text: str, number: int) -> tuple[str, int]:
    """Say what an exception under WASI means to the recorder, whose error numbers are others.

    What WASI lacks (sockets, processes) is refused there as it is by a sandbox elsewhere.
    """
    import errno  # noqa: PLC0415 - only failing programs pay for it

    if isinstance(error, ModuleNotFoundError):
        text += " (isolation level wasm has the standard library only)"
    refused = (errno.EPERM, errno.EACCES, errno.EROFS, errno.ENOTSUP)
    return text, _EPERM if number in refused else _ENOMEM if number == errno.ENOMEM else 0
