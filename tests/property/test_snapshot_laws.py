"""A snapshot and its tail give what a fold from the first event gives, for every view, wherever it was cut."""

import random
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from number_studies import PROBLEM

from consilience.core.artifact import Artifact
from consilience.core.bodies import (
    CandidateProposed,
    EpochClosed,
    HiveFounded,
    NoiseMeasured,
    PhaseSwitched,
    RecordImported,
    RunStarted,
    StudyConfigured,
    TrialFinished,
    TrialStarted,
    VerdictReached,
)
from consilience.core.bodies_journal import ExcisionWithdrawn, ResultExcised
from consilience.core.events import Event, payload_bytes
from consilience.core.hypothesis import Hypothesis, Proposal
from consilience.core.outcome import Isolation
from consilience.core.ports import ProposalView
from consilience.core.study import Budget, Policy, StudySettings
from consilience.journal import snapshots
from consilience.journal.excision import excisions_of
from consilience.journal.feed import FeedHead, advance, next_payload, read_event, row_of
from consilience.journal.folding import Key, Views
from consilience.journal.order import canonical_order
from consilience.journal.reader import JournalReader
from consilience.journal.snapshots import Source, open_snapshot
from consilience.journal.standing import fold_standing
from consilience.journal.store import Store
from consilience.journal.tables import Lists
from consilience.node.views import StudyViews, study_views
from consilience.testing.memory_study import MemoryStudy


class Numbers:
    operator = "next-number"

    def applies(self, view: ProposalView) -> bool:
        return True

    def propose(self, view: ProposalView, stream: random.Random) -> Proposal:
        number = stream.randrange(1, 10**6)
        return Proposal(
            artifact=view.parent.artifact.with_parameters({"number": number}),
            hypothesis=Hypothesis(operator=self.operator, target="number", change="another", reason="test"),
            parents=(view.parent.candidate,),
            space="line",
            coordinates=(number / 10**6,),
        )


RESULTS = (CandidateProposed, TrialStarted, TrialFinished, NoiseMeasured, VerdictReached)


class Study(MemoryStudy):
    """A study in which other things happen, too."""

    def disturb(self, chance: random.Random) -> None:
        ids = [event.id for event in self.events]
        bodies = [
            run_started("other"),
            run_started(""),
            StudyConfigured(version=2, settings=configured(bound=chance.choice([None, 1.0, 0.6]))),
            RecordImported(
                source="",
                row=chance.randrange(9),
                label="",
                metric="score",
                value=None,
                memory_gb=None,
                status="keep",
                description="",
            ),
            ResultExcised(target=chance.choice(ids), reason="test"),
            ExcisionWithdrawn(excision=chance.choice(ids), reason="test"),
        ]
        self._append(chance.choice(bodies[:-2] if chance.random() < 0.7 else bodies))

    def doubt(self, chance: random.Random) -> None:
        """Excise a result, or take an excision back; what is in force may cover each other."""
        stated = [event.id for event in self.events if isinstance(event.body, ResultExcised)]
        if stated and chance.random() < 0.4:
            self.take_back(chance.choice(stated))
        else:
            results = [event.id for event in self.events if isinstance(event.body, RESULTS)]
            self.excise(chance.choice(results))


def run_started(key: str) -> RunStarted:
    return RunStarted(
        study="",
        comparability_key=key,
        environment="",
        environment_blob="",
        isolation=Isolation(level="none", domain="told"),
        workers=1,
        software="",
    )


def configured(bound: float | None = None, trials: int = 40) -> StudySettings:
    policy = Policy(bound=bound, maximum_pairs=8, baseline_seeds=3)
    return StudySettings(budget=Budget(trials=trials), policy=policy)


def score(artifact: Artifact, seed: int) -> float:
    number = artifact.parameters["number"]
    return random.Random(f"{number}").random() + random.Random(f"{number} {seed}").uniform(-0.05, 0.05)


def made_study(seed: int, *, disturbed: bool, doubted: bool = False) -> list[Event]:
    made = Study(PROBLEM, Artifact(parameters={"number": 0}), configured(trials=12), (Numbers(),), score)
    chance = random.Random(seed)
    for trials in (20, 30, 40):
        made.run()
        if disturbed:
            for _ in range(chance.randrange(3)):
                made.disturb(chance)
        for _ in range(doubted * chance.randrange(3)):
            made.doubt(chance)
        made._append(StudyConfigured(version=trials, settings=configured(trials=trials)))
    made.run()
    return made.events


