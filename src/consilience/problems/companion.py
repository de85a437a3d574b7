"""`consilience.toml`: what an OpenEvolve or autoresearch folder may use of this machine, said beside its own files.

Rules:
    1. It holds ``[sandbox]`` and the interpreter, nothing else: all that scores stays where the layout has it.
    2. It is no part of the problem but for its variables, which are in the id as everywhere.

Data flow: LoadedProblem of a foreign folder + consilience.toml -> LoadedProblem with grants.
"""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct, structs

from consilience.core.ports import LoadedProblem
from consilience.problems.decode import decode
from consilience.problems.files import read_toml
from consilience.problems.foreign import COMPANION
from consilience.problems.granting import read_grants, with_grants
from consilience.problems.interpreters import find_interpreter
from consilience.problems.options import LoadOptions
from consilience.problems.schema import SandboxTable


class InterpreterTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[evaluator]`` of a foreign folder: only the interpreter is open."""

    interpreter: str = ""


class CompanionFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole `consilience.toml`."""

    sandbox: SandboxTable = SandboxTable()
    evaluator: InterpreterTable = InterpreterTable()


def with_companion(loaded: LoadedProblem, options: LoadOptions) -> LoadedProblem:
    """Lay `consilience.toml` over a foreign folder's problem, if there is one. The caller's interpreter wins.

    Raises:
        ProblemError: anything in it is wrong.
    """
    path = loaded.root / COMPANION
    if not path.is_file():
        return loaded
    table = decode(read_toml(path, COMPANION), CompanionFile, COMPANION)
    granted = with_grants(loaded, read_grants(table.sandbox, COMPANION), table.sandbox.environment)
    named = table.evaluator.interpreter
    if options.interpreter or not named:
        return granted
    found = find_interpreter(loaded.root, named, (COMPANION, "evaluator.interpreter"))
    return structs.replace(granted, interpreter=found)


def grants_file(root: Path) -> str:
    """Return the name of the file that grants of this folder's problem are written in."""
    return "problem.toml" if (root / "problem.toml").is_file() else COMPANION
