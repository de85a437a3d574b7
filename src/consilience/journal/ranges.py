"""Verification shared out: ranges of rows and blobs, checked here one after the other or by several processes.

Rules:
    1. Results come back in the order of the ranges, so that the first fault by position is found first.
    2. After a fault nothing further is looked at, so that the report does not depend on how the work was shared.

Data flow: Plan -> ranges -> `checking.RangeChecker` in this process or in others -> `joining` -> Checked.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

from msgspec import Struct

from consilience.core.errors import JournalError
from consilience.core.ports import Verifier
from consilience.journal.checking import Fault, Passed, RangeChecker
from consilience.journal.joining import join
from consilience.journal.store import FIRST_POSITION, Store

Range = tuple[int, int]
"""From the first place up to before the second."""


@runtime_checkable
class LearningVerifier(Protocol):
    """**Protocol:** a verifier that learns from what it checks, and so must be told what came before a range."""

    def at(self, store: Store, position: int) -> Verifier:
        """Return a verifier that knows what the journal says of keys before a position."""


Work = TypeVar("Work")

RANGE_EVENTS = 20_000  # about a second of one core; small enough that two jobs end together
MOST_RANGES = 10_000  # a forged position must not fill the memory with ranges


class Plan(Struct, frozen=True, kw_only=True):
    """What is to be checked: the file, how much is in it, early ends of feeds to look out for, and by how many.

    `blobs` are the first and the last place of a blob.
    """

    path: str
    events: int
    blobs: tuple[int, int]
    ends: frozenset[str]
    jobs: int = 1

    def row_ranges(self) -> list[Range]:
        """Return ranges of positions; the first has whatever lies before 0 as well."""
        found = _split(0, self.events, RANGE_EVENTS)
        return [(FIRST_POSITION, found[0][1]), *found[1:]]

    def blob_ranges(self) -> list[Range]:
        """Return ranges of blobs' places."""
        return _split(self.blobs[0], self.blobs[1] + 1, RANGE_EVENTS)


class BlobsPassed(Struct, kw_only=True):
    """Blobs whose bytes match their names, up to the first one that does not."""

    count: int = 0
    fault: Fault | None = None


class Checked(Struct, frozen=True, kw_only=True):
    """What all ranges came to: what is wrong with the file's structure, the rows, the blobs."""

    structure: str
    rows: Passed
    blobs: BlobsPassed


def run_plan(store: Store, verifier: Verifier, plan: Plan) -> Checked:
    """Check structure, then rows, then blobs; nothing after the first fault."""
    if plan.jobs > 1:
        return _in_processes(verifier, plan)
    structure = _structure(store)
    rows = (check_rows(store, verifier, plan, each) for each in plan.row_ranges())
    blobs = (check_blobs(store, each) for each in plan.blob_ranges())
    return _collect(structure, rows, blobs)


def check_rows(store: Store, verifier: Verifier, plan: Plan, bounds: Range) -> Passed:
    """Check one range of rows."""
    return RangeChecker(store, verifier, plan.ends).check(*bounds)


def _check_apart(store: Store, verifier: Verifier, plan: Plan, bounds: Range) -> Passed:
    """Check a range of rows in a process that has seen none before it."""
    knowing = verifier.at(store, bounds[0]) if isinstance(verifier, LearningVerifier) else verifier
    return check_rows(store, knowing, plan, bounds)


def check_blobs(store: Store, bounds: Range) -> BlobsPassed:
    """Check one range of blobs."""
    passed = BlobsPassed()
    try:
        for name, sound in store.check_blobs(bounds[0], bounds[1] - 1):
            if not sound:
                passed.fault = Fault(what=f"blob {name[:12]} no longer matches its hash")
                break
            passed.count += 1
    except JournalError as error:
        passed.fault = Fault(what=error.message)
    return passed


def _collect(structure: str, rows: Iterator[Passed], blobs: Iterator[BlobsPassed]) -> Checked:
    if structure:
        return Checked(structure=structure, rows=Passed(), blobs=BlobsPassed())
    joined = join(rows)
    sound = joined.fault is None
    return Checked(structure="", rows=joined, blobs=_join_blobs(blobs) if sound else BlobsPassed())


def _join_blobs(blobs: Iterator[BlobsPassed]) -> BlobsPassed:
    whole = BlobsPassed()
    for part in blobs:
        whole.count += part.count
        whole.fault = part.fault
        if part.fault is not None:
            break
    return whole


def _in_processes(verifier: Verifier, plan: Plan) -> Checked:
    context = multiprocessing.get_context("spawn")  # a fork would share SQLite's locks with this process
    with ProcessPoolExecutor(plan.jobs, mp_context=context) as pool:
        structure = pool.submit(_with_store, _structure, plan.path)
        rows = [pool.submit(_with_store, _check_apart, plan.path, verifier, plan, each) for each in plan.row_ranges()]
        blobs = [pool.submit(_with_store, check_blobs, plan.path, each) for each in plan.blob_ranges()]
        try:
            return _collect(structure.result(), _results(rows), _results(blobs))
        finally:
            pool.shutdown(cancel_futures=True)  # waits for the ranges in work: a second or so


def _results(futures: list[Future[Work]]) -> Iterator[Work]:
    """Yield results in order, and let go of each."""
    futures.reverse()
    while futures:
        yield futures.pop().result()


def _with_store(work: Callable[..., Work], path: str, *arguments: object) -> Work:
    store = Store.open(Path(path))
    try:
        return work(store, *arguments)
    finally:
        store.close()


def _structure(store: Store) -> str:
    return next(iter(store.structure_faults()), "")


def _split(start: int, stop: int, size: int) -> list[Range]:
    parts = min(max(1, -(-(stop - start) // size)), MOST_RANGES)
    return list(pairwise(start + (stop - start) * part // parts for part in range(parts + 1)))
