"""The identity of this device: opened for use, and described for people.

Rules:
    1. A rotation that was cut short is settled by the journal before the key is used.
    2. Looking needs no passphrase and, unless something is to be settled, no lock.

Data flow: key files + soul journal -> Identity; -> IdentityReport -> `consilience id show`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from msgspec import Struct

from consilience.core.errors import IdentityError, JournalError, NotFoundError
from consilience.core.ports import Clock
from consilience.identity.did import decode_did, peer_id, wallet_address
from consilience.identity.key_files import KeyFile, describe
from consilience.identity.keys import Identity
from consilience.identity.keystore import (
    is_unsettled,
    load,
    load_or_create,
    next_path,
    settle_rotation,
    witness_path,
    write_identity,
)
from consilience.journal.device import WriterLock
from consilience.journal.journal import LOCK_NAME, Journal
from consilience.journal.reader import JOURNAL_NAME
from consilience.journal.store import Store
from consilience.journal.views.key_chain import Certificate, KeySpan, KeyState, bare_state
from consilience.journal.views.keys import KeysView
from consilience.node.genesis import ensure_genesis
from consilience.node.places import UserPlaces
from consilience.node.souls import open_soul, read_soul
from consilience.node.verifying import keys_of


class IdentityReport(Struct, frozen=True, kw_only=True):
    """What `id show` tells. Paths are texts; "" where a file is not on this device.

    `operators` certified this identity's key, each by the event at its place in `operator_events`.
    """

    did: str
    key: str
    peer_id: str
    wallet: str
    file: str
    locked: bool
    genesis: str
    promise: str
    next_key_file: str
    witness: str
    controller: str
    controller_event: str
    operators: tuple[str, ...]
    operator_events: tuple[str, ...]
    keys: tuple[KeySpan, ...]
    certificates: tuple[Certificate, ...]
    revoked_event: str
    quarantined: str


def open_identity(places: UserPlaces, passphrase: str = "") -> Identity:
    """Return this device's identity, making its key on first use.

    Raises:
        IdentityError: the key cannot be made or read, or is no longer in force.
        LockedError: a rotation is under way.
    """
    settle(places)
    identity = load_or_create(places.key, passphrase)
    require_in_force(places, identity)
    return identity


def require_in_force(places: UserPlaces, identity: Identity) -> None:
    """Make sure that this device knows of no event that retired or revoked the key.

    A soul journal that cannot be read says nothing: `node.souls.carry_identity` tells what is missing then.

    Raises:
        IdentityError: it does: what the key signs would count nowhere.
    """
    try:
        state = state_of(places)
    except JournalError:
        return
    if state.revoked_event:
        hint = "`consilience id new --key FILE` makes another identity"
        raise IdentityError(f"{state.author} was revoked by event {state.revoked_event[:12]}", hint=hint)
    if state.key != identity.key_did and identity.key_did in [span.key for span in state.spans]:
        what = f"the key at {places.key} was retired by event {state.spans[-1].event[:12]}; {state.key} is in force"
        raise IdentityError(what, hint="restore key.json from a backup made after the last rotation")


def new_identity(places: UserPlaces, passphrase: str, clock: Clock, controller: Identity | None = None) -> None:
    """Make a new key with its genesis.

    Raises:
        IdentityError: there is a key already, or it cannot be made.
    """
    if not write_identity(places.key, Identity.generate(), passphrase):
        raise IdentityError(f"there is a key at {places.key} already", hint="name another place with --key")
    OpenSoul(places, passphrase, clock, controller=controller).close()


def settle(places: UserPlaces) -> None:
    """Finish or undo a rotation that was cut short; nothing is done where none was.

    Raises:
        LockedError: it is under way in another process.
    """
    if not is_unsettled(places.key):
        return
    lock = WriterLock(places.soul / LOCK_NAME)
    try:
        settle_rotation(places.key, state_of(places).key)
    finally:
        lock.release()


def state_of(places: UserPlaces) -> KeyState:
    """Return what the soul journal says of this device's identity; a bare state where it says nothing."""
    file = public_file(places)
    author = file.first_did
    keys = _soul_keys(places)
    return keys.state(author) if keys else bare_state(author)


def _soul_keys(places: UserPlaces) -> KeysView | None:
    """Return what the soul journal says of keys; None where there is none."""
    try:
        store = Store.open(places.soul / JOURNAL_NAME)
    except NotFoundError:
        return None
    try:
        return keys_of(store)
    finally:
        store.close()


def public_file(places: UserPlaces) -> KeyFile:
    """Return what the key file says without being unlocked.

    Raises:
        IdentityError: there is no key yet, or its file is unusable.
    """
    if not places.key.exists():
        raise IdentityError(f"there is no key at {places.key} yet", hint="consilience id new")
    return describe(places.key)


class OpenSoul:
    """This identity with its soul journal open for writing, genesis written: where key events are made."""

    def __init__(
        self, places: UserPlaces, passphrase: str, clock: Clock, *, controller: Identity | None = None
    ) -> None:
        settle(places)
        self.places = places
        self.identity = load(places.key, passphrase)
        require_in_force(places, self.identity)
        self.journal: Journal = open_soul(places, self.identity, clock)
        try:
            ensure_genesis(self.journal, self.identity, places.key, passphrase, controller=controller)
        except BaseException:
            self.journal.close()
            raise

    @property
    def state(self) -> KeyState:
        """What the journal says of this identity now."""
        return keys_of(self.journal.store).state(self.identity.did)

    def write(self, body: object) -> str:
        """Append one event, make it durable, and return its id."""
        event = self.journal.append(body)
        self.journal.commit()
        return event.id

    def close(self) -> None:
        """Let others write."""
        self.journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def report(places: UserPlaces, passphrase: Callable[[], str] = str) -> IdentityReport:
    """Describe this device's identity. The passphrase is asked for only where a locked file does not say whose it is.

    Raises:
        IdentityError: there is no key yet, or its file is unusable.
    """
    settle(places)
    file = public_file(places)
    if not file.did:
        load(places.key, passphrase())
        file = public_file(places)
    keys = _soul_keys(places)
    author = file.first_did
    state = keys.state(author) if keys else bare_state(author)
    key = decode_did(file.did)
    witness = witness_path(places.key)
    kept = next_path(places.key)
    above = keys.certificates(state.author) if keys else {}
    return IdentityReport(
        did=state.author,
        key=file.did,
        peer_id=peer_id(key),
        wallet=wallet_address(key),
        file=str(places.key),
        locked=file.locked,
        genesis=state.genesis,
        promise=state.promise,
        next_key_file=str(kept) if kept.exists() else "",
        witness=describe(witness).did if witness.exists() else "",
        controller=state.controller,
        controller_event=state.controller_event,
        operators=tuple(above),
        operator_events=tuple(certificate.event for certificate in above.values()),
        keys=state.spans,
        certificates=state.certificates,
        revoked_event=state.revoked_event,
        quarantined=state.quarantined,
    )


def own_events(places: UserPlaces, did: str) -> list[tuple[str, str]]:
    """Return the identity's own events as (payload, JWS), causes first; they are public."""
    return [(row.payload.decode(), row.jws) for row in read_soul(places, did)]
