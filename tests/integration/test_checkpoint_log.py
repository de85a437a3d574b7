"""Checkpoints of a real journal: what is signed, remembered and refused, and what `verify` finds with them."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from consilience.core.bodies import HiveFounded, PhaseSwitched
from consilience.core.canonical import canonical_bytes
from consilience.core.errors import ProofError, UsageError
from consilience.core.problem import EvaluatorSpec, Objective, Problem, Surface
from consilience.core.study import Policy
from consilience.identity.keys import EnvelopeVerifier, Identity
from consilience.identity.keystore import load, load_or_create
from consilience.identity.witness_keys import WitnessVerifier
from consilience.journal.checkpoints import checkpoint_fault, own_claims, read_claims
from consilience.journal.journal import Journal
from consilience.journal.notes import log_fault, read_checkpoint, read_note
from consilience.journal.proofs import read_proof, write_proof
from consilience.journal.reader import JOURNAL_NAME, JournalReader
from consilience.journal.store import Store
from consilience.node import proving, upkeep
from consilience.node.checkpoints import add_cosignatures, sign_head, witness_request
from consilience.node.clock import SystemClock
from consilience.node.kept_heads import kept_heads, own_feeds
from consilience.node.log_writer import LogWriter, open_log, own_witness
from consilience.node.places import UserPlaces
from consilience.node.witnessing import read_request, witness

HIVE = "1" * 32
PROBLEM = Problem(
    name="valley",
    goal="",
    objective=Objective(metric="depth", direction="minimize"),
    surface=Surface(),
    evaluator=EvaluatorSpec(kind="command"),
)


def places(home: Path) -> UserPlaces:
    return UserPlaces(key=home / "key.json", marks=home / "state" / "feeds", settings=home / "s", cache=home / "c")


def write(home: Path, folder: Path, count: int, hive: str = HIVE) -> None:
    """Append events to a study's journal, founding it first."""
    journal = Journal.create(folder, load_or_create(home / "key.json"), SystemClock())
    try:
        new = hive not in journal.hives()
        journal.enter(hive, places(home).marks)
        if new:
            specification = journal.put(canonical_bytes(PROBLEM))
            founded = HiveFounded(
                problem="problem",
                specification=specification,
                policy=Policy(),
                roles={},
                supply="0",
                witnesses=(),
                auditors=(),
            )
            journal.append(founded)
        for number in range(count):
            journal.append(PhaseSwitched(phase="explore", figures={"n": number}, reason=""))
        journal.commit()
    finally:
        journal.close()


@contextmanager
def opened(home: Path, folder: Path) -> Iterator[LogWriter]:
    with open_log(folder, places(home), home / "key.json", "") as log:
        yield log


def fault(home: Path, folder: Path) -> str:
    store = Store.open(folder / JOURNAL_NAME)
    try:
        return checkpoint_fault(store, own_feeds(places(home), store), kept_heads(places(home), store))
    finally:
        store.close()


def rows_of(folder: Path) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(folder / JOURNAL_NAME)
    found = connection.execute("SELECT * FROM event ORDER BY position").fetchall()
    connection.close()
    return found


def rewrite(folder: Path, change: Callable[[list[tuple[object, ...]]], list[tuple[object, ...]]]) -> None:
    """Rewrite a journal's events as somebody with the file would: positions and all else stay in order."""
    rows = [(position, *row[1:]) for position, row in enumerate(change(rows_of(folder)))]
    connection = sqlite3.connect(folder / JOURNAL_NAME, isolation_level=None)
    triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute("DELETE FROM event")
    marks = ",".join("?" * len(rows[0]))
    connection.executemany(f"INSERT INTO event VALUES ({marks})", rows)
    for _, sql in triggers:
        connection.execute(sql)
    connection.close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write(tmp_path, tmp_path / "study", 20)
    return tmp_path


@pytest.fixture
def signed(home: Path) -> Path:
    with opened(home, home / "study") as log:
        sign_head(log)
    return home


