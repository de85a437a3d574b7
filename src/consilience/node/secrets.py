"""What this process knows to be secret: the passphrase, and variables of the environment whose names say so.

Rules:
    1. Values never leave the redactor; nothing here prints, stores or compares them.
    2. Artifacts and evaluators are code, stored to the byte: what looks like a secret there is told, not hidden.
    3. A variable that names a file is no secret itself; the file is.

Data flow: environment + passphrase -> `redactor` -> Journal.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from consilience.core.ports import LoadedProblem
from consilience.core.redaction import ShapeRedactor

_SECRET_NAME = re.compile(
    r"pass(?:word|wd|phrase)?$|passw|pwd$|secret|token|api_?key|_key$|credential|_auth$", re.IGNORECASE
)

_GUESSES = ("assigned", "bearer")  # of text; in code they are mostly variables


def redactor(passphrase: str = "", environment: Mapping[str, str] | None = None) -> ShapeRedactor:
    """Return a redactor that knows the passphrase and the environment's secrets.

    Args:
        passphrase: of the key file.
        environment: of the process; its own when None.
    """
    found = os.environ if environment is None else environment
    return ShapeRedactor([passphrase, *(value for name, value in found.items() if _is_secret(name, value))])


def artifact_warnings(loaded: LoadedProblem) -> list[str]:
    """Return one line for each file of a problem that is stored as it is although it seems to hold a secret."""
    known = redactor()
    texts = {file.path: file.text for file in loaded.baseline.files}
    texts.update({path: data.decode(errors="replace") for path, data in loaded.support.items()})
    found = {path: [kind for kind in known.finds(text) if kind not in _GUESSES] for path, text in sorted(texts.items())}
    return [
        f"{path} seems to hold a secret ({', '.join(kinds)}); code is stored as it is: take it out before you run"
        for path, kinds in found.items()
        if kinds
    ]


def _is_secret(name: str, value: str) -> bool:
    return bool(_SECRET_NAME.search(name)) and not _is_file(value)


def _is_file(value: str) -> bool:
    try:
        return value.startswith(("/", "~", ".")) and Path(value).expanduser().exists()
    except (OSError, ValueError, RuntimeError):
        return False
