"""`id`: the identity of this device: shown, made, rotated, locked, moved. `certify_commands` has the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console

from consilience.core.errors import EXIT_DONE
from consilience.identity.keystore import load, set_passphrase
from consilience.interfaces.cli import certify_commands, secrets
from consilience.interfaces.cli.output import emit, note, warn
from consilience.interfaces.text import one_line
from consilience.journal.views.key_chain import Certificate
from consilience.node import identities, transfer
from consilience.node.clock import SystemClock
from consilience.node.identities import IdentityReport
from consilience.node.rotation import Promised, Rotated
from consilience.node.rotation import rotate as rotate_key

_SHORT = 12


@click.group(name="id")
def id_() -> None:
    """The identity of this device: its key, what follows it, and what it certified."""


@id_.command()
@secrets.with_key
def show(as_json: bool, **flags: Any) -> int:  # noqa: FBT001  click's
    """Show DID, peer id, wallet, key file, next key, witness key, controller, certified keys and rotations."""
    places = secrets.places_of(flags)
    report = identities.report(places, lambda: secrets.passphrase_for(places.key, flags))
    emit(report, lambda console: _show(console, report), as_json=as_json)
    return EXIT_DONE


@id_.command()
@click.option("--controller-key", type=click.Path(path_type=Path), help="Key file of the colder key that owns stakes.")
@secrets.with_key
def new(controller_key: Path | None, as_json: bool, **flags: Any) -> int:  # noqa: FBT001  click's
    """Make a new key with its genesis; a key that is there is never overwritten."""
    places = secrets.places_of(flags)
    passphrase = secrets.passphrase_for(places.key, flags)
    controller = load(controller_key, secrets.passphrase_for(controller_key, flags)) if controller_key else None
    identities.new_identity(places, passphrase, SystemClock(), controller)
    report = identities.report(places, lambda: passphrase)
    emit(report, lambda console: _show(console, report), as_json=as_json)
    note(f"move {report.next_key_file} to a place of its own, best offline: it takes over when this key is stolen")
    return EXIT_DONE


@id_.command()
@click.option("--next", "promised", type=click.Path(path_type=Path), help="The promised key, where it was moved away.")
@click.option(
    "--next-passphrase-file",
    "next_passphrase_file",
    type=click.Path(path_type=Path),
    help="File with the promised key's own passphrase, where that is another.",
)
@click.option(
    "--journal",
    "journals",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Further state folder with feeds of this identity, such as a copy of another device's. Repeatable.",
)
@secrets.with_key
def rotate(promised: Path | None, journals: tuple[Path, ...], as_json: bool, **flags: Any) -> int:  # noqa: FBT001  click's
    """Let the promised key take over. What the old key signs from now on counts nowhere."""
    places = secrets.places_of(flags)
    passphrase = secrets.passphrase_for(places.key, flags)
    kept = None
    if promised is not None:
        own = secrets.passphrase_for(promised, {"passphrase_file": flags["next_passphrase_file"]})
        kept = Promised(file=promised, passphrase=own if flags["next_passphrase_file"] else own or passphrase)
    done = rotate_key(places, SystemClock(), passphrase, promised=kept, journals=journals)
    emit(done, lambda console: console.print(_rotated(done), soft_wrap=True), as_json=as_json)
    note(f"move {done.next_key_file} to a place of its own, best offline")
    if promised is not None:
        note(f"{promised} is in force now: that copy of it can go")
    return EXIT_DONE


def _rotated(done: Rotated) -> str:
    feeds = f"{len(done.closes)} feed{'s' * (len(done.closes) != 1)} closed for the old key"
    return f"{done.key} signs for {done.did} now; {feeds} (event {done.event[:_SHORT]})"


@id_.command()
@click.option("--remove", is_flag=True, help="Keep the keys in the clear from now on.")
@secrets.with_new_passphrase
@secrets.with_key
def passphrase(remove: bool, as_json: bool, **flags: Any) -> int:  # noqa: FBT001  click's
    """Put the keys of this identity under a new passphrase, or take it off."""
    places = secrets.places_of(flags)
    identities.settle(places)
    identities.public_file(places)
    old = secrets.passphrase_for(places.key, flags)
    files = [str(path) for path in set_passphrase(places.key, old, "" if remove else secrets.new_passphrase(flags))]
    state = "in the clear" if remove else "under the new passphrase"
    text = f"{len(files)} key files {state}: {', '.join(files)}"
    emit({"files": files, "locked": not remove}, lambda c: c.print(one_line(text, 0), soft_wrap=True), as_json=as_json)
    if not remove:
        note("set CONSILIENCE_PASSPHRASE for commands that sign; a key that was moved away keeps its old passphrase")
    return EXIT_DONE


@id_.command()
@click.argument("destination", type=click.Path(path_type=Path))
@click.option("--public", is_flag=True, help="Only what is public: DID, witness key, own events. No secret.")
@click.option("--unencrypted", is_flag=True, help="Write the secret in the clear.")
@secrets.with_new_passphrase
@secrets.with_key
def export(destination: Path, public: bool, unencrypted: bool, as_json: bool, **flags: Any) -> int:  # noqa: FBT001  click's
    """Write the key with its identity's events to DESTINATION, under a passphrase (keystore v3)."""
    places = secrets.places_of(flags)
    identities.public_file(places)
    if public:
        done = transfer.export_card(places, destination)
    else:
        old = secrets.passphrase_for(places.key, flags)
        lock = "" if unencrypted else secrets.new_passphrase(flags, default=old)
        done = transfer.export_identity(places, destination, old, lock)
    what = "the public card" if public else f"the key, {'locked' if done.locked else 'IN THE CLEAR'},"
    text = f"{what} of {done.did} with {done.events} events is in {done.file}"
    emit(done, lambda console: console.print(one_line(text, 0), soft_wrap=True), as_json=as_json)
    if not public:
        note("the promised next key is not in it: copy that by hand, or rotate on this device only")
    return EXIT_DONE


