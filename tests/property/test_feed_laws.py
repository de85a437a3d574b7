"""Merging feeds is a union: any interleaving gives the same views, and what is not whole is refused."""

import io
import random
import tempfile
from pathlib import Path

import pytest
from feed_worlds import AUTHORS, HIVE, causal_shuffle, fresh_keys, grow, order, views
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consilience.core.bodies import HiveFounded
from consilience.core.errors import ForeignEventError
from consilience.core.events import Event
from consilience.identity.keyring import KeyRing
from consilience.journal.causality import causes, walk
from consilience.journal.exchange import items, lines, parts, read_lines
from consilience.journal.feed import row_of
from consilience.journal.gathering import ordered, proofs
from consilience.journal.intake import Intake
from consilience.journal.kinds import BY_NAME, references
from consilience.journal.store import Store
from consilience.journal.verify import verify_store

STEPS = st.lists(st.tuples(st.integers(0, len(AUTHORS) - 1), st.integers(0, 11), st.integers(0, 40)), max_size=40)
HONEST = st.lists(st.tuples(st.integers(0, len(AUTHORS) - 1), st.integers(0, 7), st.integers(0, 40)), max_size=40)
QUICK = settings(max_examples=60, deadline=None)
WITH_FILES = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def take(store: Store, events: list[Event], size: int) -> None:
    """Take events in as bundles of some size; a bundle may name what came in one before."""
    ring = KeyRing(fresh_keys())
    for start in range(0, len(events), size):
        Intake(store, ring, store.count()).take([row_of(event) for event in events[start : start + size]], {})
    store.commit()


