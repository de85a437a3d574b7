"""Who acts for whom in a hive, by the certificates that ride along in it, and so what is excised there.

Rules:
    1. An operator may excise what its agents and devices made; one of those whose certificates all name `excise`
       may excise what its operator made. Nobody acts for what two identities certified.
    2. The latest certificate counts, at whatever place. What a revoked key signed too late is no part of the events.
    3. Keys are folded only where something was excised.

Data flow: events in canonical order + KeyFolds -> `excisions_in` -> Excisions -> `journal.standing` -> views.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from consilience.core.bodies_journal import ResultExcised
from consilience.core.events import Event
from consilience.journal.authority import ActsFor
from consilience.journal.excision import NO_EXCISIONS, Excisions, excisions_of
from consilience.journal.operators import KeyFolds
from consilience.journal.order import is_identity_event


def acts_for(events: Iterable[Event], keys: KeyFolds | None) -> ActsFor:
    """Return by DID the identities on whose behalf it may excise.

    Args:
        events: that count, of the hive and of its identities.
        keys: makes a fold of keys; None knows no certificates, and so nobody acts for another.
    """
    if keys is None:
        return {}
    known = keys()
    for event in events:
        if is_identity_event(event):
            known.apply(event)
    return known.acts_for()


def excisions_in(events: Sequence[Event], keys: KeyFolds | None) -> Excisions:
    """Return what was withdrawn among the events of one hive and its identities, in canonical order."""
    if not any(isinstance(event.body, ResultExcised) for event in events):
        return NO_EXCISIONS
    return excisions_of(events, acts_for(events, keys))
