"""Scripts that run inside children: the candidate's side, the evaluator's side, the OpenEvolve layout.

Rules:
    1. Standard library only, and little of it: what is imported here is paid for in every trial.
    2. No script imports this package. They are modules beside each other; their names begin with `harness_`, so
       that they take no name that a program or evaluator may have.
    3. A script decides nothing about a score; it carries data to the recorder, which does.

Data flow: executors -> a start line on stdin -> script -> answer lines on its own descriptor -> executors.
"""

from __future__ import annotations

import compileall
import functools
from pathlib import Path

HARNESS = Path(__file__).resolve().parent
"""The folder of the scripts; children may read it."""

_BOOT = "import sys; sys.path[0] = {folder!r}; import harness_{name} as script; del sys.path[0]; script.main()"


def script_arguments(name: str) -> tuple[str, ...]:
    """Return the interpreter's arguments that run one of the scripts.

    As an imported module, because Python keeps no compiled form of a script that is run by its path:
    compiling cost 3 ms of CPU time in each trial (measured, CPython 3.11).
    """
    _compile()
    return "-c", _BOOT.format(folder=str(HARNESS), name=name)


@functools.cache
def _compile() -> None:
    """Compile the scripts once where the folder can be written, as an import would; else children compile them."""
    compileall.compile_dir(HARNESS, quiet=2)
