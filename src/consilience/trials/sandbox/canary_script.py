"""Runs inside a sandbox and lets attempts loose. Prints what each reached ("" for nothing).

Rules:
    1. The standard library only: it runs under the confined interpreter.
    2. The attempts' files are read and run by path: their folder need not be listable inside.
    3. It says that an attempt begins before it does, so that one that was killed for it has an answer.

Data flow: JSON in argv[1] (where the canaries are), files of attempts in argv[2:] -> lines of JSON on stdout:
[name] before an attempt, [name, reached] after it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable

Attempt = Callable[[dict[str, str]], str]


def daemon(places: dict[str, str]) -> None:
    """Leave the session and the parent behind, then beat until killed."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            while True:
                with open(places["beat"], "a") as file:  # noqa: PTH123
                    file.write(".")
                time.sleep(0.005)
        os._exit(0)
    time.sleep(60)


def attempts_in(path: str) -> tuple[Attempt, ...]:
    """Run a file of attempts and return them."""
    with open(path, "rb") as file:  # noqa: PTH123
        code = compile(file.read(), path, "exec")
    names: dict[str, tuple[Attempt, ...]] = {"__name__": ()}
    exec(code, names)  # noqa: S102 - a file of this package
    return (*names.get("STATED", ()), *names["ATTEMPTS"])


def attempt_all(places: dict[str, str], attempts: list[Attempt]) -> None:
    """Print what each attempt reached; `only` and `without` choose among them."""
    for attempt in attempts:
        name = attempt.__name__
        if name in places.get("without", "").split() or name not in places.get("only", name).split():
            continue
        print(json.dumps([name]), flush=True)  # noqa: T201
        try:
            reached = attempt(places)
        except OSError:
            reached = ""
        print(json.dumps([name, reached]), flush=True)  # noqa: T201


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    if "beat" in given:
        daemon(given)
    attempt_all(given, [attempt for path in sys.argv[2:] for attempt in attempts_in(path)])
