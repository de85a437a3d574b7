"""A trusted process: plain, in a session of its own, without a sandbox.

Rules:
    1. Only the evaluator of a split problem is run so: the code of the problem's owner.
    2. Killing it kills its process group; it is reaped exactly once.

Data flow: argv, folder, environment, descriptors -> `start_trusted` -> ConfinedProcess.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from consilience.core.errors import EnvironmentLacksError
from consilience.trials.sandbox.confinement import ConfinedProcess
from consilience.trials.sandbox.single import SingleProcess


def start_trusted(
    argv: Sequence[str], folder: Path, environment: Mapping[str, str], streams: tuple[int, int, int]
) -> ConfinedProcess:
    """Start a trusted process with these three descriptors and no other.

    Raises:
        EnvironmentLacksError: the machine could not start it.
    """
    stdin, stdout, stderr = streams
    try:
        process = subprocess.Popen(  # noqa: S603 - the problem's own interpreter
            argv, stdin=stdin, stdout=stdout, stderr=stderr, cwd=folder, env=environment, start_new_session=True
        )
    except OSError as error:
        raise EnvironmentLacksError(
            f"cannot start {argv[0]}: {error.strerror}", hint="check the problem's interpreter and free memory"
        ) from error
    return SingleProcess(process)
