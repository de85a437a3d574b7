"""Tables in memory and on disk behave alike, keep what they hold bounded, and notice what is damaged or missing."""

import gc
from pathlib import Path
from typing import Any

import msgspec
import pytest

from consilience.core.bodies import EpochClosed, PhaseSwitched
from consilience.core.bodies_journal import ResultExcised
from consilience.core.events import Event, payload_bytes
from consilience.journal.disk_tables import CACHED, CHUNK, DiskLists, DiskTable
from consilience.journal.feed import FeedHead, next_payload, read_event
from consilience.journal.progress import Progress
from consilience.journal.table_file import StateDamagedError, TableFile
from consilience.journal.tables import Lists, Table

NAMES = [f"{number:03}" for number in range(3 * CHUNK)]


def saved(file: TableFile, *tables: DiskTable[Any] | DiskLists[Any]) -> None:
    file.begin()
    for table in tables:
        table.write()
    file.commit()
    for table in tables:
        table.settle()


@pytest.mark.parametrize("every", [1, 100, 10_000])
def test_a_table_on_disk_is_like_one_in_memory(every: int) -> None:
    file = TableFile.private()
    plain: Table[str] = Table()
    disk: DiskTable[str] = DiskTable(file, "t", str)
    for number, name in enumerate(NAMES):
        for table in (plain, disk):
            table[name] = name
            table[NAMES[number // 2]] = f"changed by {name}"
            table.add(name, "never")
        if number % every == 0:
            saved(file, disk)
    assert list(disk.items()) == list(plain.items())
    assert list(disk) == list(plain)
    assert list(disk.backwards()) == list(plain.backwards())
    assert len(disk) == len(plain) == len(NAMES)
    assert disk.get("nothing") is None
    assert ("000" in disk, "nothing" in disk) == (True, False)
    saved(file, disk)
    assert list(DiskTable(file, "t", str).items()) == list(plain.items())
    file.close()


@pytest.mark.parametrize("every", [1, 7, 10_000])
def test_lists_on_disk_are_like_those_in_memory(every: int) -> None:
    file = TableFile.private()
    plain: Lists[str] = Lists()
    disk: DiskLists[str] = DiskLists(file, "l", str)
    for number, name in enumerate(NAMES[:60]):
        for lists in (plain, disk):
            lists.append(name[-1], name)
            if number % 20 == 13:
                lists.change("3", lambda item: f"{item}!")
            if number == 25:
                lists.clear()
        assert list(disk.rows("3")) == list(plain.rows("3"))
        if number % every == 0:
            saved(file, disk)
        assert list(disk.items()) == list(plain.items())
    saved(file, disk)
    again: DiskLists[str] = DiskLists(file, "l", str)
    assert (again.size, list(again.items())) == (disk.size, list(plain.items()))
    assert list(disk.rows("none")) == []
    file.close()


def test_what_a_table_keeps_at_hand_is_bounded() -> None:
    file = TableFile.private()
    disk: DiskTable[str] = DiskTable(file, "t", str)
    for number in range(4 * CACHED):
        disk[str(number)] = "value"
        if number % 50 == 0:
            saved(file, disk)
    for number in range(4 * CACHED):
        assert disk[str(number)] == "value"
    assert len(vars(disk)["_recent"]) <= CACHED
    assert len(vars(disk)["_changed"]) < 50
    file.close()


class Held(msgspec.Struct, weakref=True):
    value: int = 0


def test_a_value_that_somebody_holds_is_found_again_and_not_copied() -> None:
    file = TableFile.private()
    disk: DiskTable[Held] = DiskTable(file, "t", Held)
    mine = disk["mine"] = Held()
    for number in range(2 * CACHED):
        disk[str(number)] = Held()
    saved(file, disk)
    assert disk["mine"] is mine
    assert next(iter(disk.values())) is mine
    disk.touch("mine")
    mine.value = 7
    del mine
    saved(file, disk)
    for number in range(2 * CACHED):
        assert disk[str(number)].value == 0
    gc.collect()
    assert disk["mine"].value == 7
    file.close()


def test_a_damaged_or_missing_row_is_noticed(tmp_path: Path) -> None:
    for damage in (
        "UPDATE t SET data = x'a161'",
        "DELETE FROM t WHERE place = 1",
        "UPDATE t SET place = 9 WHERE place = 1",
    ):
        file = TableFile.to_write(tmp_path / "t.db")
        disk: DiskTable[str] = DiskTable(file, "t", str)
        for name in NAMES[:3]:
            disk[name] = name
        saved(file, disk)
        file.run(damage)
        with pytest.raises(StateDamagedError):
            list(DiskTable(file, "t", str).items())
        file.close()
        (tmp_path / "t.db").unlink()


def event(head: FeedHead, body: object, after: tuple[str, ...] = ()) -> Event:
    return read_event(payload_bytes(next_payload(head, body, at=0, after=after)), "")


SWITCH = PhaseSwitched(phase="explore", figures={}, reason="")


def test_only_what_builds_on_everything_follows() -> None:
    mine, other = (FeedHead(hive="h", author=name, feed=name) for name in ("a", "b"))
    first = event(mine, SWITCH)
    one = Progress().after(first)
    assert one.follows(event(other, SWITCH, (first.id,)))
    assert not one.follows(event(other, SWITCH)), "it may belong before"
    assert not one.follows(event(mine, SWITCH)), "a fork"
    assert not one.follows(event(other, ResultExcised(target=first.id, reason=""), (first.id,)))


def test_an_epoch_follows_only_a_chain() -> None:
    mine, other = (FeedHead(hive="h", author=name, feed=name) for name in ("a", "b"))
    first, second = event(mine, SWITCH), event(other, SWITCH)
    apart = Progress().after(first).after(second)
    heads = tuple(sorted((first.id, second.id)))
    third = FeedHead(hive="h", author="c", feed="c")
    assert not apart.chained
    assert apart.follows(event(third, SWITCH, heads))
    assert not apart.follows(event(third, EpochClosed(epoch=1, heads=heads), heads))
    chain = Progress().after(first)
    assert chain.follows(event(other, EpochClosed(epoch=1, heads=(first.id,)), (first.id,)))