@id_.command(name="import")
@click.argument("source", type=click.Path(path_type=Path))
@secrets.with_new_passphrase
@secrets.with_key
def import_(source: Path, as_json: bool, **flags: Any) -> int:  # noqa: FBT001  click's
    """Take in a key from SOURCE (an export, or a wallet's keystore v3); another key is never overwritten."""
    places = secrets.places_of(flags)
    lock = secrets.new_passphrase(flags) if flags["new_passphrase_file"] else None
    done = transfer.import_identity(places, source, SystemClock(), secrets.passphrase_for(source, flags), lock)
    text = f"{done.did} is in {done.file}, with {done.events} events that came with it"
    emit(done, lambda console: console.print(one_line(text, 0), soft_wrap=True), as_json=as_json)
    return EXIT_DONE


def _show(console: Console, report: IdentityReport) -> None:
    lines = {
        "did": report.did,
        "key in force": "" if report.key == report.did else report.key,
        "peer id": report.peer_id,
        "wallet": report.wallet,
        "key file": f"{report.file} ({'locked' if report.locked else 'in the clear'})",
        "next key": _next(report),
        "witness key": report.witness or "none yet",
        "controller": report.controller or "none: this key owns its own stakes",
        "operator": ", ".join(report.operators),
        "genesis": report.genesis[:_SHORT] or "none yet; the first use writes it",
    }
    for name, value in lines.items():
        if value:
            console.print(f"{name:<13} {one_line(value, 0)}", soft_wrap=True)
    for number, span in enumerate(report.keys[1:], start=1):
        console.print(f"rotation {number:<4} {span.key} (event {span.event[:_SHORT]})", soft_wrap=True)
    for certificate in report.certificates:
        console.print(f"{certificate.purpose:<13} {one_line(_certificate(certificate), 0)}", soft_wrap=True)
    if report.revoked_event:
        console.print(f"REVOKED by event {report.revoked_event[:_SHORT]}: it signs nothing more")
    if report.quarantined:
        warn(f"quarantined: {report.quarantined}")


def _next(report: IdentityReport) -> str:
    if not report.promise:
        return "none promised" if report.genesis else ""
    kept = f"in {report.next_key_file}: move it elsewhere" if report.next_key_file else "not on this device"
    return f"sha256 {report.promise[:_SHORT]}, {kept}"


def _certificate(each: Certificate) -> str:
    state = f", REVOKED by event {each.revoked[:_SHORT]}" if each.revoked else ""
    may = f" may {', '.join(each.may)}" if each.may else ""
    return f"{each.key} {each.name}{may} (event {each.event[:_SHORT]}{state})"


for command in certify_commands.COMMANDS:
    id_.add_command(command)
