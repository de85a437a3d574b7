"""`retain`: texts are erased by age or on request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from consilience.core.errors import EXIT_DONE, UsageError
from consilience.identity.keys import Identity
from consilience.interfaces.cli import options
from consilience.interfaces.cli.output import emit
from consilience.journal.reader import JournalReader
from consilience.node.clock import SystemClock
from consilience.node.retention import Plan, Retained, Wish, plan, signer_of
from consilience.node.retention import retain as retain_texts
from consilience.node.setting_values import read_seconds

_MILLISECONDS = 1000


@click.command()
@click.option("--older-than", default="", help="Texts at least so old, such as 180d; the policy's limit by default.")
@click.option("--blob", "blobs", multiple=True, help="This text, whatever its age; needs --reason.")
@click.option("--trial", "trials", multiple=True, help="Log and feedback of this trial; needs --reason.")
@click.option("--reason", default="", help="Whose request or which rule; it stays in the signed tombstone.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@options.with_study
def retain(dry_run: bool, folder: str, state: str, as_json: bool, **flags: Any) -> int:  # noqa: FBT001  click's
    """Erase logs, feedback and imported texts; their hashes and a signed tombstone stay, and `verify` holds.

    Age is that of the event that names a text, by its author's clock. Texts of others, and those younger than the
    policy's retention_days, are left alone.
    """
    wish = _wish(flags, folder, state)
    path = options.state_of(folder, state)
    if dry_run:
        found = _planned(path, wish, state)
        emit(found, lambda console: console.print(_plan_text(found), soft_wrap=True), as_json=as_json)
        return EXIT_DONE
    done = retain_texts(path, wish, _signer(state), options.places(), SystemClock())
    emit(done, lambda console: console.print(_done_text(done), soft_wrap=True), as_json=as_json)
    return EXIT_DONE


def _wish(flags: dict[str, Any], folder: str, state: str) -> Wish:
    """Return what the flags ask for.

    Raises:
        UsageError: single texts without a reason, an age that is none, or trials without texts.
    """
    asked = flags["blobs"] or flags["trials"]
    if asked and not flags["reason"]:
        raise UsageError("erasing single texts needs a reason", hint="--reason 'request of 3 March', which is kept")
    names = (*flags["blobs"], *_texts_of(flags["trials"], folder, state))
    if asked and not names:
        raise UsageError(f"trial {', '.join(flags['trials'])} has neither log nor feedback")
    return Wish(names=names, age_ms=_age(flags["older_than"]), reason=flags["reason"])


def _planned(path: Path, wish: Wish, state: str) -> Plan:
    reader = JournalReader.open(path)
    try:
        return plan(reader, wish, _signer(state).did, SystemClock().now_ms())
    finally:
        reader.close()


def _signer(state: str) -> Identity:
    settings = options.resolve_settings(None, {"state": state or None})
    return signer_of(settings, options.places(), options.passphrase())


def _texts_of(trials: tuple[str, ...], folder: str, state: str) -> tuple[str, ...]:
    if not trials:
        return ()
    with options.open_reader(folder, state) as reader:
        rows = [reader.trial(trial) for trial in trials]
    return tuple(dict.fromkeys(name for row in rows for name in (row.log, row.feedback) if name))


def _age(text: str) -> int | None:
    """Return an age in milliseconds; None when none is given.

    Raises:
        UsageError: not a duration.
    """
    if not text:
        return None
    try:
        return round(read_seconds(text) * _MILLISECONDS)
    except ValueError as error:
        raise UsageError(f"--older-than {text!r}: {error}", hint="a duration such as 180d") from error


def _plan_text(found: Plan) -> str:
    blobs = sum(map(len, found.chosen.values())) + len(found.pending)
    return f"{blobs} texts ({found.bytes} bytes) would go{_left(found)}"


def _done_text(done: Retained) -> str:
    completed = f", {done.completed} of them left over from an earlier run" if done.completed else ""
    return f"{done.blobs + done.completed} texts ({done.bytes} bytes) erased{completed}{_left(done)}"


def _left(found: Plan | Retained) -> str:
    return f"; {found.younger} are younger, {found.others} are others' to erase"
