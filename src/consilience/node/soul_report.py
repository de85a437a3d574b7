"""What an identity has done: its own journal and a study's, verified, folded and judged.

Rules:
    1. Read-only: nothing is made, locked or unlocked; a locked key file is no obstacle.
    2. Every journal that is read is verified as a whole first; what does not hold is told beside the soul, not hidden.
    3. Whether a re-run or recheck bears out what it repeats is judged by the noise floor recorded before it.

Data flow: soul journal + a study's journal -> events by hive -> `SoulView` -> SoulReport -> `consilience soul`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from consilience.core.bodies_identity import IdentityCreated
from consilience.core.errors import IdentityError, JournalError, NotFoundError
from consilience.core.events import Event, identity_hive
from consilience.core.problem import Problem
from consilience.identity.key_files import describe
from consilience.identity.proofs import StatementProofs
from consilience.journal.acting import excisions_in
from consilience.journal.checking import Fault
from consilience.journal.order import canonical_order, is_identity_event, order_events
from consilience.journal.reader import JOURNAL_NAME, JournalReader, fold
from consilience.journal.views.appraisal import Aftermath, Decision
from consilience.journal.views.soul import Soul, SoulView
from consilience.node.places import UserPlaces
from consilience.node.upkeep import verify
from consilience.node.verifying import fresh_keys
from consilience.search.noise import NoiseFloor
from consilience.search.repeating import compare


class JournalChecked(Struct, frozen=True, kw_only=True):
    """A journal that was read, and the first thing that does not hold in it."""

    path: str
    events: int
    fault: Fault | None


class SoulReport(Struct, frozen=True, kw_only=True):
    """A soul, the names of its hives (problem names, where the specification is here), and whether all verified.

    `events` are the ids of every event that is shown, so that `why` and `prove` can be asked about each.
    """

    soul: Soul
    problems: dict[str, str]
    journals: list[JournalChecked]
    verified: bool
    events: list[str]


def soul_report(did: str, places: UserPlaces, state: Path | None) -> SoulReport:
    """Return what is known of an identity.

    Args:
        did: whose; "" is the node's own.
        places: the user's folders; the soul is beside the key.
        state: a study's state folder that is read as well; None for none.

    Raises:
        NotFoundError: there is no journal, or no event of this identity in them.
        JournalError: a journal cannot be read at all.
    """
    folders = [folder for folder in (places.soul, state) if folder and (folder / JOURNAL_NAME).exists()]
    if not folders:
        raise NotFoundError("no identity and no study here yet", hint="`consilience run` a problem first")
    journals = [_checked(folder, places) for folder in folders]
    readers = [JournalReader.open(folder) for folder in folders]
    try:
        hives = _by_hive(event for reader in readers for event in reader.arrivals())
        problems = _problems(readers)
    finally:
        for reader in readers:
            reader.close()
    return _report(_choose(did, hives, places), hives, problems, journals)


def _checked(folder: Path, places: UserPlaces) -> JournalChecked:
    found = verify(folder, places)
    return JournalChecked(path=str(folder), events=found.events, fault=found.fault)


def _by_hive(arrivals: Iterable[Event]) -> dict[str, list[Event]]:
    """Return each hive's events in canonical order, each event once; identity events are causes in all of them."""
    held: dict[str, dict[str, Event]] = {}
    for event in arrivals:
        held.setdefault(event.fields.hive, {})[event.id] = event
    own = {hive: events for hive, events in held.items() if _is_identity_hive(hive, events)}
    causes = [event for events in own.values() for event in events.values()]
    ordered = {
        hive: canonical_order(events.values())
        if hive in own
        else order_events([*causes, *events.values()], keys=fresh_keys()).events
        for hive, events in held.items()
    }
    return {hive: [event for event in events if event.fields.hive == hive] for hive, events in ordered.items()}


def _is_identity_hive(hive: str, events: dict[str, Event]) -> bool:
    return any(hive == identity_hive(event.fields.author) for event in events.values())


