"""What a trial's log says that it was denied, for levels where nobody can watch: less, but in any language.

Rules:
    1. Only a path that this machine has counts: an absent file is the program's own affair.
    2. Logs are untrusted text: what is found here is checked by the caller like any other path.

Data flow: Outcome.log -> `printed_denials` -> Denials; `wanted_variables`, `wanted_modules` -> names.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from consilience.trials.observing.denials import Denials, is_quiet

_REFUSED = re.compile(
    r"No such file|Permission denied|Operation not permitted|Read-only file|ENOENT|EACCES|EPERM|EROFS"
)
_PATH = re.compile(r"""['"`]([^'"`\n]*/[^'"`\n]*)['"`]|(?:^|[\s:])(/[^\s:'"`,;]+)""")
_HOME = re.compile(r"^(?:trial|candidate)/scratch/")  # how a trial's own home reads in its outcome's texts
_KEY = re.compile(r"^KeyError: '([A-Za-z_][A-Za-z0-9_]*)'$", re.MULTILINE)
_MODULE = re.compile(r"^ModuleNotFoundError: No module named '([A-Za-z_][A-Za-z0-9_]*)", re.MULTILINE)
_NO_USER = "getpwuid(): uid not found"  # the sandbox has no list of users; `getpass` asks for USER first
_READS_ENVIRONMENT = re.compile(r"\benviron\b|<frozen os>|\bos\.py\b")


def printed_denials(log: str, home: Path) -> Denials:
    """Return the paths of this machine that the log says could not be used.

    Args:
        log: an outcome's log, its paths scrubbed as executors do.
        home: this user's home folder.
    """
    named = [
        _HOME.sub(f"{home}/", a or b) for line in log.splitlines() if _REFUSED.search(line) for a, b in _found(line)
    ]
    there = {path for path in named if path.startswith("/") and os.path.exists(path)}  # noqa: PTH110 - any text at all
    return Denials(read=tuple(sorted(path for path in there if not is_quiet(path, home))), complete=False)


def _found(line: str) -> list[tuple[str, str]]:
    return [(match[1] or "", match[2] or "") for match in _PATH.finditer(line)]


def wanted_variables(log: str) -> tuple[str, ...]:
    """Return the environment variables that a Python program missed, as its traceback tells."""
    found = dict.fromkeys(_KEY.findall(log)) if _READS_ENVIRONMENT.search(log) else {}
    return (*found, *(["USER"] if _NO_USER in log else []))


def wanted_modules(log: str) -> tuple[str, ...]:
    """Return the top-level modules that a Python program did not find, as its traceback tells."""
    return tuple(dict.fromkeys(_MODULE.findall(log)))
