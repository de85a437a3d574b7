"""The `[sandbox]` table: what a problem opens of this machine, and what nobody may open.

Rules:
    1. Absolute paths or `~`; nothing is guessed, and what is not named stays closed.
    2. Refused: what would open the machine (root, home, system state, keys, sockets) or the score (evaluator,
       labels, journal), by its own name and by what it links to.
    3. A path that is absent is a warning here and an error when a trial is to start: a problem may be read on a
       machine that cannot run it.
    4. Variables are literal and part of the problem's id, so they never carry a secret.

Data flow: SandboxTable -> `read_grants` -> Grants; LoadedProblem -> `check_secrets` before anything runs.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path

from msgspec import structs

from consilience.core.errors import ProblemError
from consilience.core.ports import Grants, LoadedProblem
from consilience.problems.faults import require, show
from consilience.problems.holdout import SALT
from consilience.problems.schema import SandboxTable

LARGEST_SCRATCH_MB = 2**20
LARGEST_GPUS = 64

_SYSTEM = ("/proc", "/sys", "/dev", "/run", "/var/run", "/boot", "/etc/ssh", "/etc/ssl/private", "/root/.ssh")
_SECRET_FILES = ("/etc/shadow", "/etc/gshadow", "/etc/sudoers", "/etc/passwd-", "/etc/shadow-")
_SECRETS_AT_HOME = (
    *(".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker", ".netrc", ".pgpass", ".git-credentials", ".pypirc"),
    *(".config/gcloud", ".config/gh", ".config/git/credentials", ".local/share/keyrings", ".password-store"),
)
_BUILT_IN = Path(__file__).resolve().parents[1] / "domains"  # with the labels that our own problems are scored on
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET_NAME = re.compile(
    r"(?:^|_)(?:TOKENS?|SECRETS?|PASS(?:WORD|WD|PHRASE)?|CREDENTIALS?|(?:API|ACCESS|PRIVATE|AUTH|SIGNING)_?KEYS?)(?:_|$)",
    re.IGNORECASE,
)
_OURS = frozenset({"HOME", "TMPDIR", "PYTHONHASHSEED", "CONSILIENCE_SEED", "LD_PRELOAD", "LD_AUDIT", "PWD"})


def read_grants(table: SandboxTable, file: str) -> Grants:
    """Check the table and return its paths in full.

    Raises:
        ProblemError: a relative path, one that nobody may open, a variable that is ours to set or a secret.
    """
    _check_environment(table.environment, file)
    if table.scratch_mb is not None:
        fits = 0 < table.scratch_mb <= LARGEST_SCRATCH_MB
        expected = f"above 0, at most {LARGEST_SCRATCH_MB}"
        require(fits, (file, "sandbox.scratch_mb"), found=str(table.scratch_mb), expected=expected)
    fits = 0 <= table.gpus <= LARGEST_GPUS
    require(fits, (file, "sandbox.gpus"), found=str(table.gpus), expected=f"0 to {LARGEST_GPUS}")
    readable = tuple(_full(text, (file, "sandbox.readable")) for text in table.readable)
    scratch = tuple(_full(text, (file, "sandbox.scratch")) for text in table.scratch)
    for path in scratch:
        expected = "a place that is readable, or scratch: what is written is thrown away"
        require(path not in readable, (file, "sandbox.scratch"), found=f"{path!r} in both", expected=expected)
        is_file = Path(path).is_file()
        require(not is_file, (file, "sandbox.scratch"), found=f"{path!r}, a file", expected="a folder")
    return Grants(readable=readable, scratch=scratch, scratch_mb=table.scratch_mb, gpus=table.gpus)


def missing_warnings(grants: Grants) -> tuple[str, ...]:
    """Return one line for each readable path that is absent here."""
    absent = [path for path in grants.readable if not Path(path).exists()]
    return tuple(f"sandbox.readable: {path} does not exist here, no trial can start" for path in absent)


def refusal(path: str) -> str:
    """Return why nobody may open a path to a trial, or "" where a problem may.

    Args:
        path: absolute. What it links to counts too.
    """
    for each in dict.fromkeys((Path(path), Path(os.path.realpath(path)))):
        reason = _refused_place(each) or _refused_file(each)
        if reason:
            return reason
    return ""


def check_secrets(loaded: LoadedProblem, ours: Iterable[Path], file: str) -> None:
    """See that no grant opens what the score hangs on: evaluator, labels, holdout, journal, keys.

    Args:
        loaded: the problem.
        ours: our own folders and files: journal, key, feed marks.
        file: the file that the grants were read from.

    Raises:
        ProblemError: one does.
    """
    grants = loaded.grants
    for key, paths in (("readable", grants.readable), ("scratch", grants.scratch)):
        for path in paths:
            reason = opens_secret(path, loaded, ours)
            expected = "a place that holds no part of the evaluator or of the journal"
            require(not reason, (file, f"sandbox.{key}"), found=f"{path!r}: {reason}", expected=expected)


def opens_secret(path: str, loaded: LoadedProblem, ours: Iterable[Path]) -> str:
    """Return what a path would open that the score hangs on, or ""."""
    for name in sorted(_hidden_files(loaded)):
        if _meets(path, loaded.root / name):
            return f"it holds {name}, which scores the candidate"
    for own in ours:
        if _meets(path, own):
            return f"it holds {own}, which is ours"
        if _meets(str(own), Path(path)):
            return f"it is in {own}, which is ours"
    return ""


def _hidden_files(loaded: LoadedProblem) -> set[str]:
    """Return the paths that candidates never see; a whole evaluator in the sandbox has its files with it."""
    spec = loaded.problem.evaluator
    kept = {*loaded.holdout, SALT} if loaded.holdout else set()
    if spec.kind in ("openevolve", "command"):
        return kept
    data = {file.path for file in loaded.problem.data}
    return {*loaded.support, *kept, *data} - {file.path for file in spec.visible}


def _meets(folder: str, path: Path) -> bool:
    """Tell whether a path is a folder or lies in it, links followed."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)) or path.is_relative_to(folder)