def plain(value: Any) -> Any:
    """Return all that a view holds, private fields included, as plain data; order of entries is kept."""
    if isinstance(value, msgspec.Struct):
        return [type(value).__name__, *(plain(getattr(value, name)) for name in value.__struct_fields__)]
    if isinstance(value, Mapping):
        return [[plain(name), plain(item)] for name, item in value.items()]
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "__dict__"):
        return {name: plain(item) for name, item in vars(value).items()}
    return repr(value)


def told(views: Views) -> Any:
    return {name: plain(view) for name, view in views.items()}


class Written:
    """A journal that grows by events of anybody."""

    def __init__(self, folder: Path) -> None:
        self.store = Store.open(folder / "journal.db", create=True, durability="normal")
        self.journal = JournalReader(self.store)
        self.events: list[Event] = []

    def grow(self, events: list[Event]) -> None:
        self.store.begin()
        for event in events:
            self.store.add(row_of(event, len(self.events)))
            self.events.append(event)
        self.store.commit()


@contextmanager
def written(*, save_every: int) -> Iterator[Written]:
    before = (snapshots.SAVE_EVERY, snapshots.WORTH_SAVING)
    snapshots.SAVE_EVERY, snapshots.WORTH_SAVING = save_every, 10
    with tempfile.TemporaryDirectory() as folder:
        made = Written(Path(folder))
        try:
            yield made
        finally:
            made.journal.close()
            snapshots.SAVE_EVERY, snapshots.WORTH_SAVING = before


def study_source(made: Written) -> Source:
    return Source(
        made.journal, Key(hive="memory", code="x"), lambda: study_views(PROBLEM), made.store.path.with_name("v.db")
    )


def by_hand(events: list[Event]) -> Views:
    views = study_views(PROBLEM)
    fold_standing(tuple(views.values()), events, excisions_of(events))
    return views


CUTS = st.lists(st.tuples(st.integers(1, 60), st.sampled_from(["read", "write", "live", "killed"])), max_size=12)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), disturbed=st.booleans(), cuts=CUTS, save_every=st.sampled_from([1, 7, 1000]))
def test_snapshot_and_tail_equal_a_full_fold(
    seed: int, disturbed: bool, cuts: list[tuple[int, str]], save_every: int
) -> None:
    coming = made_study(seed, disturbed=disturbed)
    with written(save_every=save_every) as made:
        source = study_source(made)
        for length, how in [*cuts, (len(coming), "read"), (0, "write")]:
            group, coming = coming[:length], coming[length:]
            if how in {"live", "killed"}:
                opened = open_snapshot(source, writer=True)
                for event in group:
                    opened.fold.apply(event)
                made.grow(group)
                opened.commit(least=1 if how == "live" else 10**9)
                expected = by_hand(made.events) if opened.fold.sound else None
            else:
                made.grow(group)
                opened = open_snapshot(source, writer=how == "write")
                expected = by_hand(made.events)
            assert opened.fold.progress.events == len(made.events)
            assert expected is None or told(opened.fold.views) == told(expected)
            opened.close()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), cuts=CUTS, save_every=st.sampled_from([1, 7, 1000]))
def test_snapshot_and_tail_equal_a_full_fold_behind_excisions(
    seed: int, cuts: list[tuple[int, str]], save_every: int
) -> None:
    coming = made_study(seed, disturbed=False, doubted=True)
    with written(save_every=save_every) as made:
        source = study_source(made)
        for length, how in [*cuts, (len(coming), "write"), (0, "read")]:
            group, coming = coming[:length], coming[length:]
            if how in {"live", "killed"}:
                grow_live(made, source, group, kept=how == "live")
            else:
                made.grow(group)
            opened = open_snapshot(source, writer=how == "write")
            excisions = excisions_of(made.events)
            assert told(opened.fold.views) == told(by_hand(made.events))
            assert opened.fold.excisions.stated == excisions.stated
            assert dict(opened.fold.excisions.withdrawn) == dict(excisions.withdrawn)
            assert opened.fold.progress.events == len(made.events)
            opened.close()


