"""Takes out of texts what differs from run to run or tells of this machine: temporary paths, addresses.

Rules:
    1. The same trial gives the same text twice, so that journals of equal runs are equal.
    2. No folder of the user's machine goes into a journal that others will read.

Data flow: Outcome with raw texts -> `Scrubber.outcome` -> Outcome.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from consilience.core.outcome import Failure, Outcome
from consilience.trials.executors.interpreters import Interpreter
from consilience.trials.harness import HARNESS

_TEMPORARY = re.compile(r"\btmp[a-z0-9_]{8}(?![a-z0-9_])")  # the names that `tempfile` makes up
_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,16}\b")


class Scrubber:
    """Replaces known paths by names, and what chance made up by fixed text.

    Args:
        names: what stands for each path; longer paths are replaced first.
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = sorted(names.items(), key=lambda pair: len(pair[0]), reverse=True)

    def text(self, text: str) -> str:
        """Scrub one text."""
        for path, name in self._names:
            text = text.replace(path, name)
        return _ADDRESS.sub("0x0", _TEMPORARY.sub("tmp", text))

    def outcome(self, outcome: Outcome) -> Outcome:
        """Scrub every text of an outcome."""
        failure = outcome.failure
        if failure is not None:
            failure = Failure(reason=failure.reason, message=self.text(failure.message))
        return msgspec.structs.replace(
            outcome, failure=failure, log=self.text(outcome.log), feedback=self.text(outcome.feedback)
        )


def python_names(interpreter: Interpreter) -> dict[str, str]:
    """Name the paths of an interpreter, its modules and our harness."""
    paths = {path: "<python>" for path in (*interpreter.path, interpreter.prefix) if len(path) > 1}
    return {**paths, interpreter.executable: "python", str(HARNESS): "<harness>"}
