"""Who may excise what: authors their own, roles of the policy others', nobody what is no result."""

from __future__ import annotations

from typing import Any

import pytest

from consilience.core.bodies import BeliefHeld, HiveFounded, StudyConfigured
from consilience.core.bodies_journal import ExcisionWithdrawn, ResultExcised
from consilience.core.events import Event, Payload
from consilience.core.study import Budget, Policy, StudySettings
from consilience.journal.authority import authority_of
from consilience.journal.excision import excision_digest, excisions_of
from consilience.journal.kinds import KINDS, kind_named
from consilience.journal.standing import StandingFold, fold_standing
from consilience.testing.candidates import plain_candidate

OWNER, MEMBER, CURATOR, STRANGER = "did:owner", "did:member", "did:curator", "did:stranger"


def event(name: str, author: str, body: Any) -> Event:
    kind = kind_named(type(body))
    fields = Payload(v=1, hive="h", author=author, feed=author, seq=0, prev=None, after=(), at=0, kind=kind, body={})
    return Event(id=name, payload=b"", jws="", fields=fields, body=body)


def founded(*roles: str, author: str = OWNER, name: str = "genesis") -> Event:
    body = HiveFounded(
        problem="p",
        specification="",
        policy=Policy(excision_roles=roles),
        roles={"owner": (OWNER,), "curator": (CURATOR,)},
        supply="0",
        witnesses=(OWNER,),
        auditors=(),
    )
    return event(name, author, body)


def configured(*roles: str, author: str = OWNER) -> Event:
    settings = StudySettings(budget=Budget(trials=1), policy=Policy(excision_roles=roles))
    return event(f"settings {author} {roles}", author, StudyConfigured(version=1, settings=settings))


def candidate(name: str, author: str, *parents: str) -> Event:
    body = plain_candidate(name, *parents)
    return event(name, author, body)


def excised(author: str, target: str, name: str = "cut") -> Event:
    return event(name, author, ResultExcised(target=target, reason="because"))


def taken_back(author: str, excision: str = "cut") -> Event:
    return event(f"back by {author}", author, ExcisionWithdrawn(excision=excision, reason="after all"))


@pytest.mark.parametrize(
    ("roles", "author", "holds"),
    [
        (("owner",), MEMBER, True),  # own result
        (("owner",), OWNER, True),  # role that the policy names
        (("owner",), CURATOR, False),  # a role, but not that one
        (("owner", "curator"), CURATOR, True),
        ((), OWNER, False),  # no role may
        (("owner",), STRANGER, False),
    ],
)
def test_authors_and_named_roles_may(roles: tuple[str, ...], author: str, holds: bool) -> None:
    events = [founded(*roles), candidate("c", MEMBER), candidate("child", STRANGER, "c"), excised(author, "c")]
    found = excisions_of(events)
    assert bool(found.withdrawn) == holds
    assert found.withdrawn == ({"c": "cut", "child": "cut"} if holds else {})
    assert (excision_digest(found) != "") == holds
    assert (found.stated[0].refused == "") == holds


def test_the_policy_in_force_at_its_place_decides() -> None:
    wide, narrow = configured("curator"), configured("owner")
    made = candidate("c", MEMBER)
    assert excisions_of([founded("owner"), made, wide, excised(CURATOR, "c"), narrow]).withdrawn
    assert not excisions_of([founded("owner"), made, wide, narrow, excised(CURATOR, "c")]).withdrawn


def test_only_an_owner_states_the_policy() -> None:
    events = [founded("owner"), candidate("c", MEMBER), configured("curator", author=CURATOR), excised(CURATOR, "c")]
    assert not excisions_of(events).withdrawn


def test_two_geneses_give_nobody_a_role() -> None:
    forged = founded("owner", author=STRANGER, name="forged")
    for first, second in ((founded("owner"), forged), (forged, founded("owner"))):
        assert not excisions_of([first, second, candidate("c", MEMBER), excised(OWNER, "c")]).withdrawn
        assert excisions_of([first, second, candidate("c", MEMBER), excised(MEMBER, "c")]).withdrawn


