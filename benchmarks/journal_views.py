"""Opening a journal with and without its snapshot, and folding one more event, by the journal's length.

    python benchmarks/journal_views.py [--smoke] [--events N ...] [--json]

For each length a signed journal of a synthetic study is built (`journal_events`). Each opening is a process of its own:
    reader, no snapshot     `StudyReader.open` folds every event, and leaves a snapshot where the journal is long
    reader                  `StudyReader.open` from the snapshot; the best candidate and its parents are looked up
    session                 the writer's side: journal, snapshot and feed, ready for the next event
Then events are appended and folded into the views, one at a time, each view on its own clock, and all of them together.
CPU time is the thread's own: on a busy machine the wall clock counts other processes' turns. The journal's commits are
left out, and the snapshot's saves told apart.

Data flow: lengths -> journals -> child processes -> seconds, milliseconds and resident memory -> table.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from consilience.core.events import Event
from consilience.core.problem import problem_id
from consilience.journal.journal import Journal
from consilience.node.reading import StudyReader
from consilience.node.views import open_views
from consilience.testing.clocks import ManualClock
from journal_bars import FLAT, FOLDING_MS, OPENING_SECONDS, Bar, show_bars, told
from journal_events import PROBLEM, StudyWriter, build_journal, identity_of

MORE = 2_000  # events that are folded one at a time


def memory_mb() -> float:
    """Return the largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def open_reader(folder: Path) -> dict[str, Any]:
    started, before = time.perf_counter(), memory_mb()
    with StudyReader.open(folder, problem_id(PROBLEM)) as reader:
        seconds = time.perf_counter() - started
        row = reader.incumbent()
        looked = (reader.count, len(reader.lineage.line(row.proposed_event)), reader.budget.spent.trials)
    return {"seconds": seconds, "and_looked": time.perf_counter() - started, "found": looked, "before_mb": before}


class Timed:
    """A view with a clock."""

    def __init__(self, view: Any) -> None:
        self.view = view
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def apply(self, event: Event) -> None:
        """Take one more event."""
        started, worked = time.perf_counter(), time.thread_time()
        self.view.apply(event)
        self.cpu.append(time.thread_time() - worked)
        self.wall.append(time.perf_counter() - started)


