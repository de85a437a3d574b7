"""Appends and verified replays per second of the journal, beside the bare parts that they are made of.

    python benchmarks/journal.py [--smoke | --long] [--events N] [--cpu] [--json]

One core, one run. Events are those of a study (`journal_events.py`): candidates with their artifacts, trials, verdicts.
The bare rows work on the same bytes: the rows of the journal that was just built. Rounds are interleaved, so that the
machine's load falls on all rows alike; medians are shown.

Rows:
    insert       SQLite alone: the same columns into a table without indexes, groups of 256, synchronous=FULL
    jcs          `rfc8785` alone over the payloads; jcs (ours): `core.canonical` over the same
    sign, check  libsecp256k1 alone over the same signing inputs
    append       `Journal.append` with bodies made, blobs kept, groups of 256 committed with synchronous=FULL
    verify       `verify_store`, everything: structure, hashes, signatures, links, references, blobs; 1 and 2 jobs

Memory is the peak of a process that does nothing else (imports included), for journals of several lengths.

Data flow: seed -> journal -> timings and peaks -> table.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import coincurve
import msgspec
import rfc8785

from consilience.core.canonical import canonical_bytes
from consilience.identity.did import decode_did
from consilience.journal.feed import Row
from consilience.journal.reader import JOURNAL_NAME
from consilience.journal.store import Store
from consilience.journal.verify import verify_store
from consilience.node.verifying import fresh_keys, fresh_ring
from journal_bars import APPENDS, FLAT, VERIFYING, Bar, show_bars, told
from journal_events import GROUP, build_journal, identity_of

SEED = 4
BARE_EVENTS = 10_000  # of the journal, for the bare rows
ROUNDS = 3
LENGTHS = {"smoke": (1_000, 4_000), "usual": (10_000, 100_000), "long": (10_000, 100_000, 1_000_000)}
EVENTS = {"smoke": 4_000, "usual": 100_000, "long": 100_000}


def rate(count: int, work: Callable[[], object]) -> float:
    """Return how many of `count` a piece of work does per second."""
    started = CLOCK()
    work()
    return count / (CLOCK() - started)


def bare_insert(rows: list[Row], folder: Path) -> float:
    columns = ", ".join(Row.__struct_fields__)
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(f"CREATE TABLE event ({columns})")
    values = [msgspec.structs.astuple(row) for row in rows]

    def insert() -> None:
        for start in range(0, len(values), GROUP):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO event VALUES (?,?,?,?,?,?,?,?,?)", values[start : start + GROUP])
            connection.execute("COMMIT")

    found = rate(len(rows), insert)
    connection.close()
    (folder / "bare.db").unlink()
    return found


def bare_rates(rows: list[Row], folder: Path) -> dict[str, float]:
    """Return the rates of the parts over the same bytes."""
    inputs = [row.jws.partition("..")[0].encode() + b"." + row.payload for row in rows]
    values = [msgspec.json.decode(row.payload) for row in rows]
    key = coincurve.PrivateKey(identity_of(SEED).secret_bytes())
    public = decode_did(rows[0].author)

    def digest(data: bytes) -> bytes:
        return sha256(data).digest()

    signatures = [key.sign(data, hasher=digest) for data in inputs]
    pairs = list(zip(signatures, inputs, strict=True))
    if not all(public.verify(one, two, hasher=digest) for one, two in pairs):
        raise RuntimeError("a signature of the bare loop does not hold")
    count = len(rows)
    return {
        "insert": bare_insert(rows, folder),
        "jcs": rate(count, lambda: [rfc8785.dumps(value) for value in values]),
        "jcs (ours)": rate(count, lambda: [canonical_bytes(value) for value in values]),
        "sign": rate(count, lambda: [key.sign_recoverable(data, hasher=digest) for data in inputs]),
        "check": rate(count, lambda: [public.verify(one, two, hasher=digest) for one, two in pairs]),
    }


def verify_rate(path: Path, jobs: int) -> float:
    """Return events verified per second, on as many cores as jobs."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, ALL_CORES if jobs > 1 else set(cores[:1]))
    store = Store.open(path)
    try:
        started = CLOCK()
        report = verify_store(store, fresh_ring(), keys=fresh_keys, jobs=jobs)  # as `consilience verify` does
        seconds = CLOCK() - started
    finally:
        store.close()
        os.sched_setaffinity(0, cores)
    if report.fault is not None or report.events != store_events(path):
        raise RuntimeError(f"the journal does not hold: {report}")
    return report.events / seconds


def store_events(path: Path) -> int:
    store = Store.open(path)
    try:
        return store.count()
    finally:
        store.close()


