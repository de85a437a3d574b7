"""Journals of several authors: whatever is done to their events, `verify` sees it, or a witness's checkpoint does."""

import sqlite3
import tempfile
from pathlib import Path

from feed_worlds import AUTHORS, fresh_keys, grow, row
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consilience.identity.keyring import KeyRing
from consilience.journal.checkpoints import Claim, checkpoint_fault
from consilience.journal.heads import Head
from consilience.journal.intake import Intake
from consilience.journal.merkle import Frontier, leaf_hash
from consilience.journal.store import Store
from consilience.journal.verify import verify_store

STEPS = st.lists(st.tuples(st.integers(0, len(AUTHORS) - 1), st.integers(0, 11), st.integers(0, 40)), max_size=25)
WAYS = st.sampled_from(["flip", "drop", "repeat", "exchange", "cut", "move"])
Events = list[tuple[object, ...]]
PAYLOAD = 7


def changed(events: Events, way: str, one: int, other: int) -> Events:
    """Return the rows as somebody with the file would leave them; their positions are set anew."""
    one, other = one % len(events), other % len(events)
    made = list(events)
    if way == "flip":
        payload = bytearray(made[one][PAYLOAD])  # type: ignore[call-overload]  a payload is bytes
        payload[other % len(payload)] ^= 1 << other % 8
        made[one] = (*made[one][:PAYLOAD], bytes(payload), *made[one][PAYLOAD + 1 :])
    elif way == "drop":
        del made[one]
    elif way == "repeat":
        made.insert(other, (made[one][0], "ff" * 32, *made[one][2:]))
    elif way == "exchange":
        made[one], made[other] = made[other], made[one]
    elif way == "cut":
        made = made[:one]
    else:
        made.insert(other, made.pop(one))
    return made


def rewrite(path: Path, way: str, one: int, other: int) -> bool:
    """Change the file past its triggers; tell whether anything is different."""
    with sqlite3.connect(path) as connection:
        before = connection.execute("SELECT * FROM event ORDER BY position").fetchall()
        after = changed(before, way, one, other)
        triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("DELETE FROM event")
        marks = ",".join("?" * len(before[0]))
        rows = [(position, *each[1:]) for position, each in enumerate(after)]
        connection.executemany(f"INSERT INTO event VALUES ({marks})", rows)
        for _, sql in triggers:
            connection.execute(sql)
    connection.close()
    return after != before


def cosigned(store: Store) -> Claim:
    """Return the tree head that a witness remembers of all events that are there."""
    edge = Frontier()
    for name in store.ids(0, store.count()):
        edge.add(leaf_hash(bytes.fromhex(name)))
    head = Head(size=edge.size, root=edge.root())
    return Claim(feed="the log", seq=0, head=head, position=edge.size, note="", timestamps=())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS, way=WAYS, one=st.integers(0, 10**6), other=st.integers(0, 10**6))
def test_no_change_to_a_journal_of_many_authors_goes_unseen(
    steps: list[tuple[int, int, int]], way: str, one: int, other: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.db"
        store = Store.open(path, create=True, durability="normal")
        Intake(store, KeyRing(fresh_keys()), 0).take([row(event) for event in grow(steps).events], {})
        store.commit()
        remembered = cosigned(store)
        assert seen(store, remembered) == ("", "")
        store.close()
        if rewrite(path, way, one, other):
            store = Store.open(path)
            found = seen(store, remembered)
            store.close()
            assert any(found), "no device's marks, no checkpoint inside: the witness sees what the journal cannot"


def seen(store: Store, remembered: Claim) -> tuple[str, str]:
    """Return what `verify` finds in the journal alone, and what the witness finds."""
    report = verify_store(store, KeyRing(fresh_keys()), keys=fresh_keys)
    return (report.fault.what if report.fault else ""), checkpoint_fault(store, (), [remembered])
