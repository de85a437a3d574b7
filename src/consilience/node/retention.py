"""Retention: texts are erased by age or on request; a signed tombstone stays, and the journal still verifies.

Rules:
    1. Nothing younger than the policy's `retention_days` is erased, by nobody's request.
    2. Age is counted from the `at` of the youngest event that names a text: its author's clock, which nobody checked.
    3. The tombstone is durable before the bytes go, and each run completes what an earlier one left undone.
    4. Only texts that the registry calls erasable, and only by who may: their author, or an owner of the hive.

Data flow: state folder -> `plan` -> Plan -> `retain` -> blobs.erased, bytes overwritten -> Retained.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from consilience.core.bodies import HiveFounded, StudyConfigured
from consilience.core.bodies_journal import BlobsErased
from consilience.core.errors import NotFoundError, RetentionError, UsageError
from consilience.core.ports import Clock
from consilience.core.untrusted import one_capped_line
from consilience.identity.keys import Identity
from consilience.journal.erasure import ErasureView, erase_bytes, read_erasures
from consilience.journal.feed import read_event
from consilience.journal.journal import Journal
from consilience.journal.kinds import kind_named
from consilience.journal.reader import JournalReader
from consilience.node.identities import open_identity
from consilience.node.places import UserPlaces
from consilience.node.settings import Settings
from consilience.node.verifying import refuse_retired
from consilience.node.writing import open_writer
from consilience.trials.executors.folders import remove

DAY_MS = 86_400_000
_HINT = "wait, or configure a policy of less than {} days with `consilience run`, which is recorded"
_MOST_NAMES = 1000  # of one tombstone, which stays below 70 kB


class Wish(Struct, frozen=True, kw_only=True):
    """What is to be erased.

    Attributes:
        names: these texts, by name or an unambiguous beginning; empty for all that are old enough.
        age_ms: only what is at least so old; None is the policy's own limit.
        reason: whose request, or which rule; part of the tombstone.
    """

    names: tuple[str, ...] = ()
    age_ms: int | None = None
    reason: str = ""


class Plan(Struct, frozen=True, kw_only=True):
    """What would be erased, by hive, and what not.

    Attributes:
        chosen: names by hive.
        pending: names with a tombstone whose bytes are still here: an earlier run was cut short.
        bytes: that `chosen` and `pending` take.
        younger: texts that are too young.
        others: texts that only another author, or an owner of their hive, may erase.
    """

    chosen: dict[str, tuple[str, ...]]
    pending: tuple[str, ...]
    bytes: int
    younger: int
    others: int


class Retained(Struct, frozen=True, kw_only=True):
    """What was erased: texts and bytes, their tombstones, and how many texts stay because of age or author."""

    blobs: int
    bytes: int
    completed: int
    younger: int
    others: int
    tombstones: tuple[str, ...]


class _Known(Struct, frozen=True, kw_only=True):
    """What a plan reads from the journal."""

    view: ErasureView
    sizes: dict[str, int]
    days: dict[str, int | None]


def signer_of(settings: Settings, places: UserPlaces, passphrase: str) -> Identity:
    """Return the user's key, which signs the tombstones.

    Raises:
        IdentityError: it cannot be read or made.
    """
    key = settings.value("key")
    return open_identity(replace(places, key=Path(key).expanduser()) if key else places, passphrase)


def plan(reader: JournalReader, wish: Wish, author: str, now_ms: int) -> Plan:
    """Choose what to erase.

    Args:
        reader: the journal.
        wish: of the user.
        author: who would sign the tombstones.
        now_ms: whole milliseconds since the Unix epoch.

    Raises:
        RetentionError: younger than the policy allows, or a text that was asked for may not be erased.
        NotFoundError: no such text.
        UsageError: neither names, nor an age, nor a policy that states one.
    """
    known = _read(reader)
    if wish.age_ms is None and not wish.names and not any(days is not None for days in known.days.values()):
        raise UsageError("older than what?", hint="give --older-than 180d, or state [policy] retention_days")
    erased = known.view.erased()
    pending = tuple(name for name in erased if name in known.sizes)
    wanted = _named(known, wish.names) if wish.names else sorted(set(known.view.uses) & set(known.sizes))
    chosen: dict[str, list[str]] = defaultdict(list)
    younger = others = 0
    for name in [name for name in wanted if name not in erased and (wish.names or name not in known.view.kept)]:
        hive = known.view.uses[name][0].hive if name in known.view.uses else ""
        refusal = known.view.refusal(name, author, hive)
        is_young = not refusal and _is_young(known, name, wish, now_ms)
        if refusal and wish.names:
            raise RetentionError(f"text {name[:12]} stays: {refusal}", hint="`consilience log` shows who named it")
        younger, others = younger + is_young, others + bool(refusal)
        if not refusal and not is_young:
            chosen[hive].append(name)
    size = sum(known.sizes[name] for names in (*chosen.values(), pending) for name in names)
    found = {hive: tuple(names) for hive, names in sorted(chosen.items())}
    return Plan(chosen=found, pending=pending, bytes=size, younger=younger, others=others)


def retain(state: Path, wish: Wish, signer: Identity, places: UserPlaces, clock: Clock) -> Retained:
    """Erase, with tombstones, and complete what an earlier run left undone.

    Raises:
        RetentionError, NotFoundError: see `plan`.
        LockedError: a run writes the journal.
        IdentityError: the journal holds that the signer's key was retired or revoked.
        JournalError: the bytes could not be taken out; giving the command again completes it.
    """
    journal = open_writer(state, signer, clock)
    try:
        refuse_retired(journal.store, signer.did, signer.key_did)
        found = plan(journal, wish, signer.did, clock.now_ms())
        tombstones = [event for hive in found.chosen for event in _bury(journal, places, found, hive, _rule(wish))]
        names = [name for group in found.chosen.values() for name in group]
        erase_bytes(journal.store.path, [*names, *found.pending])
        remove(state / "work")
    finally:
        journal.close()
    return Retained(
        blobs=len(names),
        bytes=found.bytes,
        completed=len(found.pending),
        younger=found.younger,
        others=found.others,
        tombstones=tuple(tombstones),
    )


def _bury(journal: Journal, places: UserPlaces, found: Plan, hive: str, rule: str) -> list[str]:
    """Sign the tombstones of one hive, make them durable, and return their ids."""
    names = found.chosen[hive]
    journal.enter(hive, places.marks)
    groups = [names[start : start + _MOST_NAMES] for start in range(0, len(names), _MOST_NAMES)]
    events = [journal.append(BlobsErased(blobs=group, rule=rule)) for group in groups]
    journal.commit()
    return [event.id for event in events]


def _rule(wish: Wish) -> str:
    """Say in one line why texts were erased."""
    reason = one_capped_line(wish.reason)
    if wish.names:
        return f"on request: {reason}"
    age = f"older than {wish.age_ms / DAY_MS:g} days" if wish.age_ms is not None else "older than the policy keeps them"
    return f"{age}: {reason}" if reason else age


def _read(reader: JournalReader) -> _Known:
    view = read_erasures(reader.store)
    days: dict[str, int | None] = {}
    for row in reader.store.rows(kind=kind_named(HiveFounded)):
        days.setdefault(row.hive, read_event(row.payload, row.jws).body.policy.retention_days)
    for row in reader.store.rows(kind=kind_named(StudyConfigured)):
        days[row.hive] = read_event(row.payload, row.jws).body.settings.policy.retention_days
    here = set(reader.store.blob_names())
    sizes = {name: len(reader.blob(name)) for name in view.uses if name in here}
    return _Known(view=view, sizes=sizes, days=days)


def _named(known: _Known, beginnings: Sequence[str]) -> list[str]:
    """Return the texts whose names begin so.

    Raises:
        NotFoundError: none, or several.
    """
    everything = {*known.view.uses, *known.view.kept}
    found: list[str] = []
    for beginning in beginnings:
        fitting = [name for name in everything if name.startswith(beginning)]
        if len(fitting) != 1:
            what = f"{len(fitting)} texts begin with {beginning!r}" if fitting else f"no text {beginning!r}"
            raise NotFoundError(what, hint="`consilience show TRIAL --json` has the names of its log and feedback")
        found += fitting
    return found


def _is_young(known: _Known, name: str, wish: Wish, now_ms: int) -> bool:
    """Tell whether a text is too young; where that breaks the policy although it was asked for, refuse.

    Raises:
        RetentionError: see `plan`.
    """
    uses = known.view.uses[name]
    days = known.days.get(uses[0].hive)
    if days is not None and wish.age_ms is not None and wish.age_ms < days * DAY_MS:
        asked = f"{wish.age_ms / DAY_MS:g} days"
        raise RetentionError(f"the policy keeps texts for {days} days, not {asked}", hint=_HINT.format(days))
    age_ms = now_ms - max(use.at for use in uses)
    if wish.names and days is not None and age_ms < days * DAY_MS:
        what = f"text {name[:12]} is {age_ms / DAY_MS:.1f} days old, and the policy keeps it for {days} days"
        raise RetentionError(what, hint=_HINT.format(days))
    if wish.age_ms is None and days is None:
        return not wish.names  # without a limit of its hive, only what was asked for goes
    return age_ms < (wish.age_ms if wish.age_ms is not None else (days or 0) * DAY_MS)