@pytest.mark.parametrize(
    ("excising", "returning", "holds"),
    [(MEMBER, MEMBER, True), (MEMBER, OWNER, False), (OWNER, OWNER, True), (OWNER, MEMBER, False)],
)
def test_who_may_take_back(excising: str, returning: str, holds: bool) -> None:
    events = [founded("owner"), candidate("c", MEMBER), excised(excising, "c"), taken_back(returning)]
    found = excisions_of(events)
    assert bool(found.withdrawn) != holds
    assert bool(found.stated[0].taken_back) == holds


def test_another_member_of_the_role_may_take_back_what_the_role_excised() -> None:
    roles = founded("owner", "curator")
    events = [roles, candidate("c", MEMBER), excised(OWNER, "c"), taken_back(CURATOR)]
    assert not excisions_of(events).withdrawn


def test_a_second_excision_stays_when_the_first_is_taken_back() -> None:
    events = [
        founded("owner"),
        candidate("c", MEMBER),
        excised(MEMBER, "c"),
        excised(OWNER, "c", "again"),
        taken_back(MEMBER),
    ]
    assert excisions_of(events).withdrawn == {"c": "again"}


def test_an_effect_that_comes_before_its_cause_is_found() -> None:
    """Feeds that do not name each other as causes may be folded in any order."""
    events = [founded("owner"), candidate("child", MEMBER, "c"), candidate("c", MEMBER), excised(MEMBER, "c")]
    assert set(excisions_of(events).withdrawn) == {"c", "child"}


def test_a_belief_rests_on_its_evidence() -> None:
    belief = BeliefHeld(type="forked-trials-repeat", subject="s", supports=("c",), contradicts=())
    events = [founded("owner"), candidate("c", MEMBER), event("belief", MEMBER, belief), excised(MEMBER, "c")]
    assert "belief" in excisions_of(events).withdrawn


def test_results_are_a_list_of_their_own() -> None:
    """A kind that nobody has marked as a result cannot be excised: identity, keys, settings, proofs, later kinds."""
    assert {kind.name for kind in KINDS if kind.result} == {
        *("candidate.proposed", "trial.started", "trial.finished", "noise.measured", "verdict.reached"),
        *("record.imported", "belief.held"),
    }


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.result], ids=lambda kind: kind.name)
def test_no_owner_excises_what_is_no_result(kind: Any) -> None:
    target = event("x", OWNER, candidate("c", OWNER).body)
    fields = Payload(v=1, hive="h", author=OWNER, feed="f", seq=0, prev=None, after=(), at=0, kind=kind.name, body={})
    other = Event(id="x", payload=b"", jws="", fields=fields, body=target.body)
    assert "only results can be excised" in authority_of([founded("owner")]).fault(OWNER, other)


class Seen:
    """A view that notes what it is given."""

    def __init__(self) -> None:
        self.applied: list[str] = []
        self.told: list[tuple[str, str]] = []

    def apply(self, event: Event) -> None:
        self.applied.append(event.id)

    def apply_withdrawn(self, event: Event, excision: str) -> None:
        self.told.append((event.id, excision))


def test_the_fold_tells_withdrawn_events_apart_and_knows_when_it_is_stale() -> None:
    events = [founded("owner"), candidate("c", MEMBER), excised(MEMBER, "c")]
    view = Seen()
    made = fold_standing((view,), events, excisions_of(events))
    assert not made.stale
    made.apply(candidate("late child", MEMBER, "c"))
    assert view.applied == ["genesis", "cut"]
    assert view.told == [("c", "cut"), ("late child", "cut")]
    made.apply(taken_back(MEMBER))
    assert made.stale
    fresh = StandingFold((Seen(),))
    for each in events:
        fresh.apply(each)
    assert fresh.stale
