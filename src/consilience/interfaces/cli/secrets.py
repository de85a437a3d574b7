"""Passphrases: from a file, from the environment, or typed unseen. Never from an argument, never printed.

Rules:
    1. `--passphrase-file` unlocks what is there, then CONSILIENCE_PASSPHRASE, then a prompt on a terminal.
    2. `--new-passphrase-file` locks what is written; a prompt asks twice.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
from msgspec.structs import replace

from consilience.core.errors import ConsilienceError, UsageError
from consilience.identity.key_files import describe
from consilience.interfaces.cli import options
from consilience.node.places import UserPlaces

Function = TypeVar("Function", bound=Callable[..., Any])
_OTHERS = 0o077
_LARGEST_BYTES = 4096


def with_key(function: Function) -> Function:
    """Add what finds and unlocks a key: `--key`, `--passphrase-file`, `--json`."""
    for option in (
        click.option("--key", help="Key file.", type=click.Path()),
        click.option(
            "--passphrase-file",
            "passphrase_file",
            type=click.Path(path_type=Path),
            help="File with the passphrase; else CONSILIENCE_PASSPHRASE, else a prompt.",
        ),
    ):
        function = option(function)
    return options.with_json(function)


def with_new_passphrase(function: Function) -> Function:
    """Add what locks a key that is written: `--new-passphrase-file`."""
    return click.option(
        "--new-passphrase-file",
        "new_passphrase_file",
        type=click.Path(path_type=Path),
        help="File with the passphrase of what is written.",
    )(function)


def places_of(flags: Mapping[str, Any]) -> UserPlaces:
    """Return the user's places with the key that the flags or settings name."""
    found = options.places()
    named = options.resolve_settings(None, {"key": flags.get("key")}).value("key")
    return replace(found, key=Path(named).expanduser()) if named else found


def passphrase_for(file: Path, flags: Mapping[str, Any]) -> str:
    """Return the passphrase that unlocks a key file; "" where it needs none and none is given.

    Raises:
        UsageError: the passphrase file cannot be read.
    """
    stated = _stated(flags.get("passphrase_file")) or options.passphrase()
    if stated or not _is_locked(file) or not _has_terminal():
        return stated
    return _typed(f"passphrase of {file}", twice=False)


def new_passphrase(flags: Mapping[str, Any], default: str = "") -> str:
    """Return the passphrase for what is to be written: from its file, else `default`, else typed twice.

    Raises:
        UsageError: none of these, or they are empty.
    """
    stated = _stated(flags.get("new_passphrase_file")) or default
    if stated:
        return stated
    if not _has_terminal():
        raise UsageError("no passphrase for what is to be written", hint="give --new-passphrase-file FILE")
    return _typed("new passphrase", twice=True)


def _stated(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        if path.is_file() and path.stat().st_mode & _OTHERS:
            raise UsageError(f"{path} can be read by others", hint=f"chmod 600 {path}")
        with path.open("rb") as file:
            text = file.read(_LARGEST_BYTES).decode().removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the passphrase in {path}: {_why(error)}", hint="name another file") from error
    if not text:
        raise UsageError(f"{path} is empty", hint="write the passphrase into it")
    return text


def _why(error: OSError | UnicodeDecodeError) -> str:
    return "it is not text" if isinstance(error, UnicodeDecodeError) else error.strerror or str(error)


def _is_locked(path: Path) -> bool:
    try:
        return path.exists() and describe(path).locked
    except ConsilienceError:
        return False  # whoever opens it will say what is wrong with it


def _has_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _typed(what: str, *, twice: bool) -> str:
    return str(click.prompt(what, hide_input=True, confirmation_prompt=twice, err=True))