def grow_live(made: Written, source: Source, group: list[Event], *, kept: bool) -> None:
    """Grow a journal as a session does, which folds anew after each excision."""
    opened = open_snapshot(source, writer=True)
    for event in group:
        opened.fold.apply(event)
        made.grow([event])
        if opened.fold.stale:
            opened.close()
            opened = open_snapshot(source, writer=True)
            assert not opened.fold.stale
        elif kept:
            opened.commit(least=1)
    assert told(opened.fold.views) == told(by_hand(made.events))
    opened.close()


def test_an_excision_makes_views_anew_once_and_opening_reads_them(monkeypatch: pytest.MonkeyPatch) -> None:
    made_study_of = made_study(7, disturbed=False)
    target = next(event.id for event in made_study_of if isinstance(event.body, VerdictReached))
    with written(save_every=7) as made:
        source = study_source(made)
        made.grow(made_study_of)
        open_snapshot(source, writer=True).close()
        head = advance(FeedHead(hive="memory", author="nobody", feed="memory"), made_study_of[-1])
        made.grow([read_event(payload_bytes(next_payload(head, ResultExcised(target=target, reason="x"), at=0)), "")])
        folds = count_folds(monkeypatch)
        for writer in (False, True, False):
            opened = open_snapshot(source, writer=writer)
            assert target in opened.fold.excisions.withdrawn
            opened.close()
        assert len(folds) == 1, "the first to see the excision folds anew, the others read"


def count_folds(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    folds: list[int] = []
    real = snapshots._fold_anew

    def counted(source: Source, file: Any) -> Any:
        folds.append(1)
        return real(source, file)

    monkeypatch.setattr(snapshots, "_fold_anew", counted)
    return folds


class Seen:
    """A view of the order alone."""

    cells: ClassVar[Mapping[str, Any]] = {}
    tables: ClassVar[Mapping[str, Any]] = {}
    lists: ClassVar[Mapping[str, Any]] = {"order": str}

    def __init__(self) -> None:
        self.order: Lists[str] = Lists()

    def apply(self, event: Event) -> None:
        self.order.append("", event.id)


STEPS = st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["alone", "on all", "epoch", "fork"])), max_size=30)


def grown(steps: list[tuple[int, str]]) -> list[Event]:
    """Grow three feeds; an event builds on its own feed alone, or on all heads, or closes an epoch, or is a fork."""
    heads = {n: FeedHead(hive="h", author=f"author-{n}", feed=f"feed-{n}") for n in range(3)}
    genesis = HiveFounded(
        problem="p",
        specification="",
        policy=Policy(),
        roles={},
        supply="0",
        witnesses=("author-0",),
        auditors=(),
    )
    events: list[Event] = []
    for at, (author, how) in enumerate([(0, "alone"), *steps]):
        head = heads[author]
        others = tuple(sorted(h.id for n, h in heads.items() if n != author and h.id is not None))
        known = tuple(h.id for h in heads.values() if h.id is not None)
        body: Any = PhaseSwitched(phase="explore", figures={"n": at}, reason="x")
        body = genesis if at == 0 else EpochClosed(epoch=at // 4, heads=known[:1]) if how == "epoch" else body
        after = others if how in {"on all", "epoch"} else ()
        event = read_event(payload_bytes(next_payload(head, body, at=at, after=after)), "")
        events.append(event)
        if how != "fork" or at == 0:
            heads[author] = advance(head, event)
    return events


@settings(max_examples=120, deadline=None)
@given(steps=STEPS, sizes=st.lists(st.integers(1, 8), max_size=10), save_every=st.sampled_from([1, 3, 1000]))
def test_many_feeds_are_folded_in_canonical_order(
    steps: list[tuple[int, str]], sizes: list[int], save_every: int
) -> None:
    coming = grown(steps)
    with written(save_every=save_every) as made:
        source = Source(
            made.journal, Key(hive="h", code="x"), lambda: {"seen": Seen()}, made.store.path.with_name("v.db")
        )
        for number, size in enumerate([*sizes, len(coming)]):
            made.grow(coming[:size])
            coming = coming[size:]
            opened = open_snapshot(source, writer=number % 3 < 2)
            seen = opened.fold.views["seen"]
            assert isinstance(seen, Seen)
            assert list(seen.order.get("", ())) == [event.id for event in canonical_order(made.events)]
            opened.close()


def test_the_views_of_a_study_are_all_kept() -> None:
    assert {*study_views(PROBLEM), "snapshot"} == set(StudyViews.__struct_fields__)