def test_the_head_covers_what_is_committed_and_is_signed_by_the_witness_key(home: Path) -> None:
    with opened(home, home / "study") as log:
        claim = sign_head(log)
        note = read_note(claim.note)
        assert log_fault(note, log.key.did, WitnessVerifier()) == ""
        assert read_checkpoint(note).origin == f"consilience/{log.feed}"
        assert claim.head.size == claim.position == log.journal.store.count() - 1
        assert read_claims(log.journal.store) == [claim]
    assert fault(home, home / "study") == ""
    assert upkeep.verify(home / "study", places(home)).fault is None


def test_nothing_new_is_not_signed_again(signed: Path) -> None:
    with opened(signed, signed / "study") as log:
        before = log.journal.store.count()
        assert sign_head(log) == read_claims(log.journal.store)[0]
        assert log.journal.store.count() == before
    write(signed, signed / "study", 1)
    with opened(signed, signed / "study") as log:
        assert sign_head(log).head.size == before + 1


@pytest.mark.parametrize("how", ["dropped", "swapped", "changed", "cut", "all gone"])
def test_a_journal_that_was_rewritten_no_longer_has_the_root(signed: Path, how: str) -> None:
    changes: dict[str, Callable[[list[tuple[object, ...]]], list[tuple[object, ...]]]] = {
        "dropped": lambda rows: rows[:5] + rows[6:],
        "swapped": lambda rows: [*rows[:5], rows[6], rows[5], *rows[7:]],
        "changed": lambda rows: [*rows[:5], (rows[5][0], "ab" * 32, *rows[5][2:]), *rows[6:]],
        "cut": lambda rows: rows[:10],
        "all gone": lambda rows: rows[:1],
    }
    rewrite(signed / "study", changes[how])
    found = fault(signed, signed / "study")
    assert ("another root" if how in ("swapped", "changed") else "the tail is missing") in found or how == "dropped"
    assert found
    assert upkeep.verify(signed / "study", places(signed)).fault is not None


def test_a_swap_is_seen_by_the_journal_alone(signed: Path, tmp_path: Path) -> None:
    with opened(signed, signed / "study") as log:
        add_certificate_of_another(tmp_path / "other", log)
    with opened(signed, signed / "study") as log:
        sign_head(log)
    last = len(rows_of(signed / "study"))
    rewrite(signed / "study", lambda rows: [*rows[:-4], rows[-3], rows[-4], *rows[-2:]])
    stranger = UserPlaces(key=tmp_path / "k", marks=tmp_path / "m", settings=tmp_path / "s", cache=tmp_path / "c")
    store = Store.open(signed / "study" / JOURNAL_NAME)
    assert store.count() == last
    assert "another root" in checkpoint_fault(store, own_feeds(stranger, store))
    store.close()


def add_certificate_of_another(home: Path, log: LogWriter) -> None:
    """Let another identity's events arrive, which no own event names."""
    own = own_witness(places(home), home / "key.json", "")
    log.journal.take(own.rows, EnvelopeVerifier())
    log.journal.commit()


def test_a_checkpoint_of_another_log_says_nothing_about_this_one(signed: Path, tmp_path: Path) -> None:
    reader = JournalReader.open(signed / "study")
    rows = list(reader.store.rows())
    reader.close()
    other = tmp_path / "elsewhere"
    write(other, other / "study", 3, "e" * 32)
    journal = Journal.create(other / "study", load(other / "key.json"), SystemClock())
    journal.take(rows, EnvelopeVerifier())
    journal.commit()
    assert len(read_claims(journal.store)) == 1
    assert own_claims(journal.store, own_feeds(places(other), journal.store)) == []
    journal.close()
    assert fault(other, other / "study") == ""


def test_a_restored_copy_speaks_under_another_origin_and_is_sound(signed: Path) -> None:
    shutil.copytree(signed / "study", signed / "backup")
    write(signed, signed / "study", 5)
    with opened(signed, signed / "study") as log:
        first = sign_head(log)
    shutil.rmtree(signed / "study")
    shutil.copytree(signed / "backup", signed / "study")
    assert "the tail is missing" in fault(signed, signed / "study")
    with opened(signed, signed / "study") as log:
        second = sign_head(log)
    assert read_checkpoint(read_note(first.note)).origin != read_checkpoint(read_note(second.note)).origin
    assert fault(signed, signed / "study") == ""