def go_on(folder: Path) -> dict[str, Any]:
    """Open as a session does, and append events with every view timed."""
    started, before = time.perf_counter(), memory_mb()
    identity = identity_of(0)
    journal = Journal.create(folder, identity, ManualClock(1_800_000_000_000, 7), "normal")
    hive = journal.hive_of(problem_id(PROBLEM))
    assert hive is not None
    views = open_views(journal, hive, PROBLEM, author=identity.did)
    fold = views.snapshot.fold
    journal.go_on(hive, folder / "marks", fold.progress.heads.values())
    seconds, opened_mb = time.perf_counter() - started, memory_mb()
    each = {name: Timed(view) for name, view in fold.views.items()}
    fold.standing.views = tuple(each.values())  # the same views, with a clock around each
    whole, writer, saves = Timed(fold), StudyWriter(journal, identity.did, 1), []
    journal.follow(whole)
    baseline = views.search.baseline
    assert baseline is not None
    vars(writer).update(_parent=baseline.event, _parent_trial=baseline.evidence[0])  # it goes on in a study that exists
    for _ in range(MORE // 4):
        writer.grow(4)
        before_save = time.perf_counter()
        views.snapshot.commit(least=1_000)
        saves.append(time.perf_counter() - before_save)
    views.snapshot.close()
    journal.close()
    found = {name: spread(timed) for name, timed in {**each, "all": whole}.items()}
    return {
        "seconds": seconds,
        "opened_mb": opened_mb,
        "before_mb": before,
        "folds": found,
        "save_ms": 1000 * max(saves),
    }


def spread(timed: Timed) -> dict[str, float]:
    """Return median and 99th percentile, in milliseconds."""
    found = {}
    for clock, seconds in (("", timed.wall), ("cpu_", timed.cpu)):
        found[f"{clock}p50_ms"] = 1000 * statistics.median(seconds)
        found[f"{clock}p99_ms"] = 1000 * statistics.quantiles(seconds, n=100)[98]
    return found


WAYS = {"reader": open_reader, "session": go_on}


def in_child(way: str, folder: Path) -> dict[str, Any]:
    """Run one way in a process of its own, for its time and its memory alone."""
    line = [sys.executable, __file__, "--child", way, str(folder)]
    found: dict[str, Any] = json.loads(subprocess.run(line, capture_output=True, check=True, text=True).stdout)
    return found


def measure(events: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "state"
        build_journal(folder, events, durability="normal")
        first = in_child("reader", folder)
        session = in_child("session", folder)
        again = in_child("reader", folder)
        size = sum(path.stat().st_size for path in (folder / "views").iterdir()) / 2**20
        journal = sum(path.stat().st_size for path in folder.glob("journal.db*")) / 2**20
    return {
        "events": events,
        "none": first,
        "session": session,
        "reader": again,
        "views_mb": size,
        "journal_mb": journal,
    }


def show(rows: list[dict[str, Any]]) -> None:
    print(f"{'events':>9}{'':<3}{'way':<22}{'seconds':>9}{'resident MB':>13}")
    for row in rows:
        for way, label in (("none", "reader, no snapshot"), ("reader", "reader"), ("session", "session")):
            found = row[way]
            memory = found.get("opened_mb", found["peak_mb"])
            print(f"{row['events']:>9}{'':<3}{label:<22}{found['seconds']:>9.3f}{memory:>13.0f}")
        print(f"{'':<12}journal {row['journal_mb']:.0f} MB, snapshot {row['views_mb']:.0f} MB")
    print(f"\n{'events':>9}{'':<3}{'view':<22}{'p50 ms':>9}{'p99 ms':>9}{'CPU p50':>9}{'CPU p99':>9}")
    for row in rows:
        for name, found in row["session"]["folds"].items():
            figures = "".join(f"{found[key]:>9.3f}" for key in ("p50_ms", "p99_ms", "cpu_p50_ms", "cpu_p99_ms"))
            print(f"{row['events']:>9}{'':<3}{name:<22}{figures}")
        print(f"{'':<12}longest save of the snapshot: {row['session']['save_ms']:.0f} ms")
    show_bars(bars(rows))


def bars(rows: list[dict[str, Any]]) -> list[Bar]:
    """Return the figures that have a bar; of a fold the CPU time, for other processes' turns are not the fold's."""
    first, last = rows[0], rows[-1]
    length = f"{last['events']:,} events"
    found = [
        Bar(f"seconds to open a reader with a snapshot, {length}", last["reader"]["seconds"], OPENING_SECONDS),
        Bar(f"seconds to open a session, {length}", last["session"]["seconds"], OPENING_SECONDS),
    ]
    for row in rows:
        folding = row["session"]["folds"]["all"]["cpu_p50_ms"]
        found.append(Bar(f"ms to fold an event into every view, {row['events']:,} events", folding, FOLDING_MS))
    for way, key, what in (("none", "peak_mb", "folding all"), ("session", "opened_mb", "a session that was opened")):
        growth = last[way][key] / first[way][key]
        found.append(Bar(f"memory of {what}, {last['events']:,} over {first['events']:,}", growth, FLAT))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="two short journals")
    parser.add_argument("--events", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        way, folder = options.child
        print(json.dumps({**WAYS[way](Path(folder)), "peak_mb": memory_mb()}))
        return
    lengths = [10_000, 30_000] if options.smoke else options.events
    rows = [measure(events) for events in lengths]
    if options.json:
        print(json.dumps({"rows": rows, "bars": told(bars(rows))}))
    else:
        show(rows)


if __name__ == "__main__":
    main()
