"""A journal opened to sign its tree head: the key, the witness key with its certificate, and the feed that speaks.

Rules:
    1. The origin is that of this writer's own feed in the journal's first hive. Only the device that holds the feed's
       mark extends it, so a restored or copied journal speaks under another origin and contradicts nobody.
    2. The certificate of the witness key rides along in the journal before anything is signed with that key.

Data flow: state folder, key -> LogWriter -> `node.checkpoints`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from consilience.core.errors import IdentityError, JournalError, NotFoundError
from consilience.core.ports import NoteSigner
from consilience.identity.keys import Identity
from consilience.identity.keystore import ensure_witness_key
from consilience.journal.feed import Row
from consilience.journal.journal import Journal
from consilience.journal.notes import origin_of
from consilience.journal.reader import JOURNAL_NAME
from consilience.node.clock import SystemClock
from consilience.node.identities import open_identity
from consilience.node.identity_events import certified_in
from consilience.node.places import UserPlaces
from consilience.node.souls import is_complete, own_rows
from consilience.node.verifying import refuse_retired, ring_of
from consilience.node.writing import open_writer

_REVOKED = "move its file (beside the key, `witness.json`) away: the next checkpoint makes and certifies a new one"


class LogWriter(Struct, frozen=True, kw_only=True):
    """A journal that this process writes, and the key that signs its heads."""

    journal: Journal
    folder: Path
    feed: str
    key: NoteSigner
    places: UserPlaces

    @property
    def origin(self) -> str:
        """The name of the log."""
        return origin_of(self.feed)


@contextmanager
def open_log(state: Path, places: UserPlaces, key: Path, passphrase: str) -> Iterator[LogWriter]:
    """Open the journal in a state folder to sign its head.

    Args:
        state: the folder.
        places: the user's.
        key: the identity's key file.
        passphrase: of the key files.

    Raises:
        NotFoundError: there is no journal, or nothing in it.
        LockedError: a run is writing it.
        JournalError, IdentityError: it or the keys cannot be used.
    """
    if not (state / JOURNAL_NAME).exists():
        raise NotFoundError(f"no journal in {state}", hint="`consilience run` makes one")
    own = own_witness(places, key, passphrase)
    journal = open_writer(state, own.identity, SystemClock(), passphrase=passphrase)
    try:
        refuse_retired(journal.store, own.identity.did, own.identity.key_did)
        hive = next(iter(journal.hives()), None)
        if hive is None:
            raise NotFoundError(f"no study in the journal in {state}", hint="`consilience run` begins one")
        journal.take((row for row in own.rows if not journal.store.holds(row.id)), ring_of(journal.store))
        journal.commit()
        if own.key.did not in certified_in(journal.store):
            raise IdentityError(f"the witness key {own.key.did} was revoked", hint=_REVOKED)
        journal.enter(hive, places.marks)
        yield LogWriter(journal=journal, folder=state, feed=journal.feed(), key=own.key, places=places)
    finally:
        journal.close()


class OwnWitness(Struct, frozen=True, kw_only=True):
    """This node's witness key, the identity that certified it, and that identity's own events."""

    key: NoteSigner
    identity: Identity
    rows: tuple[Row, ...]


def own_witness(places: UserPlaces, key: Path, passphrase: str) -> OwnWitness:
    """Return this node's witness key, made and certified where it is missing.

    Raises:
        IdentityError: the keys cannot be made or read, or the identity's is no longer in force.
        JournalError: the certificate cannot be written.
    """
    places = replace(places, key=key)
    identity = open_identity(places, passphrase)
    rows = _certificate_rows(places, identity, passphrase)
    return OwnWitness(key=ensure_witness_key(key, passphrase), identity=identity, rows=rows)


def _certificate_rows(places: UserPlaces, identity: Identity, passphrase: str) -> tuple[Row, ...]:
    """Return the identity's own events, the witness key's certificate among them; made where they are missing.

    Raises:
        JournalError: they cannot be made.
    """
    soul = own_rows(places, identity, SystemClock(), passphrase)
    if not is_complete(soul.rows, places.key):
        raise JournalError(
            f"this node's witness key has no certificate: {soul.missing}", hint="see `consilience soul`, and try again"
        )
    return soul.rows
