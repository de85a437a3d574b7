"""`id request`, `certify`, `revoke`, `consent`, `controller`: what an identity says of other keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from consilience.core.bodies_identity import CAPABILITIES, Capability, KeyPurpose
from consilience.core.errors import EXIT_DONE, UsageError
from consilience.interfaces.cli import options, secrets
from consilience.interfaces.cli.output import emit
from consilience.interfaces.text import one_line
from consilience.node import certifying
from consilience.node.certifying import CertificateRequest, Consent, Wanted
from consilience.node.clock import SystemClock
from consilience.node.identities import OpenSoul

_SHORT = 12
_PURPOSES = ("device", "agent", "witness")


def _with_wanted(function: Any) -> Any:
    for option in (
        click.option("--may", "may", multiple=True, type=click.Choice(CAPABILITIES), help="A capability. Repeatable."),
        click.option("--name", default="", help="What to call the key."),
        click.option("--purpose", type=click.Choice(_PURPOSES), default="agent", show_default=True),
    ):
        function = option(function)
    return function


@click.command()
@click.argument("operator")
@_with_wanted
@secrets.with_key
def request(
    operator: str,
    purpose: KeyPurpose,
    name: str,
    may: tuple[Capability, ...],
    as_json: bool,  # noqa: FBT001  click's
    **flags: Any,
) -> int:
    """Ask OPERATOR, a DID, to certify this device's key: prints a request to send there. It holds no secret."""
    places = secrets.places_of(flags)
    secret = secrets.passphrase_for(places.key, flags)
    made = certifying.request_certificate(places, operator, Wanted(purpose=purpose, name=name, may=may), secret)
    _emit_text(made, as_json=as_json)
    return EXIT_DONE


@click.command()
@click.argument("source", required=False, type=click.Path(path_type=Path), metavar="[REQUEST]")
@click.option("--new", "new_key", type=click.Path(path_type=Path), help="Make a key at this file, and certify it.")
@_with_wanted
@secrets.with_key
def certify(
    source: Path | None,
    new_key: Path | None,
    as_json: bool,  # noqa: FBT001  click's
    **flags: Any,
) -> int:
    """Certify a key as one of this identity's own: that of a REQUEST file, or a new one made here."""
    if (source is None) == (new_key is None):
        raise UsageError("which key?", hint="give a REQUEST file (`consilience id request`), or --new FILE")
    wanted = Wanted(purpose=flags["purpose"], name=flags["name"], may=flags["may"])
    if new_key is not None and wanted.purpose == "witness":
        raise UsageError("a witness key is made by its own node", hint="`consilience id request` there")
    asked = certifying.read_request(source) if source else None
    with _open(flags) as soul:
        if asked is None:
            lock = options.passphrase()
            asked = certifying.request_for_new_key(new_key or Path(), soul.identity.did, wanted, lock)
        event = certifying.certify(soul, asked)
    done = asked.certificate
    text = f"{done.purpose} {done.key} {one_line(done.name)} is certified (event {event[:_SHORT]})"
    data = {"key": done.key, "purpose": done.purpose, "name": done.name, "may": done.may, "event": event}
    emit(data, lambda console: console.print(text, soft_wrap=True), as_json=as_json)
    return EXIT_DONE


@click.command()
@click.argument("did", required=False)
@click.option("--self", "own", is_flag=True, help="This identity itself, for ever. There is no way back.")
@click.option("--reason", default="", help="Why; it is public.")
@click.option(
    "--journal",
    "journals",
    multiple=True,
    type=click.Path(path_type=Path),
    help="State folder with feeds of the revoked key: what they hold stays valid. Repeatable.",
)
@secrets.with_key
def revoke(
    did: str | None,
    own: bool,  # noqa: FBT001  click's
    reason: str,
    journals: tuple[Path, ...],
    as_json: bool,  # noqa: FBT001  click's
    **flags: Any,
) -> int:
    """Revoke a certified key, named by its DID: what it signs from now on counts nowhere."""
    if bool(did) == own:
        raise UsageError("which key?", hint="name its DID, or give --self")
    with _open(flags) as soul:
        key = did or soul.identity.did
        event = certifying.revoke(soul, key, reason, journals)
    text = f"{one_line(key, 0)} is revoked (event {event[:_SHORT]})"
    emit({"key": key, "event": event}, lambda console: console.print(text, soft_wrap=True), as_json=as_json)
    return EXIT_DONE


@click.command()
@click.argument("identity")
@click.option("--release", is_flag=True, help="Let go of it instead.")
@click.option("--successor", default="", help="With --release: the DID that may take over; nobody by default.")
@secrets.with_key
def consent(identity: str, release: bool, successor: str, as_json: bool, **flags: Any) -> int:  # noqa: FBT001  click's
    """Agree, with this machine's key, to control IDENTITY's stakes: prints a signed text to send there."""
    if successor and not release:
        raise UsageError("--successor goes with --release", hint="consilience id consent --help")
    places = secrets.places_of(flags)
    secret = secrets.passphrase_for(places.key, flags)
    made = (
        certifying.give_release(places, identity, successor, secret)
        if release
        else certifying.give_consent(places, identity, secret)
    )
    _emit_text(made, as_json=as_json)
    return EXIT_DONE


@click.command()
@click.option("--consent", "agreed", type=click.Path(path_type=Path), help="What the new controller signed.")
@click.option("--release", "released", type=click.Path(path_type=Path), help="What the controller before signed.")
@secrets.with_key
def controller(agreed: Path | None, released: Path | None, as_json: bool, **flags: Any) -> int:  # noqa: FBT001  click's
    """Name the colder key that owns this identity's stakes; with --release alone, none any more."""
    new = certifying.read_consent(agreed) if agreed else None
    before = certifying.read_consent(released) if released else None
    with _open(flags) as soul:
        event = certifying.name_controller(soul, new, before)
    named = new.controller if new else ""
    text = f"controller: {one_line(named, 0) or 'none'} (event {event[:_SHORT]})"
    emit({"controller": named, "event": event}, lambda console: console.print(text, soft_wrap=True), as_json=as_json)
    return EXIT_DONE


def _open(flags: dict[str, Any]) -> OpenSoul:
    places = secrets.places_of(flags)
    return OpenSoul(places, secrets.passphrase_for(places.key, flags), SystemClock())


def _emit_text(made: CertificateRequest | Consent, *, as_json: bool) -> None:
    text = certifying.text_of(made)
    emit(made, lambda console: console.print(text, soft_wrap=True), as_json=as_json)


COMMANDS = (request, certify, revoke, consent, controller)
