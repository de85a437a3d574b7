"""Verification shared out: ranges of rows and blobs, checked here one after the other or by several processes.

Rules:
    1. Results come back in the order of the ranges, so that the first fault by position is found first.
    2. After a fault nothing further is started.

Data flow: Plan -> ranges -> `checking.RangeChecker` in this process or in others -> Passed, in order.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import pairwise
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from consilience.core.errors import JournalError
from consilience.core.ports import Verifier
from consilience.journal.checking import Fault, Passed, RangeChecker
from consilience.journal.store import FIRST_POSITION, Store

RANGE_EVENTS = 20_000  # about a second of one core; small enough that two jobs end together
MOST_RANGES = 10_000  # a forged position must not fill the memory with ranges


class Range(Struct, frozen=True, kw_only=True):
    """Positions from `start` up to before `stop`, and places of blobs from the first to the last."""

    start: int
    stop: int
    first_blob: int
    last_blob: int


class Plan(Struct, frozen=True, kw_only=True):
    """What is to be checked: the file, how much is in it, early ends of feeds to look out for, and by how many.

    `blobs` are the first and the last place of a blob.
    """

    path: str
    events: int
    blobs: tuple[int, int]
    ends: frozenset[str]
    jobs: int = 1

    def ranges(self) -> list[Range]:
        """Return ranges of positions, the first with whatever lies before 0, each with its share of the blobs."""
        parts = min(max(1, -(-self.events // RANGE_EVENTS)), MOST_RANGES)
        first, last = self.blobs
        blobs = last + 1 - first
        bounds = [(self.events * part // parts, first + blobs * part // parts) for part in range(parts + 1)]
        found = [Range(start=a, stop=c, first_blob=b, last_blob=d - 1) for (a, b), (c, d) in pairwise(bounds)]
        return [replace(found[0], start=FIRST_POSITION), *found[1:]]


class BlobsPassed(Struct, kw_only=True):
    """Blobs whose bytes match their names, and the first one that does not."""

    count: int = 0
    fault: Fault | None = None


def run_plan(store: Store, verifier: Verifier, plan: Plan) -> tuple[str, list[Passed], BlobsPassed]:
    """Return what is wrong with the file's structure, what each range of rows came to, and the blobs."""
    ranges = plan.ranges()
    if plan.jobs > 1 and len(ranges) > 1:
        return _in_processes(verifier, plan, ranges)
    structure = next(iter(store.structure_faults()), "")
    found = (check_range(store, verifier, plan, each) for each in ranges if not structure)
    return (structure, *_until_fault(found))


def check_range(store: Store, verifier: Verifier, plan: Plan, bounds: Range) -> tuple[Passed, BlobsPassed]:
    """Check one range of rows and one of blobs."""
    passed = RangeChecker(store, verifier, plan.ends).check(bounds.start, bounds.stop)
    blobs = BlobsPassed()
    try:
        for name, sound in store.check_blobs(bounds.first_blob, bounds.last_blob):
            if not sound:
                blobs.fault = Fault(what=f"blob {name[:12]} no longer matches its hash")
                break
            blobs.count += 1
    except JournalError as error:
        blobs.fault = Fault(what=error.message)
    return passed, blobs


def _until_fault(found: Iterator[tuple[Passed, BlobsPassed]]) -> tuple[list[Passed], BlobsPassed]:
    """Collect ranges up to the first bad one. A bad blob stops nothing: a bad event may come after it."""
    ranges: list[Passed] = []
    blobs = BlobsPassed()
    for passed, part in found:
        ranges.append(passed)
        blobs.count += part.count
        blobs.fault = blobs.fault or part.fault
        if passed.fault is not None:
            break
    return ranges, blobs


def _in_processes(verifier: Verifier, plan: Plan, ranges: list[Range]) -> tuple[str, list[Passed], BlobsPassed]:
    context = multiprocessing.get_context("spawn")  # a fork would share SQLite's locks with this process
    with ProcessPoolExecutor(plan.jobs, mp_context=context) as pool:
        structure = pool.submit(_structure, plan.path)
        parts = [pool.submit(_check_file, verifier, plan, each) for each in ranges]
        try:
            fault = structure.result()
            found = _until_fault(part.result() for part in parts) if not fault else ([], BlobsPassed())
        finally:
            _cancel(parts)
    return (fault, *found)


def _cancel(parts: list[Future[tuple[Passed, BlobsPassed]]]) -> None:
    for part in parts:
        part.cancel()


def _structure(path: str) -> str:
    store = Store.open(Path(path))
    try:
        return next(iter(store.structure_faults()), "")
    finally:
        store.close()


def _check_file(verifier: Verifier, plan: Plan, bounds: Range) -> tuple[Passed, BlobsPassed]:
    store = Store.open(Path(plan.path))
    try:
        return check_range(store, verifier, plan, bounds)
    finally:
        store.close()