def measure(events: int, rounds: int) -> dict[str, list[float]]:
    """Return the rates of every row, round by round."""
    found: dict[str, list[float]] = {}
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / f"state-{number}"
            append = rate(events, lambda folder=folder: build_journal(folder, events, SEED))  # type: ignore[misc]
            store = Store.open(folder / JOURNAL_NAME)
            rows = list(store.rows(to=min(events, BARE_EVENTS) - 1))
            store.close()
            rates = bare_rates(rows, Path(name))
            rates["append"] = append
            rates["verify, 1 job"] = verify_rate(folder / JOURNAL_NAME, 1)
            if CLOCK is time.perf_counter:  # the CPU time of other processes is not on our clock
                rates["verify, 2 jobs"] = verify_rate(folder / JOURNAL_NAME, 2)
            again = bare_rates(rows, Path(name))["check"]
            rates["check"] = (rates["check"] + again) / 2  # before and after what it is compared with
        for row, value in rates.items():
            found.setdefault(row, []).append(value)
    return found


def memory(lengths: tuple[int, ...]) -> list[dict[str, float]]:
    """Return peak memory in MB, and rates, of a process that appends and one that verifies."""
    rows = []
    for events in lengths:
        with tempfile.TemporaryDirectory() as name:
            append = child("append", Path(name) / "state", events)
            verify = child("verify", Path(name) / "state", events)
        rows.append(
            {
                "events": events,
                "append_mb": append["mb"],
                "verify_mb": verify["mb"],
                "append_rate": append["rate"],
                "verify_rate": verify["rate"],
            }
        )
    return rows


def child(work: str, folder: Path, events: int) -> dict[str, float]:
    line = [sys.executable, __file__, "--child", work, str(folder), "--events", str(events)]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def be_child(work: str, folder: Path, events: int) -> None:
    """Do one piece of work and print its peak and rate."""
    if work == "append":
        found = rate(events, lambda: build_journal(folder, events, SEED))
    else:
        found = verify_rate(folder / JOURNAL_NAME, 1)
    print(json.dumps({"mb": peak_mb(), "rate": found}))


def peak_mb() -> float:
    """Return this process's largest resident memory; `getrusage` would count that of the parent before exec."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def show(report: dict[str, object], rates: dict[str, list[float]], peaks: list[dict[str, float]]) -> None:
    print(" ".join(f"{key} {value}" for key, value in report.items()))
    medians = {row: statistics.median(values) for row, values in rates.items()}
    print(f"{'what':<16}{'per second':>12}{'lowest':>10}{'highest':>10}{'x bare':>16}")
    beside = {"append": "sign", "verify, 1 job": "check", "verify, 2 jobs": "check"}
    for row, values in rates.items():
        ratio = f"{medians[row] / medians[beside[row]]:.2f} {beside[row]}" if row in beside else ""
        print(f"{row:<16}{medians[row]:>12.0f}{min(values):>10.0f}{max(values):>10.0f}{ratio:>16}")
    print(f"{'events':<12}{'append MB':>11}{'verify MB':>11}{'append/s':>10}{'verify/s':>10}")
    for each in peaks:
        figures = f"{each['append_mb']:>11.0f}{each['verify_mb']:>11.0f}"
        print(f"{each['events']:<12}{figures}{each['append_rate']:>10.0f}{each['verify_rate']:>10.0f}")
    show_bars(bars(rates, peaks))


def bars(rates: dict[str, list[float]], peaks: list[dict[str, float]]) -> list[Bar]:
    """Return the figures that have a bar."""
    medians = {row: statistics.median(values) for row, values in rates.items()}
    share = medians["verify, 1 job"] / medians["check"]
    found = [
        Bar("signed appends per second", medians["append"], APPENDS, least=True),
        Bar("verification per core, of the bare signature check", share, VERIFYING, least=True),
    ]
    first, last = peaks[0], peaks[-1]
    for work in ("append", "verify"):
        growth = last[f"{work}_mb"] / first[f"{work}_mb"]
        found.append(Bar(f"memory of {work}, {last['events']:,} over {first['events']:,} events", growth, FLAT))
    return found


ALL_CORES = os.sched_getaffinity(0)
CLOCK = time.process_time if "--cpu" in sys.argv else time.perf_counter


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="a short run, for CI")
    parser.add_argument("--long", action="store_true", help="memory at a million events as well; some minutes")
    parser.add_argument("--cpu", action="store_true", help="per second of CPU time, for a busy machine; one job only")
    parser.add_argument("--events", type=int, default=0, help="events of the journal whose rates are measured")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.sched_setaffinity(0, {min(ALL_CORES)})
    if options.child:
        be_child(options.child[0], Path(options.child[1]), options.events)
        return
    form = "smoke" if options.smoke else "long" if options.long else "usual"
    events = options.events or EVENTS[form]
    rates = measure(events, 1 if options.smoke else ROUNDS)
    peaks = memory(LENGTHS[form])
    report: dict[str, object] = {
        "clock": "CPU" if options.cpu else "wall",
        "machine": f"{len(ALL_CORES)} cores {platform.machine()} Python {platform.python_version()}",
        "sqlite": sqlite3.sqlite_version,
        "coincurve": version("coincurve"),
        "seed": SEED,
        "events": events,
        "group": GROUP,
        "load": f"{os.getloadavg()[0]:.1f}",
    }
    if options.json:
        print(json.dumps({**report, "rates": rates, "memory": peaks, "bars": told(bars(rates, peaks))}))
        return
    show(report, rates, peaks)


if __name__ == "__main__":
    main()