def _problems(readers: list[JournalReader]) -> dict[str, Problem]:
    found: dict[str, Problem] = {}
    for reader in readers:
        for hive, genesis in reader.hives().items():
            try:
                found[hive] = msgspec.json.decode(reader.blob(genesis.specification), type=Problem)
            except (JournalError, msgspec.DecodeError):
                continue  # a fault of the journal, which its verification names
    return found


def _choose(did: str, hives: dict[str, list[Event]], places: UserPlaces) -> str:
    """Return whose soul is meant.

    Raises:
        NotFoundError: nobody of that name wrote here.
    """
    authors = sorted({event.fields.author for events in hives.values() for event in events})
    wanted = did or _own(hives, places)
    fitting = [author for author in authors if author == wanted or (did and author.startswith(did))]
    if len(fitting) == 1:
        return fitting[0]
    known = ", ".join(authors) or "nobody"
    what = f"several identities begin with {did!r}" if fitting else f"no event of {wanted or 'an own identity'} here"
    raise NotFoundError(f"{what}; events are by {known}", hint="name one of them, or another study with -p")


def _own(hives: dict[str, list[Event]], places: UserPlaces) -> str:
    """Return the own DID: by the key file's public part, or where it has none by the only genesis that is here."""
    try:
        file = describe(places.key)
    except IdentityError:
        file = None
    if file is not None and file.first_did:
        return file.first_did
    created = [e for events in hives.values() for e in events if isinstance(e.body, IdentityCreated)]
    authors = {event.fields.author for event in created}
    return authors.pop() if len(authors) == 1 else ""


def _report(
    did: str, hives: dict[str, list[Event]], problems: dict[str, Problem], journals: list[JournalChecked]
) -> SoulReport:
    identities = [event for events in hives.values() for event in events if is_identity_event(event)]
    withdrawn = (excisions_in([*identities, *events], fresh_keys).withdrawn for events in hives.values())
    excised = frozenset(name for names in withdrawn for name in names)
    metrics = {hive: problem.objective.metric for hive, problem in problems.items()}
    view = SoulView(did, StatementProofs(), metrics, excised)
    for events in hives.values():
        fold(view, events)
    soul = view.soul()
    soul = replace(soul, decisions=tuple(_judged(decision) for decision in soul.decisions))
    return SoulReport(
        soul=soul,
        problems={hive: problem.name for hive, problem in problems.items() if hive in soul.hives},
        journals=journals,
        verified=not any(journal.fault for journal in journals),
        events=_behind(soul),
    )


def _judged(decision: Decision) -> Decision:
    return replace(decision, aftermath=tuple(_judge(each) for each in decision.aftermath))


def _judge(aftermath: Aftermath) -> Aftermath:
    """Say whether a second run agrees with the first: equal, within noise, differs."""
    figures = aftermath.figures
    if aftermath.what not in ("recheck", "rerun") or not {"before", "after"} <= figures.keys():
        return aftermath
    floors = {}
    if "deviation" in figures:
        floors["score"] = NoiseFloor(
            mean=0.0,
            deviation=figures["deviation"],
            degrees=int(figures["degrees"]),
            deterministic=bool(figures["deterministic"]),
        )
    (compared,) = compare({"score": figures["before"]}, {"score": figures["after"]}, floors, "score")
    return replace(aftermath, text=compared.agreement)


def _behind(soul: Soul) -> list[str]:
    """Return the id of every event that the soul shows, each once."""
    names: list[str] = [soul.genesis.event] if soul.genesis else []
    names += [soul.controller_event, soul.revoked, *soul.refused]
    for behind in (shown.events for rows in (soul.rotations, soul.certified, soul.decisions) for shown in rows):
        names.extend(behind)
    for belief in soul.beliefs:
        names.extend((*belief.events, *belief.supports, *belief.contradicts))
    return list(dict.fromkeys(name for name in names if name))
