"""What the executors must know of the Python that runs candidates: asked once, by running it.

Rules:
    1. The answer is cached for the life of the process.

Data flow: interpreter path -> `inspect_interpreter` -> Interpreter -> start lines, environment description.
"""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Iterable

import msgspec
from msgspec import Struct

from consilience.core.errors import EnvironmentLacksError

ASK_SECONDS = 30
_GENERATORS = ("random", "numpy")
_NUMPY_USERS = ("sklearn", "scipy", "torch")  # libraries that draw from NumPy's global generator
_ASK = (
    "import sys, json, platform\n"
    "print(json.dumps({'path': sys.path[1:], 'prefix': sys.prefix, 'version': platform.python_version(),"
    " 'implementation': platform.python_implementation()}))"
)

# One thread for each numeric library: two workers on two cores must not each start two threads, and sums
# that are split over threads differ from run to run.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class Interpreter(Struct, frozen=True, kw_only=True):
    """A Python: its executable, version, and where it finds modules (`.pth` files applied)."""

    executable: str = ""
    implementation: str
    version: str
    prefix: str
    path: tuple[str, ...]


def executable_of(interpreter: str) -> str:
    """Return the interpreter's path; "" is the one that runs us."""
    return interpreter or sys.executable


@functools.cache
def inspect_interpreter(executable: str) -> Interpreter:
    """Run the interpreter once and return what it says of itself.

    Raises:
        EnvironmentLacksError: it cannot be run.
    """
    argv = [executable, "-s", "-c", _ASK]
    try:
        done = subprocess.run(argv, capture_output=True, timeout=ASK_SECONDS, check=True, env={}, cwd="/")  # noqa: S603
        found = msgspec.json.decode(done.stdout, type=Interpreter)
    except (OSError, subprocess.SubprocessError, msgspec.DecodeError) as error:
        raise EnvironmentLacksError(
            f"the interpreter {executable} cannot be used: {error}",
            hint="name a working Python 3.11 or later as the problem's interpreter",
        ) from error
    return msgspec.structs.replace(found, executable=executable)


# Sets of called candidates and of evaluators are in the same order in each trial, however the process was
# started: one that is forked cannot take another seed for its hashes than the process that it came from.
FIXED_HASH_SEED = {"PYTHONHASHSEED": "0"}


def hash_seed(seed: int) -> dict[str, str]:
    """Return the variable that makes the order of sets follow the trial's seed (Python takes 32 bits)."""
    return {"PYTHONHASHSEED": str(seed % 2**32)}


def generators_in(texts: Iterable[str]) -> list[str]:
    """Name the modules with global generators that these sources seem to use.

    They are imported and seeded before the sources' first line runs; others are not paid for.
    """
    text = "\n".join(texts)
    uses_numpy = any(name in text for name in _NUMPY_USERS)
    return [name for name in _GENERATORS if (name in text and "random" in text) or (name == "numpy" and uses_numpy)]


def child_environment(home: str, scratch: str) -> dict[str, str]:
    """Return the whole environment of a child: nothing of ours is in it."""
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": home,
        "TMPDIR": scratch,
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "MPLBACKEND": "Agg",
    }
