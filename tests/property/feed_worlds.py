"""Small hives of several real identities: signed feeds with studies, epochs, excisions, forks and certificates."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from consilience.core.bodies import (
    CandidateProposed,
    EpochClosed,
    HiveFounded,
    PhaseSwitched,
    RunStarted,
    StudyConfigured,
    TrialFinished,
    TrialStarted,
    VerdictReached,
)
from consilience.core.bodies_identity import CAPABILITIES, BeliefHeld, IdentityCreated, KeyCertified
from consilience.core.bodies_journal import ExcisionWithdrawn, FeedOpened, ResultExcised
from consilience.core.events import Event, identity_hive, payload_bytes
from consilience.core.hypothesis import Hypothesis
from consilience.core.outcome import Isolation, Resources
from consilience.core.problem import EvaluatorSpec, Objective, Problem, Surface
from consilience.core.study import Budget, Policy, Spend, StudySettings
from consilience.identity.keys import Identity
from consilience.identity.proofs import StatementProofs, prove
from consilience.identity.statements import certificate_statement
from consilience.journal.acting import excisions_in
from consilience.journal.feed import FeedHead, advance, next_payload, read_event
from consilience.journal.order import Ordered, order_events
from consilience.journal.standing import fold_standing
from consilience.journal.views.keys import KeysView
from consilience.journal.views.soul import SoulView
from consilience.node.views import study_views

HIVE = "ab" * 16
WITNESSES = [Identity.generate() for _ in range(4)]
AGENT, OUTSIDER = Identity.generate(), Identity.generate()
AUTHORS = [*WITNESSES, AGENT, OUTSIDER]
ISOLATION = Isolation(level="none", domain="told")
PROBLEM = Problem(
    name="world",
    goal="",
    objective=Objective(metric="m", direction="minimize"),
    surface=Surface(),
    evaluator=EvaluatorSpec(kind="command"),
)


def fresh_keys() -> KeysView:
    return KeysView(StatementProofs())


def certificate(operator: Identity, agent: Identity) -> KeyCertified:
    body = KeyCertified(key=agent.did, purpose="agent", name="worker", may=("run", "witness", "excise"), proof="")
    return replace(body, proof=prove(agent, certificate_statement(operator.did, body)))


def founded(witnesses: Sequence[Identity]) -> HiveFounded:
    return HiveFounded(
        problem="p",
        specification="",
        policy=Policy(),
        roles={"runner": (OUTSIDER.did,)},
        supply="0",
        witnesses=tuple(each.did for each in witnesses),
        auditors=(),
    )


class World:
    """Grows feeds; `events` has them causes first."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.heads: dict[int, FeedHead] = {}
        self.seen: dict[type[Any], list[Event]] = {}
        self._feeds = 0
        for who in range(len(AUTHORS)):
            self.open_feed(who)
        genesis = IdentityCreated(
            origin="generated",
            lineage=(),
            policy=Policy(),
            ceiling=CAPABILITIES,
            next_key="",
            controller="",
            consent="",
        )
        operator = WITNESSES[0]
        about = FeedHead(hive=identity_hive(operator.did), author=operator.did, feed="about")
        about = advance(about, self.sign(0, about, genesis))
        self.sign(0, about, certificate(operator, AGENT))
        self.add(0, founded(WITNESSES))
        self.add(0, StudyConfigured(version=1, settings=StudySettings(budget=Budget(trials=99))))
        self.add(0, run_started(self.events[-1].id))

    def open_feed(self, who: int) -> None:
        """Let an author go on in a new feed, as on a second laptop."""
        self._feeds += 1
        self.heads[who] = FeedHead(hive=HIVE, author=AUTHORS[who].did, feed=f"feed-{self._feeds:03}")

    def sign(self, who: int, head: FeedHead, body: Any, *, at: int = 0, after: tuple[str, ...] = ()) -> Event:
        data = payload_bytes(next_payload(head, body, at=at, after=after))
        event = read_event(data, AUTHORS[who].sign(data))
        self.events.append(event)
        self.seen.setdefault(type(body), []).append(event)
        return event

    def add(self, who: int, body: Any, *, after: tuple[str, ...] = ()) -> Event:
        event = self.sign(who, self.heads[who], body, after=after)
        self.heads[who] = advance(self.heads[who], event)
        return event

    def tips(self, but: int) -> tuple[str, ...]:
        return tuple(head.id for who, head in self.heads.items() if who != but and head.id is not None)

    def fork(self, who: int) -> None:
        """Sign another event for the place of the author's latest one; go on from either."""
        event = next(e for e in reversed(self.events) if e.fields.author == AUTHORS[who].did and e.fields.hive == HIVE)
        fields = event.fields
        head = FeedHead(hive=HIVE, author=fields.author, feed=fields.feed, seq=fields.seq - 1, id=fields.prev)
        if isinstance(event.body, HiveFounded):
            return
        twin = self.sign(who, head, event.body, at=len(self.events) + 1)
        if len(self.events) % 2:
            self.heads[who] = advance(head, twin)

    def step(self, who: int, action: int, pick: int) -> None:
        """Carry out one of twelve actions; those that lack something to refer to switch the phase instead."""
        candidates = self.seen.get(CandidateProposed, [])
        started = self.seen.get(TrialStarted, [])
        finished = self.seen.get(TrialFinished, [])
        if action == 0:
            parents = (candidates[pick % len(candidates)].id,) if candidates and pick % 3 else ()
            self.add(who, proposed(len(self.events), parents))
        elif action in {1, 2} and candidates:
            self.add(who, trial_started(len(started), candidates[pick % len(candidates)].id))
        elif action == 3 and started:
            self.add(who, trial_finished(started[pick % len(started)].id, float(pick % 7)))
        elif action == 4 and candidates and finished:
            self.add(who, judged(candidates[pick % len(candidates)].id, finished[pick % len(finished)].id))
        elif action == 5:
            tips = self.tips(who)
            self.add(who, EpochClosed(epoch=1 + pick % 3, heads=tips), after=tips)
        elif action == 6 and finished:
            self.add(who, ResultExcised(target=finished[pick % len(finished)].id, reason="wrong"))
        elif action == 7:
            self.open_feed(who)
        else:
            self._step_rarely(who, action, pick)

    def _step_rarely(self, who: int, action: int, pick: int) -> None:
        finished = self.seen.get(TrialFinished, [])
        if action == 8 and self.heads[who].id is not None:
            self.fork(who)
        elif action == 9 and pick % 2:
            self.open_feed(who)
            self.add(who, FeedOpened(spending=True, device="d"))
        elif action == 10 and finished:
            self.add(who, believed(finished[pick % len(finished)].id, str(pick % 2)))
        elif action == 11 and (cut := self.seen.get(ResultExcised)):
            self.add(who, ExcisionWithdrawn(excision=cut[pick % len(cut)].id, reason="right after all"))
        else:
            self.add(who, PhaseSwitched(phase="explore", figures={}, reason=str(pick)), after=self.tips(who))


