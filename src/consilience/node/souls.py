"""The identity's own journal: its genesis is made there on first use, and from there it rides along in every study.

Rules:
    1. One soul folder for a user, beside the key; the identity's hive in it follows from the DID
       (`core.events.identity_hive`). Two processes that start at once make one genesis: the journal's lock decides.
    2. Every study's journal takes in the identity's own events before the feed goes on, so that it can be verified
       by itself, and what came before a change of keys is known to have come before it.
    3. A soul that cannot be used never stops a run: what is missing is said, and the next run carries it. Only
       a key whose rotation nobody could follow is refused (`identity`).

Data flow: key + places -> soul journal -> `identity_rows` -> `carry` -> the study's journal.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from msgspec import Struct

from consilience.core.bodies_identity import KeyRotated
from consilience.core.errors import ConsilienceError, IdentityError, JournalError, LockedError, NotFoundError
from consilience.core.events import identity_hive
from consilience.core.ports import Clock, Signer, Verifier
from consilience.identity.keys import Identity
from consilience.identity.keystore import witness_path
from consilience.journal.feed import Row, read_event
from consilience.journal.journal import Journal
from consilience.journal.kinds import kind_named
from consilience.journal.queries import identity_hives
from consilience.journal.reader import JournalReader
from consilience.journal.store import Store
from consilience.node.genesis import ensure_genesis, has_genesis, is_certified
from consilience.node.places import UserPlaces
from consilience.node.verifying import refuse_retired, ring_of
from consilience.node.writing import open_writer

Begin = Callable[[Journal], None]
"""Writes what the identity's hive lacks at its start; nothing where it is complete."""

_WAIT_SECONDS = 2.0  # for another process's genesis: a commit or two, of some 10 ms each
_POLL_SECONDS = 0.02
_LOST = "key changes and certificates are not in this study's journal until a run can read them"


class SoulRows(Struct, frozen=True, kw_only=True):
    """An identity's own events in order of arrival, and what is missing in words ("" for nothing)."""

    rows: tuple[Row, ...]
    missing: str = ""


def open_soul(places: UserPlaces, signer: Signer, clock: Clock) -> Journal:
    """Open the identity's own journal for writing, making it when absent, and enter its hive.

    Raises:
        LockedError: another process writes it.
        JournalError: it cannot be made.
    """
    journal = open_writer(places.soul, signer, clock)
    try:
        journal.enter(identity_hive(signer.did), places.marks)
    except BaseException:
        journal.close()
        raise
    return journal


def read_soul(places: UserPlaces, did: str) -> tuple[Row, ...]:
    """Return an identity's own events in the soul journal, in order of arrival; none where there is no journal.

    Raises:
        JournalError: it cannot be read.
    """
    return _read(places, lambda _: [identity_hive(did)])


def _read(places: UserPlaces, hives: Callable[[Store], Iterable[str]]) -> tuple[Row, ...]:
    """Return the rows of some hives of the soul journal, in order of arrival; none where there is no journal."""
    try:
        reader = JournalReader.open(places.soul)
    except NotFoundError:
        return ()
    try:
        rows = [row for hive in hives(reader.store) for row in reader.store.rows(hive=hive)]
        return tuple(sorted(rows, key=lambda row: row.position))
    finally:
        reader.close()


def identity_rows(
    places: UserPlaces, signer: Signer, clock: Clock, begin: Begin, complete: Callable[[tuple[Row, ...]], bool]
) -> SoulRows:
    """Return the identity's own events, with its genesis made on first use.

    Args:
        places: the user's; the soul is beside the key.
        signer: the identity.
        clock: for the `at` of a genesis.
        begin: writes what the hive lacks.
        complete: whether these events lack nothing, so that the soul need not be opened for writing.
    """
    rows: tuple[Row, ...] = ()
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        try:
            rows = read_soul(places, signer.did)
            if complete(rows):
                return SoulRows(rows=rows)
            _begin(places, signer, clock, begin)
            return SoulRows(rows=read_soul(places, signer.did))
        except LockedError as error:
            if time.monotonic() > deadline:
                return SoulRows(rows=rows, missing=_missing(places, error))
            time.sleep(_POLL_SECONDS)
        except (ConsilienceError, OSError) as error:
            return SoulRows(rows=rows, missing=_missing(places, error))


