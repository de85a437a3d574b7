"""Verification of a whole journal: every hash, signature, link, reference and blob, from position 0.

Rules:
    1. The first bad event is named with what is wrong with it; nothing is mended here.
    2. Reading needs no key and changes nothing.
    3. One job or several, the report is the same: ranges are joined in order, and the first fault by position wins.

Data flow: Store -> ranges of rows -> `checking` -> `joining` -> VerifyReport -> `consilience verify`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from consilience.core.bodies import HiveFounded
from consilience.core.events import identity_hive
from consilience.core.ports import Verifier
from consilience.journal.checking import Fault, Passed, place
from consilience.journal.device import Mark
from consilience.journal.erasure import count_erased
from consilience.journal.gathering import all_proofs
from consilience.journal.kinds import kind_named
from consilience.journal.operators import KeyFolds
from consilience.journal.quarantine import Proof
from consilience.journal.ranges import Plan, run_plan
from consilience.journal.store import Store

Check = Callable[[Store], str]
"""A further check of the whole journal: returns "" when it holds, else what does not. Known checkpoints are one."""


class VerifyReport(Struct, frozen=True, kw_only=True):
    """What was checked, and the first fault found (None: everything holds).

    `events` and `blobs` are those that held before the fault; feeds and authors are told when every event held.

    A journal that holds is whole and unchanged since its authors signed it. Who may be believed is another
    question: compare `authors` with the DIDs that you know. `quarantined` are proofs that authors signed two
    histories: the events of such a proof hold, and are kept because they do. `erased` counts the texts
    that are gone by a tombstone of somebody who may erase them (`journal.erasure`).
    """

    events: int
    feeds: int
    blobs: int
    authors: tuple[str, ...]
    fault: Fault | None
    quarantined: tuple[Proof, ...] = ()
    erased: int = 0


def verify_store(
    store: Store,
    verifier: Verifier,
    marks: Mapping[str, Mark] | None = None,
    *,
    keys: KeyFolds | None = None,
    jobs: int = 1,
    checks: Sequence[Check] = (),
) -> VerifyReport:
    """Check the whole journal.

    Args:
        store: the journal's file.
        verifier: checks signatures; what several jobs need is pickled to their processes.
        marks: what this device remembers of the feeds that it wrote; a journal that ends before such a
            mark was cut off, and one without a feed that was written here has lost it.
        keys: makes the fold of keys by which quarantines are told.
        jobs: processes that share the work.
        checks: what else must hold; made after all the rest does.
    """
    ends = _early_ends(store, marks or {})
    plan = Plan(path=str(store.path), events=store.count(), blobs=store.blob_places(), ends=ends, jobs=jobs)
    checked = run_plan(store, verifier, plan)
    joined = checked.rows
    if checked.structure:
        joined.fault = Fault(what=f"the file is damaged: {checked.structure}")
    if joined.fault is not None:
        return VerifyReport(events=joined.events, feeds=0, blobs=0, authors=(), fault=joined.fault)
    fault = checked.blobs.fault or _second_genesis(store) or _lost(store, joined, marks or {})
    fault = fault or next((Fault(what=what) for check in checks if (what := check(store))), None)
    authors = tuple(sorted({author for _, author, _ in joined.heads}))
    return VerifyReport(
        events=joined.events,
        feeds=len(joined.heads),
        blobs=checked.blobs.count,
        authors=authors,
        fault=fault,
        quarantined=() if fault else all_proofs(store, keys),
        erased=count_erased(store),
    )


def _early_ends(store: Store, marks: Mapping[str, Mark]) -> frozenset[str]:
    """Return the last events of feeds that end before their mark: somebody may have gone on from there."""
    tips = ((mark, store.feed_tip(mark.hive, feed)) for feed, mark in marks.items())
    return frozenset(tip[0] for mark, tip in tips if tip is not None and mark.seq > tip[1])


def _second_genesis(store: Store) -> Fault | None:
    """Find a hive that was founded twice: intake lets in one, so another was written into the file by other means."""
    founded: set[str] = set()
    for row in store.rows(kind=kind_named(HiveFounded)):
        if row.hive in founded:
            return place(row, "its hive has a genesis already")
        founded.add(row.hive)
    return None


def _lost(store: Store, joined: Passed, marks: Mapping[str, Mark]) -> Fault | None:
    """Find a feed of this device that is missing here, or that ends before its mark.

    Where its author went on from an early end in another feed (a backup was restored and work resumed), the
    loss is known and signed for, and no longer a fault.
    """
    hives = {hive for hive, _, _ in joined.heads}
    heads = {feed: (author, head) for (_, author, feed), head in joined.heads.items()}
    for feed, mark in sorted(marks.items()):
        if feed not in heads:
            here = mark.path == str(store.path.resolve())
            if here and mark.seq >= 0 and (mark.hive in hives or not heads):
                return Fault(what=f"feed {feed[:8]} is missing, but this device wrote it up to seq {mark.seq}")
            continue
        author, head = heads[feed]
        if head.hive == identity_hive(author) and mark.path != str(store.path.resolve()):
            continue  # it rides along here: what came after the last run is in the identity's own journal
        if mark.seq > head.seq and (author, head.id) not in joined.built_on:
            what = f"feed {feed[:8]} ends at seq {head.seq}, but this device wrote it up to seq {mark.seq}"
            return Fault(what=f"{what}: the tail is missing, or this is an older copy")
    return None