def run_started(study: str) -> RunStarted:
    return RunStarted(
        study=study,
        comparability_key="k",
        environment="e",
        environment_blob="",
        isolation=ISOLATION,
        workers=1,
        software="0",
    )


def proposed(number: int, parents: tuple[str, ...]) -> CandidateProposed:
    return CandidateProposed(
        candidate="",
        parents=parents,
        hypothesis=Hypothesis(operator="op", target="", change="", reason=""),
        phase="explore",
        normal_form=str(number),
        novelty=0.5,
        repeats=0,
        space="",
        coordinates=(),
    )


def trial_started(number: int, candidate: str) -> TrialStarted:
    return TrialStarted(number=number, proposed=candidate, seed=number, purpose="screen", reserved=Spend(trials=1))


def trial_finished(started: str, score: float) -> TrialFinished:
    return TrialFinished(
        started=started,
        metrics={"m": score},
        failure=None,
        resources=Resources(),
        spent=Spend(trials=1),
        isolation=ISOLATION,
        comparability_key="k",
        environment="",
        log="",
        feedback="",
    )


def judged(candidate: str, trial: str) -> VerdictReached:
    return VerdictReached(
        candidate=candidate, incumbent="", verdict="promoted", reasons=(), figures={"gain": 1.0}, trials=(trial,)
    )


def believed(trial: str, subject: str) -> BeliefHeld:
    return BeliefHeld(type="forked-trials-repeat", subject=subject, supports=(trial,), contradicts=())


def grow(steps: Iterable[tuple[int, int, int]]) -> World:
    world = World()
    for who, action, pick in steps:
        world.step(who, action, pick)
    return world


def order(events: Iterable[Event]) -> Ordered:
    return order_events(events, keys=fresh_keys())


def views(events: Iterable[Event]) -> bytes:
    """Return every view of a study, its keys and its authors' souls, as these events make them, to the last field."""
    ordered = order(events)
    excisions = excisions_in(ordered.events, fresh_keys)
    found = study_views(PROBLEM)
    fold_standing(tuple(found.values()), ordered.events, excisions)
    keys = fresh_keys()
    withdrawn = frozenset(excisions.withdrawn)
    souls = [SoulView(author.did, StatementProofs(), excised=withdrawn) for author in AUTHORS]
    for event in ordered.events:
        for view in (keys, *souls):
            view.apply(event)
    told = [{name: vars(view) for name, view in found.items()}, excisions, ordered.proofs]
    about = [[keys.state(name) for name in keys.authors()], keys.acts_for(), [soul.soul() for soul in souls]]
    return msgspec.json.encode([told, about], enc_hook=_plain)


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, set | frozenset) else vars(value)


def causal_shuffle(events: Sequence[Event], seed: int) -> list[Event]:
    """Return the events in another order of arrival: within each author's feed as before, feeds interleaved anew."""
    stream = random.Random(seed)
    lines: dict[str, list[Event]] = {}
    for event in events:
        lines.setdefault(event.fields.feed, []).append(event)
    waiting = [line for line in lines.values() if line]
    found: list[Event] = []
    while waiting:
        line = stream.choice(waiting)
        found.append(line.pop(0))
        waiting = [each for each in waiting if each]
    return found
