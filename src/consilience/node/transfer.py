"""An identity on another device: an export under a passphrase, an import, and the public card.

Rules:
    1. A secret leaves in the clear only when that is asked for by name. It is never printed.
    2. An identity's own events travel with its key, so that the other device begins no second history.
    3. The promised next key does not travel: it is copied by hand, or stays where it is kept.
    4. What is imported is verified whole before anything is written, and no other key is overwritten.

Data flow: key file + soul journal -> file -> key file + soul journal.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from consilience.core.errors import ForeignEventError, IdentityError, JournalError, UsageError
from consilience.core.events import identity_hive
from consilience.core.ports import Clock
from consilience.identity.key_files import describe
from consilience.identity.keyring import KeyRing
from consilience.identity.keys import Identity
from consilience.identity.keystore import load, read_identity, require_settled, witness_path, write_identity
from consilience.journal.feed import Row, check_row, read_event, row_of
from consilience.node.genesis import ensure_genesis
from consilience.node.identities import own_events, public_file, settle, state_of
from consilience.node.places import UserPlaces
from consilience.node.souls import open_soul
from consilience.node.verifying import fresh_keys

EVENTS_FIELD = "identity_events"
CARD_FORMAT = "consilience-card-v1"


class Transferred(Struct, frozen=True, kw_only=True):
    """What an export or import came to."""

    did: str
    key: str
    file: str
    events: int
    locked: bool


def export_identity(places: UserPlaces, destination: Path, passphrase: str, new_passphrase: str) -> Transferred:
    """Write the key in force with the identity's own events to a new file, under `new_passphrase` ("" for none).

    Raises:
        UsageError: the file exists.
        IdentityError: the key cannot be read, or the file not be written.
    """
    _require_new(destination)
    settle(places)
    identity = load(places.key, passphrase)
    events = own_events(places, identity.did)
    beside = {EVENTS_FIELD: [list(pair) for pair in events]}
    if not write_identity(destination, identity, new_passphrase, beside=beside):
        raise UsageError(f"{destination} exists already", hint="name a new file")
    return Transferred(
        did=identity.did,
        key=identity.key_did,
        file=str(destination),
        events=len(events),
        locked=bool(new_passphrase),
    )


def export_card(places: UserPlaces, destination: Path) -> Transferred:
    """Write what is public of this identity to a new file: names, witness key, and its own events as signed.

    Raises:
        UsageError: the file exists.
        IdentityError: there is no key yet.
    """
    _require_new(destination)
    settle(places)
    file, state = public_file(places), state_of(places)
    witness = witness_path(places.key)
    events = own_events(places, state.author)
    card = {
        "format": CARD_FORMAT,
        "did": state.author,
        "key": file.did,
        "witness": describe(witness).did if witness.exists() else "",
        EVENTS_FIELD: [list(pair) for pair in events],
    }
    try:
        destination.write_bytes(msgspec.json.format(msgspec.json.encode(card), indent=1) + b"\n")
    except OSError as error:
        raise IdentityError(f"cannot write {destination}: {error}", hint="name a writable place") from error
    return Transferred(did=state.author, key=file.did, file=str(destination), events=len(events), locked=False)


def _require_new(destination: Path) -> None:
    if destination.exists():
        raise UsageError(f"{destination} exists already", hint="name a new file")


def import_identity(
    places: UserPlaces, source: Path, clock: Clock, passphrase: str, new_passphrase: str | None = None
) -> Transferred:
    """Take in a key with its identity's events, or a wallet's keystore, which begins an identity of its own.

    Args:
        places: where the key is to be kept; a different key there is never overwritten.
        source: a file of `export_identity`, or any keystore v3.
        clock: for the genesis of an identity that has none.
        passphrase: of the source.
        new_passphrase: of the kept key; None keeps it under the source's.

    Raises:
        IdentityError: there is another key, or the source cannot be read.
        ForeignEventError: its events do not hold, or do not make its key the one in force.
    """
    file = describe(source)
    identity = read_identity(source, passphrase)
    rows = _rows(file.document.get(EVENTS_FIELD, []), identity)
    kept_under = passphrase * file.locked if new_passphrase is None else new_passphrase
    _keep(places, identity, kept_under)
    journal = open_soul(places, identity, clock)
    try:
        journal.take(rows, KeyRing(fresh_keys()))
        ensure_genesis(journal, identity, places.key, kept_under)
    finally:
        journal.close()
    return Transferred(
        did=identity.did, key=identity.key_did, file=str(places.key), events=len(rows), locked=bool(kept_under)
    )


def _keep(places: UserPlaces, identity: Identity, passphrase: str) -> None:
    """Write the key, unless the same key is there already."""
    require_settled(places.key)
    if not places.key.exists():
        write_identity(places.key, identity, passphrase, origin="imported")
    if describe(places.key).did != identity.key_did:
        hint = "name another place with --key, or move that key away"
        raise IdentityError(f"there is another key at {places.key}; nothing was imported", hint=hint)


def _rows(pairs: Any, identity: Identity) -> list[Row]:
    """Read and verify the events that came with a key.

    Raises:
        ForeignEventError: one of them does not hold, or they make another key the one in force.
    """
    hint = "export the identity anew"
    keys = fresh_keys()
    ring = KeyRing(keys)
    try:
        found = [row_of(read_event(text.encode(), jws)) for text, jws in msgspec.convert(pairs, list[tuple[str, str]])]
    except (msgspec.ValidationError, JournalError) as error:
        raise ForeignEventError(f"the events beside the key cannot be read: {error}", hint=hint) from error
    for row in found:
        fault = check_row(row, ring) or ("" if row.hive == identity_hive(identity.did) else "it is of another hive")
        if fault:
            raise ForeignEventError(f"event {row.id[:12]} beside the key: {fault}", hint=hint)
    in_force = keys.state(identity.did).key
    if in_force != identity.key_did:
        what = f"the events beside the key make {in_force} the key in force, not {identity.key_did}"
        raise ForeignEventError(what, hint="this is an old key: import the one that followed it")
    return found
