"""A soul is a function of the set of events: not of arrival, nor of how hives are interleaved, nor of folding again."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from consilience.core.bodies import ArtifactApplied, CandidateProposed, HiveFounded, StudyConfigured, VerdictReached
from consilience.core.bodies_identity import CAPABILITIES, BeliefHeld, IdentityCreated, KeyCertified, KeyRevoked
from consilience.core.bodies_journal import ResultExcised
from consilience.core.events import Event, identity_hive, payload_bytes
from consilience.core.hypothesis import Hypothesis, Prediction
from consilience.core.study import Budget, Policy, StudySettings
from consilience.identity.proofs import StatementProofs
from consilience.journal.excision import excisions_of
from consilience.journal.feed import FeedHead, advance, next_payload, read_event
from consilience.journal.order import canonical_order
from consilience.journal.reader import fold
from consilience.journal.views.beliefs import BeliefsView
from consilience.journal.views.soul import Soul, SoulView

ME, OTHER = "did:me", "did:other"
OWN = identity_hive(ME)


class Holding(StatementProofs):
    """Proofs that hold: of what is proved, other tests tell."""

    def signer(self, jws: str) -> str:
        return ME

    def certificate(self, operator: str, body: KeyCertified) -> str:
        return ""


class World:
    """Two studies and an identity's hive, grown by a list of choices."""

    def __init__(self) -> None:
        self.heads = {(hive, who): FeedHead(hive=hive, author=who, feed=f"{hive}-{who}") for hive, who in PLACES}
        self.events: list[Event] = []
        self.verdicts: dict[str, list[str]] = {"a": [], "b": []}
        self.incumbents: dict[str, str] = {"a": "", "b": ""}

    def add(self, hive: str, who: str, body: object) -> Event:
        head = self.heads[hive, who]
        others = (h.id for (where, name), h in self.heads.items() if where == hive and name != who)
        after = tuple(name for name in others if name)
        event = read_event(payload_bytes(next_payload(head, body, at=len(self.events), after=after)), "")
        self.heads[hive, who] = advance(head, event)
        self.events.append(event)
        return event

    def act(self, hive: str, who: str, what: int, number: int) -> None:
        if what == 0:
            self.judge(hive, who, number)
        elif what == 1 and self.incumbents[hive]:
            self.add(hive, who, ArtifactApplied(proposed=self.incumbents[hive], target="tree", commit=""))
        elif what == 2 and self.verdicts[hive]:
            evidence = (self.verdicts[hive][number % len(self.verdicts[hive])],)
            sides = (evidence, ()) if number % 2 else ((), evidence)
            self.add(hive, who, BeliefHeld(type=KIND, subject="s", supports=sides[0], contradicts=sides[1]))
        elif what == 3 and self.verdicts[hive]:
            self.add(hive, who, ResultExcised(target=self.verdicts[hive][-1], reason="r"))
        elif what == 4:
            policy = Policy(minimum_gain=number / 8)
            study = StudySettings(budget=Budget(trials=9), policy=policy)
            self.add(hive, who, StudyConfigured(version=number, settings=study))
        elif what == 5:
            self.certify(number)

    def judge(self, hive: str, who: str, number: int) -> None:
        hypothesis = Hypothesis(
            operator="o", target="t", change="c", reason="r", predicted=Prediction(score=1.0, deviation=0.5)
        )
        proposed = self.add(
            hive,
            who,
            CandidateProposed(
                candidate="",
                parents=(),
                hypothesis=hypothesis,
                phase="explore",
                normal_form="",
                novelty=None,
                repeats=0,
                space="",
                coordinates=(),
            ),
        )
        verdict = self.add(
            hive,
            who,
            VerdictReached(
                candidate=proposed.id,
                incumbent=self.incumbents[hive],
                verdict="promoted" if number % 3 else "discarded",
                reasons=("r",),
                figures={"gain": float(number), "mean": 1.25},
                trials=(),
            ),
        )
        self.verdicts[hive].append(verdict.id)
        if number % 3:
            self.incumbents[hive] = proposed.id

    def certify(self, number: int) -> None:
        key = f"did:key:{number % 3}"
        if number % 2:
            self.add(OWN, ME, KeyCertified(key=key, purpose="agent", name="n", may=("run",), proof=""))
        else:
            self.add(OWN, ME, KeyRevoked(key=key, reason="lost", closes={}))


