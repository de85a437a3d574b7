"""Epochs by four witnesses: a quorum of three, missing ones, liars, late closings, agents of operators."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from consilience.core.bodies import EpochClosed, HiveFounded, PhaseSwitched
from consilience.core.bodies_identity import CAPABILITIES, IdentityCreated, KeyCertified
from consilience.core.events import Event, identity_hive, payload_bytes
from consilience.core.study import Policy
from consilience.identity.keys import Identity
from consilience.identity.proofs import StatementProofs, prove
from consilience.identity.statements import certificate_statement
from consilience.journal.feed import FeedHead, advance, next_payload, read_event
from consilience.journal.order import order_events
from consilience.journal.views.keys import KeysView

HIVE = "cd" * 16
WITNESSES = sorted((Identity.generate() for _ in range(4)), key=lambda each: each.did)
WORKER, AGENT = Identity.generate(), Identity.generate()


class Hive:
    """Four witnesses and a worker, each with one feed."""

    def __init__(self, witnesses: int = 4) -> None:
        self.events: list[Event] = []
        self.heads: dict[str, FeedHead] = {}
        self.add(
            WITNESSES[0],
            HiveFounded(
                problem="p",
                specification="",
                policy=Policy(),
                roles={"runner": (WORKER.did, *(each.did for each in WITNESSES))},
                supply="0",
                witnesses=tuple(each.did for each in WITNESSES[:witnesses]),
                auditors=(),
            ),
        )

    def add(self, who: Identity, body: Any, *, after: tuple[str, ...] = (), hive: str = HIVE) -> Event:
        name = f"{who.did[-6:]} {hive}"
        head = self.heads.get(name) or FeedHead(hive=hive, author=who.did, feed=name)
        data = payload_bytes(next_payload(head, body, at=0, after=after))
        event = read_event(data, who.sign(data))
        self.heads[name] = advance(head, event)
        self.events.append(event)
        return event

    def work(self) -> Event:
        return self.add(WORKER, PhaseSwitched(phase="explore", figures={}, reason="work"))

    def close(self, who: Identity, epoch: int, *heads: Event, seen: bool = True) -> Event:
        names = tuple(head.id for head in heads)
        return self.add(who, EpochClosed(epoch=epoch, heads=names), after=names if seen else ())

    def order(self) -> list[str]:
        keys = KeysView(StatementProofs())
        return [event.id for event in order_events(self.events, keys=keys).events]

    def is_first(self, one: Event, other: Event) -> bool:
        """Tell whether `one`, which is deeper than `other`, comes first all the same: by its epoch."""
        order = self.order()
        return order.index(one.id) < order.index(other.id)


def deep_and_shallow(hive: Hive) -> tuple[Event, Event]:
    """Return an event that lies deep in the worker's feed, and one of the last witness that nobody covers."""
    hive.work()
    hive.work()
    deep = hive.work()
    return deep, hive.add(WITNESSES[3], PhaseSwitched(phase="explore", figures={}, reason="shallow"))


def test_three_of_four_witnesses_close_an_epoch() -> None:
    hive = Hive()
    deep, shallow = deep_and_shallow(hive)
    assert not hive.is_first(deep, shallow)
    for witness in WITNESSES[:2]:
        hive.close(witness, 1, deep)
    assert not hive.is_first(deep, shallow), "two of four are no quorum: all is provisional"
    hive.close(WITNESSES[2], 1, deep)
    assert hive.is_first(deep, shallow)


def test_one_witness_who_closes_often_is_one() -> None:
    hive = Hive()
    deep, shallow = deep_and_shallow(hive)
    for epoch in range(1, 6):
        hive.close(WITNESSES[0], epoch, deep)
    hive.close(WORKER, 1, deep)  # no witness
    assert not hive.is_first(deep, shallow)


def test_a_witness_covers_nothing_that_he_does_not_build_on() -> None:
    hive = Hive()
    deep, shallow = deep_and_shallow(hive)
    hive.close(WITNESSES[0], 1, deep)
    hive.close(WITNESSES[1], 1, deep)
    hive.close(WITNESSES[2], 1, deep, seen=False)
    assert not hive.is_first(deep, shallow)


