"""Opening a journal for writing as this node does: keys that tell the order, and every secret it knows hidden.

Rules:
    1. Whoever writes a journal in `node` opens it here: one that is opened elsewhere does not know of rotations, and
       stores what the environment keeps secret.

Data flow: state folder + identity -> Journal -> Session, `node.souls`, `node.log_writer`, `node.retention`.
"""

from __future__ import annotations

from pathlib import Path

from consilience.core.ports import Clock, Signer
from consilience.journal.journal import Journal
from consilience.journal.store import Durability
from consilience.node.secrets import redactor
from consilience.node.verifying import fresh_keys


def open_writer(
    folder: Path, signer: Signer, clock: Clock, *, passphrase: str = "", durability: Durability = "full"
) -> Journal:
    """Open the journal in a state folder for writing, making it when absent.

    Args:
        folder: the state folder.
        signer: the author.
        clock: for the `at` of events.
        passphrase: of the key files; never stored.
        durability: see `journal.store`.

    Raises:
        LockedError: another process writes it.
        JournalError: the folder cannot be written, or the file is not usable.
    """
    journal = Journal.create(folder, signer, clock, durability)
    journal.keys = fresh_keys
    journal.redactor = redactor(passphrase)
    return journal
