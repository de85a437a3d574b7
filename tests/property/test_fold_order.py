"""The canonical order is a function of the set of events alone, and causes come before effects."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from consilience.core.bodies import EpochClosed, HiveFounded, PhaseSwitched
from consilience.core.events import Event, payload_bytes
from consilience.core.study import Policy
from consilience.identity.keys import Identity
from consilience.journal.feed import FeedHead, advance, next_payload, read_event
from consilience.journal.order import canonical_order

AUTHORS = [Identity.generate() for _ in range(3)]


def make_feeds(choices: list[tuple[int, bool, bool]]) -> list[Event]:
    """Grow three feeds; a choice is (author, whether it builds on the other heads, whether it closes an epoch)."""
    heads = {n: FeedHead(hive="h", author=a.did, feed=f"feed-{n}") for n, a in enumerate(AUTHORS)}
    events: list[Event] = []
    epoch = 0
    for at, (author, causal, closes) in enumerate([(0, False, False), *choices]):
        known = [head.id for n, head in heads.items() if n != author and head.id is not None]
        everything = tuple(head.id for head in heads.values() if head.id is not None)
        body: object = PhaseSwitched(phase="explore", figures={"n": at}, reason="x")
        if at == 0:
            body = HiveFounded(
                problem="p",
                specification="",
                policy=Policy(),
                roles={"runner": tuple(each.did for each in AUTHORS)},
                supply="0",
                witnesses=(AUTHORS[0].did,),
                auditors=(),
            )
        elif closes and author == 0:
            epoch += 1
            body = EpochClosed(epoch=epoch, heads=everything)
        payload = next_payload(heads[author], body, at=at, after=tuple(known) if causal else ())
        data = payload_bytes(payload)
        event = read_event(data, AUTHORS[author].sign(data))
        heads[author] = advance(heads[author], event)
        events.append(event)
    return events


CHOICES = st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.booleans()), max_size=25)


@settings(max_examples=60, deadline=None)
@given(choices=CHOICES, seed=st.integers(0, 2**31))
def test_any_arrival_order_and_repetition_folds_alike(choices: list[tuple[int, bool, bool]], seed: int) -> None:
    events = make_feeds(choices)
    shuffled = [*events, *events[: len(events) // 2]]
    random.Random(seed).shuffle(shuffled)
    assert [e.id for e in canonical_order(shuffled)] == [e.id for e in canonical_order(events)]
    assert len(canonical_order(events)) == len(events)


@settings(max_examples=60, deadline=None)
@given(choices=CHOICES)
def test_causes_come_first(choices: list[tuple[int, bool, bool]]) -> None:
    place = {event.id: n for n, event in enumerate(canonical_order(make_feeds(choices)))}
    for event in make_feeds(choices):
        if event.id in place:
            causes = [*event.fields.after, *([event.fields.prev] if event.fields.prev else [])]
            assert all(place[cause] < place[event.id] for cause in causes if cause in place)


@settings(max_examples=40, deadline=None)
@given(
    choices=st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.booleans()), min_size=3, max_size=20),
    data=st.data(),
)
def test_what_follows_a_gap_waits(choices: list[tuple[int, bool, bool]], data: st.DataObject) -> None:
    events = make_feeds(choices)
    lost = data.draw(st.sampled_from(events))
    kept = canonical_order(event for event in events if event.id != lost.id)
    ids = {event.id for event in kept}
    for event in kept:
        assert event.fields.prev is None or event.fields.prev in ids
        assert set(event.fields.after) <= ids


def test_a_forked_feed_counts_up_to_the_fork() -> None:
    head = FeedHead(hive="h", author=AUTHORS[0].did, feed="f")
    twins: list[Event] = []
    for reason in ("one", "other"):
        data = payload_bytes(next_payload(head, PhaseSwitched(phase="explore", figures={}, reason=reason), at=0))
        twins.append(read_event(data, AUTHORS[0].sign(data)))
    assert canonical_order(twins) == []