def _full(text: str, where: tuple[str, str]) -> str:
    hint = "write the whole path, from / or ~"
    if not (text.startswith(("/", "~/")) or text == "~") or "\0" in text:
        raise ProblemError(*where, found=show(text), expected="an absolute path, or one that begins with ~/", hint=hint)
    path = os.path.normpath(os.path.expanduser(text))  # noqa: PTH111 - pathlib keeps ".."
    path = "/" + path.lstrip("/")
    reason = refusal(path)
    if reason:
        raise ProblemError(*where, found=f"{text!r}: {reason}", expected="a place that a trial may see")
    return path


def _refused_place(path: Path) -> str:
    home = Path.home()
    if home.is_relative_to(path) or Path(os.path.realpath(home)).is_relative_to(path):
        return "it holds your home folder: name what is needed in it"
    if len(path.parts) == len(("/", "etc")) and path.name in {"etc", "var", "usr", "opt", "srv", "mnt", "home"}:
        return "it is a whole system folder: name what is needed in it"
    if place := next((place for place in _SYSTEM if path.is_relative_to(place)), ""):
        return f"{place} is the system's own"
    if path.is_relative_to(_BUILT_IN) or _BUILT_IN.is_relative_to(path):
        return "it holds what built-in problems are scored on"
    secret = next((name for name in _SECRETS_AT_HOME if _touches(path, home / name)), "")
    return f"~/{secret} holds secrets" if secret else ""


def _touches(path: Path, secret: Path) -> bool:
    """Tell whether a path is in a secret place, or holds one that exists."""
    return path.is_relative_to(secret) or (secret.is_relative_to(path) and secret.exists())


def _refused_file(path: Path) -> str:
    if any(Path(secret).is_relative_to(path) for secret in _SECRET_FILES):
        return "it holds the passwords of this machine"
    try:
        mode = path.stat().st_mode
    except OSError:
        return ""
    if stat.S_ISSOCK(mode):
        return "it is a socket, by which a program outside would act for the candidate"
    return "" if stat.S_ISDIR(mode) or stat.S_ISREG(mode) else "it is a device"


def _check_environment(environment: dict[str, str], file: str) -> None:
    for name, value in environment.items():
        where = (file, f"sandbox.environment.{name}")
        require(bool(_NAME.fullmatch(name)), where, found=show(name), expected="letters, digits and _")
        require(name not in _OURS, where, found="a variable that each trial sets", expected="another name")
        if is_secret_name(name):
            hint = "candidates and the journal would see it: fetch beforehand, and grant the folder as readable"
            raise ProblemError(*where, found="a name that looks like a secret", expected="no secrets", hint=hint)
        if value.startswith("$"):
            hint = "write the value itself: variables are part of the problem's id, the same on every machine"
            raise ProblemError(*where, found=show(value), expected="a literal value", hint=hint)
        require("\0" not in value, where, found=show(value), expected="text without NUL")


def is_secret_name(name: str) -> bool:
    """Tell whether a variable's name looks as if it held a secret."""
    return bool(_SECRET_NAME.search(name))


def with_grants(loaded: LoadedProblem, grants: Grants, environment: dict[str, str]) -> LoadedProblem:
    """Return the problem with these grants and variables in place of its own."""
    problem = structs.replace(loaded.problem, environment=environment)
    warnings = (*loaded.warnings, *missing_warnings(grants))
    return structs.replace(loaded, problem=problem, grants=grants, warnings=warnings)