def test_a_journal_that_was_changed_signs_nothing_more(signed: Path) -> None:
    rewrite(signed / "study", lambda rows: [*rows[:5], (rows[5][0], "ab" * 32, *rows[5][2:]), *rows[6:]])
    (signed / "study" / "tiles.db").unlink()
    with opened(signed, signed / "study") as log:
        log.journal.append(PhaseSwitched(phase="explore", figures={}, reason=""))
        log.journal.commit()
        with pytest.raises(ProofError, match="no longer have the root"):
            sign_head(log)


def test_a_request_proves_consistency_from_any_size(signed: Path) -> None:
    write(signed, signed / "study", 300)
    with opened(signed, signed / "study") as log:
        claim = sign_head(log)
        for since in (0, 1, 7, claim.head.size - 1, claim.head.size):
            request = read_request(witness_request(log, claim, since))
            assert request.old == since
            assert request.head.size == claim.head.size
        for since in (-1, claim.head.size + 1):
            with pytest.raises(UsageError):
                witness_request(log, claim, since)


def test_a_cosignature_is_kept_only_with_a_certificate_or_trust(signed: Path, tmp_path: Path) -> None:
    other = tmp_path / "witness"
    own = own_witness(places(other), other / "key.json", "")
    with opened(signed, signed / "study") as log:
        claim = sign_head(log)
        request = read_request(witness_request(log, claim, 0))
        line = witness(request, other / "witnessed", own.key, SystemClock(), log.key.did).cosignature
        with pytest.raises(ProofError, match="certified by nobody"):
            add_cosignatures(log, line, ())
        with pytest.raises(ProofError, match="no cosignature"):
            add_cosignatures(log, "nothing", ())
        kept, found = add_cosignatures(log, line, (own.key.did,))
        assert [each.key for each in found] == [own.key.did]
        with pytest.raises(ProofError, match="does not hold"):
            add_cosignatures(log, line[:-20] + ("A" if line[-20] != "A" else "B") + line[-19:], (own.key.did,))
    store = Store.open(signed / "study" / JOURNAL_NAME)
    best = proving.covering_claim(store, places(signed), 3)
    store.close()
    assert best == kept


def test_any_flipped_bit_of_a_proof_is_seen(signed: Path) -> None:
    store = Store.open(signed / "study" / JOURNAL_NAME)
    row = store.tail(8)[0]
    claim = proving.covering_claim(store, places(signed), row.position)
    assert claim is not None
    data = write_proof(proving.make_proof(store, signed / "study", row, claim))
    store.close()
    _, report = proving.verify_proof(data)
    assert (report.event, report.index, report.operator) == (row.id, row.position, row.author)
    for at in range(0, len(data), 7):
        changed = bytearray(data)
        changed[at] ^= 1 << at % 8
        with pytest.raises(ProofError):
            proving.verify_proof(bytes(changed))


def test_a_proof_with_parts_of_another_is_refused(signed: Path) -> None:
    store = Store.open(signed / "study" / JOURNAL_NAME)
    one, other = store.tail(8)[:2]
    claim = proving.covering_claim(store, places(signed), one.position)
    assert claim is not None
    first, second = (proving.make_proof(store, signed / "study", row, claim) for row in (one, other))
    store.close()
    fields = {"event": second.event, "index": second.index, "path": second.path}
    for name, value in fields.items():
        with pytest.raises(ProofError):
            proving.verify_proof(write_proof(replace(first, **{name: value})))
    for changed in (replace(first, identity=()), replace(first, identity=first.identity[:1])):
        with pytest.raises(ProofError, match="no certificate"):
            proving.verify_proof(write_proof(changed))
    assert read_proof(write_proof(first)) == first


def test_a_witness_that_is_demanded_and_did_not_cosign_is_missed(signed: Path) -> None:
    store = Store.open(signed / "study" / JOURNAL_NAME)
    row = store.tail(8)[0]
    claim = proving.covering_claim(store, places(signed), row.position)
    assert claim is not None
    data = write_proof(proving.make_proof(store, signed / "study", row, claim))
    store.close()
    with pytest.raises(ProofError, match="did not cosign"):
        proving.verify_proof(data, witnesses=(Identity.generate().did,))
