"""Intake: whole bundles or nothing, copies of one's own journal, second laptops, and the one spending feed."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from consilience.core.bodies import HiveFounded, PhaseSwitched, RecordImported
from consilience.core.bodies_identity import CAPABILITIES, IdentityCreated
from consilience.core.bodies_journal import BlobsErased, FeedOpened
from consilience.core.canonical import canonical_bytes, sha256_hex
from consilience.core.errors import ForeignEventError, JournalError
from consilience.core.events import Event, Payload, event_id, identity_hive, payload_bytes, read_payload
from consilience.core.study import Policy
from consilience.identity.keys import EnvelopeVerifier, Identity
from consilience.journal import exchange
from consilience.journal.device import read_marks
from consilience.journal.feed import Row, row_of
from consilience.journal.intake import MAX_PAYLOAD, Blob
from consilience.journal.journal import Journal
from consilience.journal.reader import JOURNAL_NAME
from consilience.journal.verify import VerifyReport, verify_store
from consilience.node.exchanging import export_journal, import_journal
from consilience.testing.clocks import ManualClock

HIVE = "ef" * 16
ME, OTHER = Identity.generate(), Identity.generate()
VERIFIER = EnvelopeVerifier()


def opened(folder: Path, marks: Path, who: Identity = ME) -> Journal:
    journal = Journal.create(folder, who, ManualClock(0, 1))
    journal.enter(HIVE, marks)
    return journal


def write(journal: Journal, *reasons: str) -> None:
    for reason in reasons:
        journal.append(PhaseSwitched(phase="explore", figures={}, reason=reason))
    journal.commit()


def checked(journal: Journal, marks: Path | None = None) -> VerifyReport:
    return verify_store(journal.store, VERIFIER, read_marks(marks) if marks else None)


def ids(journal: Journal) -> list[str]:
    return [event.id for event in journal.events(HIVE)]


def reasons(journal: Journal) -> list[str]:
    return [event.body.reason for event in journal.events(HIVE) if isinstance(event.body, PhaseSwitched)]


@pytest.fixture
def foreign(tmp_path: Path) -> list[Row]:
    journal = opened(tmp_path / "foreign", tmp_path / "foreign-marks", OTHER)
    write(journal, "a", "b", "c", "d")
    rows = list(journal.store.rows())
    journal.close()
    return rows


@pytest.fixture
def mine(tmp_path: Path) -> Iterable[Journal]:
    journal = opened(tmp_path / "mine", tmp_path / "marks")
    write(journal, "own")
    yield journal
    journal.close()


def signed(payload: Payload, who: Identity = OTHER) -> Row:
    data = payload_bytes(payload)
    return raw_row(data, who)


def raw_row(data: bytes, who: Identity = OTHER) -> Row:
    return row_of(
        Event(id=event_id(data), payload=data, jws=who.sign(data), fields=read_payload(data), body=None), position=0
    )


def altered(row: Row, **fields: Any) -> Row:
    return signed(replace(read_payload(row.payload), **fields))


def test_a_bundle_in_any_order_is_taken_in_once(mine: Journal, foreign: list[Row]) -> None:
    assert mine.take(reversed(foreign), VERIFIER) == 4
    assert mine.take(foreign, VERIFIER) == 0
    mine.commit()
    write(mine, "after")
    assert checked(mine).fault is None
    assert checked(mine).feeds == 2
    assert set(reasons(mine)) == {"own", "a", "b", "c", "d", "after"}


@pytest.mark.parametrize("place", range(3))
def test_a_gap_is_refused_and_nothing_is_stored(mine: Journal, foreign: list[Row], place: int) -> None:
    with pytest.raises(ForeignEventError, match="neither here nor given"):
        mine.take(foreign[:place] + foreign[place + 1 :], VERIFIER)
    mine.commit()
    assert mine.store.count() == 1


def test_a_chain_may_go_on_from_what_is_here(mine: Journal, foreign: list[Row]) -> None:
    assert mine.take(foreign[:2], VERIFIER) == 2
    assert mine.take(foreign, VERIFIER) == 2


def test_the_first_bad_event_is_named(mine: Journal, foreign: list[Row]) -> None:
    bad = replace(foreign[2], jws=foreign[1].jws)
    with pytest.raises(ForeignEventError, match=rf"event {bad.id[:12]} \(feed {bad.feed[:8]} seq 2\): the signature"):
        mine.take([*foreign[:2], bad, foreign[3]], VERIFIER)
    assert mine.store.count() == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seq": 2}, "prev is not the event before it"),
        ({"feed": "x"}, "prev is not the event before it"),
        ({"prev": None}, "names no event before it"),
        ({"after": ("0" * 64,)}, "neither here nor given"),
        ({"body": {"phase": "sideways", "figures": {}, "reason": ""}}, "phase.switched"),
        ({"kind": "run.ended", "body": {}}, "run.ended"),
        ({"kind": "x" * MAX_PAYLOAD}, "more than"),
    ],
)
def test_what_does_not_hold_is_refused(mine: Journal, foreign: list[Row], change: dict[str, Any], words: str) -> None:
    with pytest.raises(ForeignEventError, match=words):
        mine.take([foreign[0], altered(foreign[1], **change)], VERIFIER)
    assert mine.store.count() == 1


def test_a_payload_that_is_not_canonical_is_refused(mine: Journal, foreign: list[Row]) -> None:
    with pytest.raises(ForeignEventError, match="canonical"):
        mine.take([raw_row(foreign[0].payload.replace(b'":', b'": ', 1))], VERIFIER)


def test_unknown_kinds_and_newer_bodies_are_kept_and_carried_on(tmp_path: Path, mine: Journal) -> None:
    first = Payload(
        v=1, hive=HIVE, author=OTHER.did, feed="f", seq=0, prev=None, after=(), at=0, kind="dream.dreamt", body={"x": 1}
    )
    unknown = signed(first)
    newer = signed(
        replace(first, seq=1, prev=unknown.id, kind="phase.switched", body={"version_of_body": 9, "anything": []})
    )
    assert mine.take([unknown, newer], VERIFIER) == 2
    mine.commit()
    assert checked(mine).fault is None
    assert len(mine.events(HIVE)) == 3
    export_journal(mine.store.path.parent, tmp_path / "journal.jsonl")
    assert import_journal(tmp_path / "again", tmp_path / "journal.jsonl").new == 3


def test_a_second_genesis_and_a_stranger_in_an_identitys_hive_are_refused(mine: Journal) -> None:
    founded = HiveFounded(
        problem="p", specification="", policy=Policy(), roles={}, supply="0", witnesses=(ME.did,), auditors=()
    )
    mine.append(founded)
    mine.commit()
    body = read_payload(list(mine.store.rows())[-1].payload).body
    usurped = Payload(
        v=1, hive=HIVE, author=OTHER.did, feed="f", seq=0, prev=None, after=(), at=0, kind="hive.founded", body=body
    )
    with pytest.raises(ForeignEventError, match="genesis already"):
        mine.take([signed(usurped)], VERIFIER)
    about = identity_hive(ME.did)
    genesis = replace(usurped, hive=about, author=ME.did, kind="identity.created", body=created())
    assert mine.take([signed(genesis, ME)], VERIFIER) == 1
    with pytest.raises(ForeignEventError, match="only an identity itself"):
        mine.take([signed(replace(usurped, hive=about, kind="dream.dreamt", body={}))], VERIFIER)


def created() -> dict[str, Any]:
    made: dict[str, Any] = msgspec.to_builtins(
        IdentityCreated(
            origin="generated",
            lineage=(),
            policy=Policy(),
            ceiling=CAPABILITIES,
            next_key="",
            controller="",
            consent="",
        )
    )
    return made


def record(source: str) -> dict[str, Any]:
    body = RecordImported(
        source=source, row=0, label="", metric="m", value=1.0, memory_gb=None, status="keep", description=""
    )
    made: dict[str, Any] = msgspec.to_builtins(body)
    return made


def imported(source: str) -> Row:
    return signed(
        Payload(
            v=1,
            hive=HIVE,
            author=OTHER.did,
            feed="f",
            seq=0,
            prev=None,
            after=(),
            at=0,
            kind="record.imported",
            body=record(source),
        )
    )


def test_blobs_come_along_or_a_tombstone_says_where_they_went(mine: Journal) -> None:
    data, salt = b"a log", b"salt"
    name = sha256_hex(salt + data)
    event = imported(name)
    for blobs in ({}, {name: Blob(data=b"another", salt=salt)}, {name: Blob(data=data)}):
        with pytest.raises(ForeignEventError):
            mine.take([event], VERIFIER, blobs)
        assert mine.store.count() == 1
    tombstone = signed(
        replace(
            read_payload(event.payload), seq=1, prev=event.id, kind="blobs.erased", body={"blobs": [name], "rule": "r"}
        )
    )
    assert BlobsErased(blobs=(name,), rule="r").blobs == (name,)
    assert mine.take([event, tombstone], VERIFIER, {"9" * 64: Blob(data=b"not asked for")}) == 2
    assert list(mine.store.blob_names()) == []


def test_a_given_blob_is_kept_with_its_salt(mine: Journal) -> None:
    data, salt = b"a log", b"salt"
    name = sha256_hex(salt + data)
    event = imported(name)
    assert mine.take([event], VERIFIER, {name: Blob(data=data, salt=salt)}) == 1
    assert mine.get(name) == data
    assert checked(mine).fault is None


def test_a_restored_journal_a_second_laptop_and_a_merge_fork_nothing(tmp_path: Path) -> None:
    marks, second = tmp_path / "marks", tmp_path / "second-marks"
    journal = opened(tmp_path / "a", marks)
    write(journal, "1", "2")
    shutil.copytree(tmp_path / "a", tmp_path / "backup")
    export_journal(tmp_path / "a", tmp_path / "one.jsonl")
    write(journal, "3")
    export_journal(tmp_path / "a", tmp_path / "full.jsonl")
    journal.close()

    import_journal(tmp_path / "laptop", tmp_path / "one.jsonl")
    laptop = opened(tmp_path / "laptop", second)
    write(laptop, "laptop")
    laptop.close()

    shutil.rmtree(tmp_path / "a")
    shutil.move(tmp_path / "backup", tmp_path / "a")
    restored = opened(tmp_path / "a", marks)
    write(restored, "restored")
    restored.close()

    assert import_journal(tmp_path / "a", tmp_path / "full.jsonl").new == 1
    assert import_journal(tmp_path / "a", tmp_path / "laptop" / JOURNAL_NAME).new == 1
    export_journal(tmp_path / "a", tmp_path / "all.jsonl")
    assert import_journal(tmp_path / "laptop", tmp_path / "all.jsonl").new == 2

    one, other = opened(tmp_path / "a", marks), opened(tmp_path / "laptop", second)
    assert ids(one) == ids(other)
    assert sorted(reasons(one)) == ["1", "2", "3", "laptop", "restored"]
    for each, own_marks in ((one, marks), (other, second)):
        report = checked(each, own_marks)
        assert report.fault is None
        assert report.feeds == 3
        assert report.quarantined == ()
        each.close()


def test_a_feed_that_a_copy_of_this_device_went_on_with_is_left_for_a_new_one(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    journal = opened(tmp_path / "a", marks)
    write(journal, "1")
    shutil.copytree(tmp_path / "a", tmp_path / "copy")
    shutil.copytree(marks, tmp_path / "copied-marks")
    copy = opened(tmp_path / "copy", tmp_path / "copied-marks")
    write(copy, "by the copy")
    rows = list(copy.store.rows())
    copy.close()
    feed = journal.feed()
    journal.append(PhaseSwitched(phase="explore", figures={}, reason="open"))
    with pytest.raises(JournalError, match="wait to be committed"):
        journal.take(rows, VERIFIER)
    journal.commit()
    assert journal.take(rows, VERIFIER) == 1
    assert journal.feed() != feed
    with pytest.raises(JournalError, match="in quarantine"):
        write(journal, "2")
    journal.commit()
    journal.close()
    again = opened(tmp_path / "a", marks)
    assert again.feed() != feed
    report = checked(again, marks)
    assert report.fault is None
    assert [proof.reason for proof in report.quarantined] == ["forked-feed"]
    assert reasons(again) == ["1"], "of its own author counts what lies before the fork"
    again.close()


def test_the_one_spending_feed_is_taken_up_and_never_doubled(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    journal = opened(tmp_path / "a", marks)
    write(journal, "1")
    journal.store.copy_to(tmp_path / "older.db")
    journal.open_spending("desk")
    journal.spend(PhaseSwitched(phase="explore", figures={}, reason="spent"))
    journal.commit()
    spending = next(e.fields.feed for e in journal.events(HIVE) if isinstance(e.body, FeedOpened))
    assert spending != journal.feed()
    export_journal(tmp_path / "a", tmp_path / "all.jsonl")
    journal.close()

    again = opened(tmp_path / "a", marks)
    assert again.feed() != spending, "ordinary events never go into the spending feed"
    again.open_spending("desk")
    assert again.spend(PhaseSwitched(phase="explore", figures={}, reason="more")).fields.seq == 2
    again.commit()
    assert checked(again, marks).fault is None
    assert checked(again).quarantined == ()
    again.close()

    (tmp_path / "old").mkdir()
    (tmp_path / "older.db").rename(tmp_path / "old" / JOURNAL_NAME)
    import_journal(tmp_path / "laptop", tmp_path / "all.jsonl")
    for folder, own in (("old", marks), ("laptop", tmp_path / "other-marks")):
        refused = opened(tmp_path / folder, own)
        before = refused.store.count()
        with pytest.raises(JournalError, match="spending feed is written elsewhere"):
            refused.open_spending("elsewhere")
        refused.commit()
        assert refused.store.count() == before
        refused.close()


def test_two_spending_feeds_are_proof(tmp_path: Path, mine: Journal) -> None:
    mine.open_spending("desk")
    mine.commit()
    theirs = opened(tmp_path / "b", tmp_path / "b-marks")
    theirs.open_spending("lap")
    theirs.commit()
    rows = list(theirs.store.rows())
    theirs.close()
    mine.take(rows, VERIFIER)
    mine.commit()
    assert [proof.reason for proof in checked(mine).quarantined] == ["two-spending-feeds"]
    with pytest.raises(JournalError, match="two spending feeds"):
        mine.open_spending("desk")


def test_a_file_is_taken_in_whole_or_not_at_all(tmp_path: Path, mine: Journal) -> None:
    write(mine, "2", "3")
    mine.put(canonical_bytes({}))
    mine.commit()
    export_journal(tmp_path / "mine", tmp_path / "journal.jsonl")
    lines = (tmp_path / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "bad.jsonl").write_bytes(b"".join([*lines[:3], lines[3].replace(b"explore", b"exploit"), *lines[4:]]))
    with pytest.raises(ForeignEventError, match="the id is not the hash"):
        import_journal(tmp_path / "empty", tmp_path / "bad.jsonl")
    for text in (b"", b"{}\n", b'{"consilience":"journal","v":2}\n', b"".join(lines[:-1]), b"".join([*lines, b"{}\n"])):
        (tmp_path / "bad.jsonl").write_bytes(text)
        with pytest.raises(ForeignEventError):
            import_journal(tmp_path / "empty", tmp_path / "bad.jsonl")
    assert import_journal(tmp_path / "empty", tmp_path / "journal.jsonl").new == 3


def test_a_file_of_blobs_without_events_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "_MOST_BEFORE_EVENT", 1000)
    blobs = ((sha256_hex(data), Blob(data=data)) for data in (bytes([n]) * 100 for n in range(200)))
    with pytest.raises(ForeignEventError, match="before one event"):
        list(exchange.parts(blobs))


def test_money_that_is_no_number_is_refused_on_receipt(mine: Journal) -> None:
    settings = {"budget": {"money_microusd": "many"}}
    payload = Payload(
        v=1,
        hive=HIVE,
        author=OTHER.did,
        feed="f",
        seq=0,
        prev=None,
        after=(),
        at=0,
        kind="study.configured",
        body={"version": 1, "settings": settings},
    )
    with pytest.raises(ForeignEventError, match="whole number"):
        mine.take([signed(payload)], VERIFIER)


def test_a_second_genesis_that_somebody_wrote_into_the_file_is_a_fault(mine: Journal) -> None:
    founded = HiveFounded(
        problem="p", specification="", policy=Policy(), roles={}, supply="0", witnesses=(ME.did,), auditors=()
    )
    mine.append(founded)
    mine.commit()
    assert checked(mine).fault is None
    body = read_payload(list(mine.store.rows())[-1].payload).body
    usurped = Payload(
        v=1, hive=HIVE, author=OTHER.did, feed="f", seq=0, prev=None, after=(), at=0, kind="hive.founded", body=body
    )
    mine.store.begin()
    mine.store.add(replace(signed(usurped), position=mine.store.count()))
    mine.store.commit()
    assert "genesis already" in str(checked(mine).fault)