def carry(journal: Journal, soul: SoulRows, verifier: Verifier) -> str:
    """Take the identity's events that a study's journal lacks into it, durably; return what is missing in words.

    Must come before the own feed goes on, so that its next event names them as what it builds on.
    """
    lacking = [row for row in soul.rows if not journal.store.holds(row.id)]
    missing = soul.missing
    try:
        journal.take(lacking, verifier)
    except JournalError as error:  # those before the bad one hold
        missing = f"the soul does not hold: {error.message}; {_LOST}; see `consilience soul`"
    journal.commit()
    return missing


def own_rows(places: UserPlaces, identity: Identity, clock: Clock, passphrase: str = "") -> SoulRows:
    """Return the identity's own events; its genesis and its witness key's certificate are made where they lack.

    Args:
        places: the user's, with the key file in use.
        identity: whose.
        clock: for the `at` of a genesis.
        passphrase: of the key files that a genesis makes.
    """

    def begin(soul: Journal) -> None:
        ensure_genesis(soul, identity, places.key, passphrase)

    return identity_rows(places, identity, clock, begin, lambda rows: is_complete(rows, places.key))


def carry_identity(journal: Journal, places: UserPlaces, identity: Identity, clock: Clock, passphrase: str = "") -> str:
    """Make the identity's genesis on first use, and let its events ride along in a study's journal.

    Args:
        journal: the study's, before its feed goes on.
        places: the user's, with the key file in use.
        identity: the author.
        clock: for the `at` of a genesis.
        passphrase: of the key files that a genesis makes.

    Returns what is missing in words, "" where nothing is.

    Raises:
        IdentityError: the study's journal knows that the key was retired or revoked; or the key is a later one, and
            nothing in that journal would tell how it came to be.
    """
    soul = own_rows(places, identity, clock, passphrase)
    missing = carry(journal, soul, ring_of(journal.store))
    if identity.key_did != identity.did and not _knows_key(journal, identity):
        hint = f"mend {places.soul}, or restore it from a backup"
        raise IdentityError(
            f"the change to the key in {places.key} cannot be told here: {missing or 'it has no event'}", hint=hint
        )
    refuse_retired(journal.store, identity.did, identity.key_did)
    return missing


def operator_rows(places: UserPlaces, did: str) -> tuple[Row, ...]:
    """Return what the soul beside the user's key has of those that certified an identity, in order of arrival.

    Raises:
        JournalError: it cannot be read.
    """
    own = identity_hive(did)
    return _read(places, lambda store: [hive for hive in identity_hives(store, (did,)) if hive != own])


def carry_operators(journal: Journal, places: UserPlaces, did: str) -> str:
    """Let the events of an agent's or device's operators ride along in a study's journal: there, whose it is is known.

    `places` are the user's with his own key, beside whose soul other keys of his are used. Returns what is missing in
    words, "" where nothing is.
    """
    try:
        rows = operator_rows(places, did)
    except JournalError as error:
        return _missing(places, error)
    return carry(journal, SoulRows(rows=rows), ring_of(journal.store)) if rows else ""


def is_complete(rows: Iterable[Row], key: Path) -> bool:
    """Tell whether these events begin an identity and certify the witness key that is beside its key."""
    events = [read_event(row.payload, row.jws) for row in rows]
    return has_genesis(events) and is_certified(events, witness_path(key))


def _knows_key(journal: Journal, identity: Identity) -> bool:
    rows = journal.store.rows(hive=identity_hive(identity.did), kind=kind_named(KeyRotated))
    bodies = (read_event(row.payload, row.jws).body for row in rows)
    return any(isinstance(body, KeyRotated) and body.key == identity.key_did for body in bodies)


def _begin(places: UserPlaces, signer: Signer, clock: Clock, begin: Begin) -> None:
    journal = open_soul(places, signer, clock)
    try:
        begin(journal)
        journal.commit()
    finally:
        journal.close()


def _missing(places: UserPlaces, error: Exception) -> str:
    text = error.message if isinstance(error, ConsilienceError) else str(error)
    return f"the identity's own journal in {places.soul} cannot be used: {text}; {_LOST}"