def test_heads_that_nobody_holds_and_epochs_below_one_cover_nothing() -> None:
    hive = Hive()
    deep, shallow = deep_and_shallow(hive)
    for witness in WITNESSES[:3]:
        hive.add(witness, EpochClosed(epoch=0, heads=(deep.id,)), after=(deep.id,))
        hive.add(witness, EpochClosed(epoch=1, heads=("f" * 64,)))
    assert not hive.is_first(deep, shallow)


def test_a_later_epoch_by_one_witness_counts_from_that_epoch_on() -> None:
    hive = Hive()
    deep, shallow = deep_and_shallow(hive)
    hive.close(WITNESSES[0], 1, deep)
    hive.close(WITNESSES[1], 1, deep)
    hive.close(WITNESSES[2], 2, deep)
    assert hive.is_first(deep, shallow)


def test_an_epoch_that_closes_late_puts_its_events_where_they_belong() -> None:
    hive = Hive()
    deep = hive.work()
    other = hive.add(WITNESSES[3], PhaseSwitched(phase="explore", figures={}, reason="second"))
    for witness in WITNESSES[:3]:
        hive.close(witness, 2, other)
    assert hive.is_first(other, deep)
    for witness in WITNESSES[:3]:
        hive.close(witness, 1, deep)
    assert hive.is_first(deep, other)


def test_an_event_is_never_in_an_earlier_epoch_than_what_it_builds_on() -> None:
    hive = Hive()
    first = hive.work()
    second = hive.work()
    for epoch, witness in enumerate(WITNESSES, start=1):
        hive.close(witness, epoch, second)
        hive.close(witness, epoch + 1, first)
    order = hive.order()
    assert order.index(first.id) < order.index(second.id)


def test_what_a_certified_agent_closes_its_operator_closes() -> None:
    hive = Hive()
    deep, shallow = deep_and_shallow(hive)
    hive.close(WITNESSES[0], 1, deep)
    hive.close(WITNESSES[1], 1, deep)
    hive.close(AGENT, 1, deep)
    assert not hive.is_first(deep, shallow), "a stranger is no witness"
    certify(hive, WITNESSES[1])
    assert not hive.is_first(deep, shallow), "an agent of one who closed it already is nobody more"
    hive = Hive()
    deep, shallow = deep_and_shallow(hive)
    hive.close(WITNESSES[0], 1, deep)
    hive.close(WITNESSES[1], 1, deep)
    hive.close(AGENT, 1, deep)
    certify(hive, WITNESSES[2])
    assert hive.is_first(deep, shallow)


def certify(hive: Hive, operator: Identity) -> None:
    about = identity_hive(operator.did)
    hive.add(
        operator,
        IdentityCreated(
            origin="generated",
            lineage=(),
            policy=Policy(),
            ceiling=CAPABILITIES,
            next_key="",
            controller="",
            consent="",
        ),
        hive=about,
    )
    body = KeyCertified(key=AGENT.did, purpose="agent", name="a", may=("witness",), proof="")
    signed = replace(body, proof=prove(AGENT, certificate_statement(operator.did, body)))
    hive.add(operator, signed, hive=about)


def test_a_founder_alone_is_its_own_witness() -> None:
    hive = Hive(witnesses=1)
    deep, shallow = deep_and_shallow(hive)
    hive.close(WITNESSES[0], 1, deep)
    assert hive.is_first(deep, shallow)


def test_identity_events_come_first_and_hold_nothing_back() -> None:
    hive = Hive()
    work = hive.work()
    certify(hive, WORKER)
    later = hive.add(WORKER, PhaseSwitched(phase="exploit", figures={}, reason=""), after=(hive.events[-1].id,))
    order = hive.order()
    assert [order.index(event.id) for event in hive.events if event.fields.hive != HIVE] == [0, 1]
    assert order.index(work.id) < order.index(later.id)


def test_a_cause_in_another_hive_holds_an_event_back_until_it_is_held() -> None:
    hive = Hive()
    work = hive.add(WORKER, PhaseSwitched(phase="exploit", figures={}, reason=""), after=("e" * 64,))
    found = order_events(hive.events)
    assert found.waiting == {work.id}
    assert work in order_events(hive.events, elsewhere={"e" * 64}).events
