"""The identity's own journal: where its genesis and its keys are kept, beside the key file.

Rules:
    1. One soul folder for a user; the identity's hive in it follows from the DID (`core.events.identity_hive`).
    2. Every study's journal that holds events of an identity also holds that identity's own events.

Data flow: user places + signer -> `open_soul` -> Journal.
"""

from __future__ import annotations

from consilience.core.events import identity_hive
from consilience.core.ports import Clock, Signer
from consilience.journal.journal import Journal
from consilience.node.places import UserPlaces


def open_soul(places: UserPlaces, signer: Signer, clock: Clock) -> Journal:
    """Open the identity's own journal for writing, making it when absent, and enter its hive.

    Raises:
        LockedError: another process writes it.
        JournalError: it cannot be made.
    """
    journal = Journal.create(places.soul, signer, clock)
    try:
        journal.enter(identity_hive(signer.did), places.marks)
    except BaseException:
        journal.close()
        raise
    return journal
