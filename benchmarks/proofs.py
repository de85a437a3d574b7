"""Speed of the Merkle log: roots and proofs at 10^5 and 10^6 events, cold and from tiles.

    python benchmarks/proofs.py            both sizes, a minute or two
    python benchmarks/proofs.py --smoke    10^4, a few seconds
    python benchmarks/proofs.py --json     the rows as JSON

A cold root hashes every id; a root with tiles goes on from one that was signed 1,000 events before. Each proof is
checked against its root before it counts, as `consilience prove` does. One process, whose CPU time is counted, so that
other programs blur little; the ids are in a SQLite file.
"""

from __future__ import annotations

import argparse
import json
import random
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

from consilience.journal.heads import CheckedTree, TreeHead
from consilience.journal.merkle import inclusion_holds, inclusion_path, leaf_hash, tree_root
from consilience.journal.tiles import TILES_NAME, TileTree

SIZES = (100_000, 1_000_000)
SINCE = 1_000
PROOFS = 2_000


class Ids:
    """A column of ids, as the journal has one."""

    def __init__(self, path: Path, count: int) -> None:
        self._connection = sqlite3.connect(path)
        self._count = count
        self._connection.execute("CREATE TABLE event (position INTEGER PRIMARY KEY, id TEXT NOT NULL)")
        rows = ((number, sha256(str(number).encode()).hexdigest()) for number in range(count))
        self._connection.executemany("INSERT INTO event VALUES (?, ?)", rows)
        self._connection.commit()

    def ids(self, start: int, stop: int) -> Iterator[str]:
        """Yield the ids of a range."""
        query = "SELECT id FROM event WHERE position >= ? AND position < ? ORDER BY position"
        for (name,) in self._connection.execute(query, (start, stop)):
            yield name

    def count(self) -> int:
        """Return how many there are."""
        return self._count

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def measure(size: int, folder: Path, proofs: int) -> dict[str, float]:
    events = Ids(folder / "ids.db", size)
    opened = time.process_time()
    tiles = TileTree.open(events, folder)
    build = time.process_time() - opened
    tree = CheckedTree(events, tiles)
    cold = seconds(lambda: tree.head(size))
    head = TreeHead(size=size, root=tree_root(size, tiles))
    before = TreeHead(size=size - SINCE, root=tree_root(size - SINCE, tiles))
    tiles.close()
    reopened = time.process_time()
    tiles = TileTree.open(events, folder)
    tree = CheckedTree(events, tiles)
    warm = seconds(lambda: tree.head(size, [before])) + time.process_time() - reopened
    chance = random.Random(1)
    places = [chance.randrange(size) for _ in range(proofs)]
    sizes = [chance.randrange(1, size) for _ in range(proofs // 10)]
    inclusion = seconds(lambda: [tree.inclusion(index, head) for index in places])
    recent = seconds(lambda: [tree.inclusion(size - 1 - index % SINCE, head) for index in places])
    firsts = [TreeHead(size=first, root=tree_root(first, tiles)) for first in sizes]
    consistency = seconds(lambda: [tree.consistency(first, head) for first in firsts])
    path, leaf = inclusion_path(7, size, tiles), leaf_hash(bytes.fromhex(next(iter(events.ids(7, 8)))))
    checks = seconds(lambda: [inclusion_holds(leaf, 7, size, path, head.root) for _ in range(proofs)])
    tiles.close()
    events.close()
    return {
        "events": size,
        "build_s": build,
        "cold_root_s": cold,
        "cold_leaves_per_s": size / cold,
        "root_after_1000_ms": warm * 1000,
        "inclusion_per_s": proofs / inclusion,
        "inclusion_recent_per_s": proofs / recent,
        "consistency_per_s": len(firsts) / consistency,
        "checks_per_s": proofs / checks,
        "tiles_mb": (folder / TILES_NAME).stat().st_size / 1e6,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    rows = []
    for size in (10_000,) if asked.smoke else SIZES:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(size, Path(folder), 200 if asked.smoke else PROOFS))
    if asked.json:
        print(json.dumps({"rows": rows}))
        return
    for row in rows:
        print("  ".join(f"{name} {value:,.1f}" for name, value in row.items()))


if __name__ == "__main__":
    main()