@QUICK
@given(steps=STEPS, seed=st.integers(0, 2**31))
def test_any_interleaving_and_repetition_gives_the_same_views(steps: list[tuple[int, int, int]], seed: int) -> None:
    events = grow(steps).events
    arrived = [*events, *events[: len(events) // 2]]
    random.Random(seed).shuffle(arrived)
    assert views(arrived) == views(events)


@QUICK
@given(steps=STEPS, first=st.integers(0, 2**31), second=st.integers(0, 2**31))
def test_union_is_commutative_associative_and_idempotent(
    steps: list[tuple[int, int, int]], first: int, second: int
) -> None:
    events = grow(steps).events
    one = [e for e in events if random.Random(first ^ hash(e.id)).random() < 0.6]
    other = [e for e in events if random.Random(second ^ hash(e.id)).random() < 0.6]
    third = events[::3]
    assert views([*one, *other]) == views([*other, *one])
    assert views([*one, *other, *third]) == views([*third, *other, *one, *one])


@QUICK
@given(steps=STEPS)
def test_what_counts_is_closed_and_causes_come_first(steps: list[tuple[int, int, int]]) -> None:
    events = grow(steps).events
    found = order(events)
    assert not found.waiting
    assert len(found.events) + len(found.left_out) == len(events)
    place = {event.id: n for n, event in enumerate(found.events)}
    for event in found.events:
        assert all(place[cause] < place[event.id] for cause in causes(event) if cause in place)
        kind = BY_NAME[event.fields.kind]
        assert all(name in place for name in references(event.body, kind.rests_on))


@QUICK
@given(steps=STEPS)
def test_quarantine_leaves_the_common_past_of_the_proof_and_nobody_else_out(steps: list[tuple[int, int, int]]) -> None:
    events = grow(steps).events
    held = {event.id: event for event in events}
    found = order(events)
    counted = {event.id for event in found.events}
    for proof in found.proofs:
        assert len(proof.events) >= 2
        pasts: list[set[str]] = []
        for name in proof.events:
            past: set[str] = set()
            walk(held, causes(held[name]), past)
            pasts.append(past)
        for event in events:
            own = event.fields.author == proof.author and event.fields.hive == HIVE
            if own and event.id in counted and not isinstance(event.body, HiveFounded):
                assert all(event.id in past for past in pasts)
    accused = {proof.author for proof in found.proofs}
    suspect = set(found.left_out)
    for event in events:
        if event.id in suspect and event.fields.author not in accused:
            named = references(event.body, BY_NAME[event.fields.kind].rests_on)
            assert suspect.intersection(named), "honest authors lose only what rests on what does not count"


@QUICK
@given(steps=STEPS, kept=st.integers(0, 60))
def test_more_proof_never_brings_an_event_of_its_author_back(steps: list[tuple[int, int, int]], kept: int) -> None:
    events = grow(steps).events
    before, after = order(events[:kept]), order(events)
    accused = {proof.author for proof in before.proofs}
    assert accused <= {proof.author for proof in after.proofs}
    counted = {event.id for event in after.events}
    assert not [name for name in before.left_out if name in counted]


@QUICK
@given(steps=HONEST)
def test_nobody_who_opens_a_second_feed_is_in_quarantine(steps: list[tuple[int, int, int]]) -> None:
    found = order(grow(steps).events)
    assert found.proofs == ()
    assert not found.left_out


@WITH_FILES
@given(steps=STEPS, seeds=st.tuples(st.integers(0, 99), st.integers(0, 99)), size=st.integers(1, 30))
def test_two_nodes_that_hold_the_same_events_agree_and_both_verify(
    steps: list[tuple[int, int, int]], seeds: tuple[int, int], size: int
) -> None:
    events = grow(steps).events
    told = []
    with tempfile.TemporaryDirectory() as folder:
        for number, seed in enumerate(seeds):
            store = Store.open(Path(folder) / f"{number}.db", create=True)
            take(store, causal_shuffle(events, seed) if number else events, size if not number else len(events))
            report = verify_store(store, KeyRing(fresh_keys()), keys=fresh_keys)
            assert report.fault is None
            found = ordered(store, HIVE, keys=fresh_keys)
            assert proofs(store, HIVE, fresh_keys) == found.proofs == report.quarantined
            told.append([[event.id for event in found.events], found.proofs])
            store.close()
    assert told[0] == told[1]
    assert told[0][0] == [event.id for event in order(events).events]


@pytest.fixture(scope="module")
def exported() -> list[bytes]:
    world = grow([(who, action, who + action) for action in range(9) for who in (0, 1, 4)])
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(Path(folder) / "j.db", create=True)
        take(store, world.events, 1000)
        found = list(lines(items(store)))
        store.close()
    return found


def imported(data: bytes) -> list[tuple[bytes, str]]:
    """Return payloads and signatures of what a file brings into an empty journal, sorted."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(Path(folder) / "j.db", create=True)
        try:
            intake = Intake(store, KeyRing(fresh_keys()), 0)
            for rows, blobs in parts(read_lines(io.BytesIO(data))):
                intake.take(rows, blobs)
            store.commit()
            report = verify_store(store, KeyRing(fresh_keys()))
            assert report.fault is None
            return sorted((found.payload, found.jws) for found in store.rows())
        finally:
            store.close()


@settings(max_examples=80, deadline=None)
@given(place=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_flipped_bit_of_a_file_is_refused_or_changes_nothing(exported: list[bytes], place: int, bit: int) -> None:
    data = bytearray(b"".join(exported))
    whole = imported(bytes(data))
    data[place % len(data)] ^= 1 << bit
    try:
        found = imported(bytes(data))
    except ForeignEventError:
        return
    assert found == whole


@settings(max_examples=40, deadline=None)
@given(place=st.integers(0, 10**6), what=st.sampled_from(["drop", "repeat", "swap", "cut"]), seed=st.integers(0, 99))
def test_a_dropped_repeated_reordered_or_cut_line_is_refused_or_changes_nothing(
    exported: list[bytes], place: int, what: str, seed: int
) -> None:
    whole = imported(b"".join(exported))
    changed = list(exported)
    place %= len(changed)
    if what == "drop":
        del changed[place]
    elif what == "repeat":
        changed.insert(place, changed[place])
    elif what == "cut":
        changed = changed[:place]
    else:
        middle = changed[1:-1]
        random.Random(seed).shuffle(middle)
        changed = [changed[0], *middle, changed[-1]]
    try:
        found = imported(b"".join(changed))
    except ForeignEventError:
        assert what != "swap"
        return
    assert found == whole
    assert what == "swap"