KIND = "forked-trials-repeat"
PLACES = [*((hive, who) for hive in ("a", "b") for who in (ME, OTHER)), (OWN, ME)]
CHOICES = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from([ME, OTHER]), st.integers(0, 5), st.integers(0, 40)), max_size=30
)


def grow(choices: list[tuple[str, str, int, int]]) -> list[Event]:
    world = World()
    created = IdentityCreated(
        origin="generated", lineage=(), policy=Policy(), ceiling=CAPABILITIES, next_key="", controller="", consent=""
    )
    world.add(OWN, ME, created)
    for hive in "ab":
        founded = HiveFounded(
            problem=hive, specification="", policy=Policy(), roles={}, supply="0", witnesses=(ME,), auditors=()
        )
        world.add(hive, ME, founded)
    for choice in choices:
        world.act(*choice)
    return world.events


def by_hive(events: list[Event]) -> dict[str, list[Event]]:
    hives = sorted({event.fields.hive for event in events})
    return {hive: canonical_order(event for event in events if event.fields.hive == hive) for hive in hives}


def soul_of(events: list[Event], order: random.Random) -> Soul:
    """Fold with the hives interleaved at random, each in canonical order."""
    hives = by_hive(events)
    excised = frozenset(name for each in hives.values() for name in frozenset(excisions_of(each).withdrawn))
    view = SoulView(ME, Holding(), {}, excised)
    waiting = [list(reversed(each)) for each in hives.values()]
    while waiting := [each for each in waiting if each]:
        view.apply(order.choice(waiting).pop())
    return view.soul()


@settings(max_examples=60, deadline=None)
@given(choices=CHOICES, seed=st.integers(0, 2**31))
def test_any_arrival_and_interleaving_tells_one_soul(choices: list[tuple[str, str, int, int]], seed: int) -> None:
    events = grow(choices)
    chance = random.Random(seed)
    shuffled = [*events, *events[: len(events) // 3]]
    chance.shuffle(shuffled)
    assert soul_of(shuffled, chance) == soul_of(events, random.Random(0))


@settings(max_examples=60, deadline=None)
@given(choices=CHOICES)
def test_a_soul_shows_only_what_its_author_did_and_names_the_events(choices: list[tuple[str, str, int, int]]) -> None:
    events = grow(choices)
    found = soul_of(events, random.Random(0))
    mine = {event.id for event in events if event.fields.author == ME}
    every = {event.id for event in events}
    assert {row.event for row in found.decisions} <= mine
    assert {name for row in found.decisions for name in row.events if name} <= every
    assert {after.event for row in found.decisions for after in row.aftermath} <= mine
    significant = [e for e in events if e.id in mine and isinstance(e.body, VerdictReached | ArtifactApplied)]
    shown = [e for e in significant if not isinstance(e.body, VerdictReached) or e.body.verdict == "promoted"]
    assert sum(row.name in ("promoted", "applied") for row in found.decisions) == len(shown)


@settings(max_examples=40, deadline=None)
@given(choices=CHOICES)
def test_decay_changes_nothing_however_often_it_is_looked_at(choices: list[tuple[str, str, int, int]]) -> None:
    events = by_hive(grow(choices))["a"]
    view = fold(BeliefsView(), events)
    first = view.rows(ME)
    assert view.rows(ME) == first == fold(BeliefsView(), events).rows(ME)
    assert all(0.0 < row.strength < 1.0 for row in first)
    again = fold(BeliefsView(), events)
    for row in first:
        named = next(event for event in events if event.id == row.events[0])
        again.apply(named)  # told once more: only time has passed
    told = [(row.supports, row.contradicts) for row in again.rows(ME)]
    assert told == [(row.supports, row.contradicts) for row in first]
