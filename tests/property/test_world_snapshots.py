"""Hives of several real identities, kept in snapshots: snapshot and tail equal a full replay of every view."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
from feed_worlds import AGENT, AUTHORS, HIVE, PROBLEM, World, fresh_keys, grow, order, proposed, row
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_snapshot_laws import told as told_of

from consilience.core.bodies_journal import ExcisionWithdrawn, ResultExcised
from consilience.core.events import Event
from consilience.journal import snapshots
from consilience.journal.acting import acts_for, excisions_in
from consilience.journal.folding import Key
from consilience.journal.intake import Intake
from consilience.journal.journal import JournalReader
from consilience.journal.snapshots import Source, fold_up_to, open_snapshot
from consilience.journal.standing import fold_standing
from consilience.journal.store import Store
from consilience.node.verifying import ring_of
from consilience.node.views import study_views

STEPS = st.lists(st.tuples(st.integers(0, len(AUTHORS) - 1), st.integers(0, 11), st.integers(0, 40)), max_size=40)
OPERATOR, STRANGER = AUTHORS[0], AUTHORS[1]


@pytest.fixture(autouse=True)
def small_snapshots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "SAVE_EVERY", 5)
    monkeypatch.setattr(snapshots, "WORTH_SAVING", 8)


def opened(folder: str) -> JournalReader:
    journal = JournalReader(Store.open(Path(folder) / "journal.db", create=True, durability="normal"))
    journal.keys = fresh_keys
    return journal


def take(store: Store, events: list[Event]) -> None:
    Intake(store, ring_of(store), store.count()).take([row(event) for event in events], {})
    store.commit()


def source_of(journal: JournalReader) -> Source:
    path = journal.store.path.with_name("views.db")
    return Source(journal, Key(hive=HIVE, code="x"), lambda: study_views(PROBLEM), path)


def by_hand(events: list[Event]) -> Any:
    ordered = order(events).events
    made = study_views(PROBLEM)
    fold_standing(tuple(made.values()), ordered, excisions_in(ordered, fresh_keys))
    return told_of(made)


def told(snapshot: snapshots.Snapshot) -> Any:
    return told_of(snapshot.fold.views)


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=STEPS, sizes=st.lists(st.integers(3, 20), max_size=6), late=st.integers(0, 30))
def test_snapshot_and_tail_equal_a_replay_of_many_authors(
    steps: list[tuple[int, int, int]], sizes: list[int], late: int
) -> None:
    events, here = grow(steps).events, []
    coming = [*events[2 : 2 + late], *events[:2], *events[2 + late :]]  # what the operator says of keys comes late
    with tempfile.TemporaryDirectory() as folder:
        journal = opened(folder)
        for number, size in enumerate([*sizes, len(coming)]):
            take(journal.store, coming[:size])
            here, coming = here + coming[:size], coming[size:]
            snapshot = open_snapshot(source_of(journal), writer=number % 3 < 2)
            found, replayed = told(snapshot), fold_up_to(source_of(journal), None)
            assert found == told(replayed) == by_hand(here)
            snapshot.close()
            replayed.close()
        journal.close()


def withdrawn(world: World) -> set[str]:
    return set(excisions_in(order(world.events).events, fresh_keys).withdrawn)


@pytest.mark.parametrize(
    ("maker", "excising", "holds"),
    [(4, 0, True), (0, 4, True), (4, 1, False), (1, 4, False), (1, 0, False), (0, 1, False)],
)
def test_an_operator_and_its_agent_excise_for_each_other(maker: int, excising: int, *, holds: bool) -> None:
    world = World()
    assert acts_for(world.events, fresh_keys) == {
        OPERATOR.did: frozenset({AGENT.did}),
        AGENT.did: frozenset({OPERATOR.did}),
    }
    made = world.add(maker, proposed(1, ()))
    cut = world.add(excising, ResultExcised(target=made.id, reason="wrong"), after=(made.id,))
    assert (made.id in withdrawn(world)) == holds
    world.add(excising, ExcisionWithdrawn(excision=cut.id, reason="right"), after=(cut.id,))
    assert not withdrawn(world)
