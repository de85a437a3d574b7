"""The search state: a fold of the study's events into all that the next decision needs.

Rules:
    1. Only events change it, so a resumed loop stands exactly where the killed one stood.
    2. Nothing in it reads event ids to decide, nor `at`, nor the order of arrival.
    3. Scores are compared under one comparability key only: another key measures its own baseline.
    4. Cost per event is constant, but for a change of key or bound, and for a quarantine.
    5. A candidate with a score beyond the bound in force is in quarantine: no incumbent, no parent, no credit.
    6. What was excised scores, earns and decides nothing. It stays spent, numbered and tried, so that it is neither
       paid back nor proposed again. A candidate whose verdict was excised, though it stands, is open once more.

Data flow: journal -> `apply` -> `engine.next_step`, `proposing`, `contest`.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from msgspec.structs import replace

from consilience.core.bodies import (
    ASIDE,
    CandidateProposed,
    NoiseMeasured,
    PhaseSwitched,
    RunStarted,
    StudyConfigured,
    TrialCancelled,
    TrialFinished,
    TrialStarted,
    VerdictReached,
)
from consilience.core.chance import panel_seed
from consilience.core.events import Event
from consilience.core.plausibility import beyond_bound
from consilience.core.ports import Tried
from consilience.core.problem import Problem
from consilience.core.study import StudySettings
from consilience.journal.tables import Lists, Table
from consilience.journal.views.budget import BudgetView
from consilience.search.credit import CreditBook, reward_of
from consilience.search.governor import Governor
from consilience.search.kept_state import CELLS, LISTS, TABLES, Chosen, Floors
from consilience.search.member import Member
from consilience.search.noise import NoiseFloor, pool
from consilience.search.recheck import recheck_fault

POOL_SIZE = 12  # good candidates kept at hand as parents; lineage itself is in the journal
RECENT_SIZE = 6  # latest candidates that novelty is measured against, beside the parents


class SearchState:
    """Fold of one study. `open` holds the candidates without a verdict, in order of proposal."""

    folds = (
        *(StudyConfigured, RunStarted, CandidateProposed, TrialStarted, TrialFinished, TrialCancelled),
        *(NoiseMeasured, VerdictReached, PhaseSwitched),
    )

    cells: ClassVar[Mapping[str, Any]] = CELLS
    tables: ClassVar[Mapping[str, Any]] = TABLES
    lists: ClassVar[Mapping[str, Any]] = LISTS

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.settings: StudySettings | None = None
        self.key = ""
        self.budget = BudgetView()
        self.credit = CreditBook()
        self.governor = Governor()
        self.members: Table[Member] = Table()
        self.by_candidate: Table[str] = Table()
        self.forms: Table[str] = Table()
        self.tried: Lists[Tried] = Lists()
        self.pool: list[Member] = []
        self.recent: list[Member] = []
        self.started: Table[TrialStarted] = Table()
        self.undone: Table[str] = Table()  # trials whose outcome was excised, with the excision: as if never run
        self.in_flight: dict[str, TrialStarted] = {}
        self.trials = 0
        self.contests = 0
        self.measured: NoiseMeasured | None = None
        self.noise: NoiseFloor | None = None
        self._floors: dict[str, Floors] = {}
        self.baseline: Member | None = None
        self.incumbent: Member | None = None
        self.open: dict[str, Member] = {}
        self._promotions: Table[str] = Table()  # by its number among the promoted: the candidate
        self.baseline_fault = ""
        self._bound: float | None = None

    @property
    def chosen(self) -> Chosen:
        """The members at hand, by name, as a snapshot keeps them."""
        return Chosen(
            pool=tuple(member.event for member in self.pool),
            recent=tuple(member.event for member in self.recent),
            baseline=self.baseline.event if self.baseline else "",
            incumbent=self.incumbent.event if self.incumbent else "",
            open=tuple(self.open),
        )

    @chosen.setter
    def chosen(self, names: Chosen) -> None:
        self.pool = [self.members[name] for name in names.pool]
        self.recent = [self.members[name] for name in names.recent]
        self.baseline = self.members[names.baseline] if names.baseline else None
        self.incumbent = self.members[names.incumbent] if names.incumbent else None
        self.open = {name: self.members[name] for name in names.open}

    def panel_seed(self, index: int) -> int:
        """Return the seed of one place on the panel that all candidates are paired on."""
        return panel_seed(self.study.seed, index)

    @property
    def study(self) -> StudySettings:
        """The settings in force; a study is configured before anything else happens."""
        if self.settings is None:
            raise LookupError("the study has not been configured")
        return self.settings

    @property
    def challenger(self) -> Member | None:
        """The candidate whose contest is to be decided next; None when all have a verdict."""
        return next(iter(self.open.values()), None)

    @property
    def promoted(self) -> list[Member]:
        """The candidates that were promoted and stand, in order of promotion."""
        return [self.members[name] for name in self._promotions.values()]

    def implausibility(self, member: Member) -> str:
        """Return why a candidate is in quarantine, "" where it is not.

        One that breaks a constraint is not: it has no claim to be good, and is discarded for that.
        """
        if self._bound is None or member.violation:
            return ""
        reasons = (beyond_bound(self.problem.objective, score, self._bound) for score in member.scores.values())
        return next(filter(None, reasons), "")

    def unmasked(self) -> Member | None:
        """Return a candidate that was promoted before a score showed it to be implausible, and is not judged so yet."""
        if self._bound is None:
            return None
        return next((m for m in self.promoted if m.verdict != "implausible" and self.implausibility(m)), None)

    def origin_of(self, member: Member) -> Member:
        """Return the candidate around which the space was opened that a member came out of; itself without one."""
        while member.body.space and member.body.parents:
            member = self.members[member.body.parents[0]]
        return member

    def members_of(self, candidates: Iterable[str]) -> dict[str, Member]:
        """Return the members that have these artifact ids, by artifact id."""
        return {name: self.members[self.by_candidate[name]] for name in candidates if name in self.by_candidate}

    def apply(self, event: Event) -> None:
        """Take one more event."""
        self.budget.apply(event)
        match event.body:
            case StudyConfigured() as body:
                self.settings = body.settings
                self._sift()
            case RunStarted() as body:
                self.baseline_fault = ""
                self._use_key(body.comparability_key)
            case CandidateProposed() as body:
                self._propose(event, body)
            case TrialStarted() as body:
                self._start(event, body)
            case TrialFinished() as body:
                self._finish(event, body)
            case TrialCancelled() as body:
                self.in_flight.pop(body.started, None)
            case NoiseMeasured() as body:
                self.measured = body
                self.noise = NoiseFloor(
                    mean=body.mean, deviation=body.deviation, degrees=body.degrees, deterministic=body.deterministic
                )
            case VerdictReached() as body:
                self._judge(body)
            case PhaseSwitched() as body:
                self.governor.switch(body)

    def apply_withdrawn(self, event: Event, excision: str) -> None:
        """Take one more event that was excised: what it cost and what was looked at stays, its result does not."""
        self.budget.apply_withdrawn(event, excision)
        match event.body:
            case CandidateProposed() as body:
                self._propose_excised(event, body)
            case TrialStarted() as body:
                self.trials += 1
                self.in_flight[event.id] = body
            case TrialFinished() as body:
                self._finish_excised(event, body, excision)
            case VerdictReached() as body:
                self.contests += bool(body.figures)  # the chance of a false promotion that it used up stays used
                self.governor.settle(promoted=False)

    def _propose_excised(self, event: Event, body: CandidateProposed) -> None:
        """Remember an excised candidate, so that its like is not proposed again and the next one has its own chance."""
        member = Member(event=event.id, number=len(self.members), body=body, excised=True)
        self.members[event.id] = member
        self.forms.add(body.normal_form, event.id)
        self.recent = [*self.recent, member][-RECENT_SIZE:]
        if body.parents:
            self.governor.propose(body.novelty or 0.0)

    def _finish_excised(self, event: Event, body: TrialFinished, excision: str) -> None:
        started = self.in_flight.pop(body.started, None)
        self.undone[body.started] = excision  # its seed has not been run
        member = self.members.get(started.proposed) if started else None
        if member is not None and member.excised and body.comparability_key == self.key:
            self.members.touch(member.event)
            if not member.evidence:  # the first time: its point led nowhere
                self._try(member, None)
            member.evidence.append(event.id)

    def _start(self, event: Event, body: TrialStarted) -> None:
        self.trials += 1
        self.in_flight[event.id] = body
        if body.purpose == "recheck" or body.purpose not in ASIDE:
            self.started[event.id] = body

    def _propose(self, event: Event, body: CandidateProposed) -> None:
        member = Member(event=event.id, number=len(self.members), body=body)
        self.members[event.id] = member
        self.by_candidate.add(body.candidate, event.id)
        self.forms.add(body.normal_form, event.id)
        self.recent = [*self.recent, member][-RECENT_SIZE:]
        if not body.parents and self.baseline is None:
            self.baseline = self.incumbent = member
            return
        self.open[event.id] = member
        novelty = body.novelty or 0.0
        self.credit.propose(body.hypothesis.operator, novelty)
        self.governor.propose(novelty)

    def _use_key(self, key: str) -> None:
        """Take up another comparability key: its own scores, noise floor and pool; nothing is carried over."""
        if key == self.key:
            return
        for member in self.members.values():
            self.members.touch(member.event)
            member.shelf[self.key] = member.scores
            member.scores = member.shelf.pop(key, {})
            member.fresh = {}
        self._floors[self.key] = (self.measured, self.noise)
        self.measured, self.noise = self._floors.pop(key, (None, None))
        self.key = key
        self.tried.clear()
        self._fill_pool()
        self._crown()

    def _fill_pool(self) -> None:
        good = (m for m in self.members.values() if m.scores and not m.violation and not self.implausibility(m))
        self.pool = sorted(good, key=self._place)
        del self.pool[POOL_SIZE:]

    def _sift(self) -> None:
        """Hold every candidate against the bound in force, when it has changed."""
        if self.study.policy.bound != self._bound:
            self._bound = self.study.policy.bound
            self._fill_pool()
            self._crown()

    def _crown(self) -> None:
        """Let the promoted and plausible candidate that none was promoted over be the incumbent; else the baseline.

        There are several only where an excision came or went between promotions: the best of them, then, or the
        last where none has a score under this key.
        """
        plausible = [member for member in self.promoted if not self.implausibility(member)]
        beaten = {member.over for member in plausible}
        heads = [member for member in reversed(plausible) if member.event not in beaten]
        scored = [member for member in heads if member.scores]
        self.incumbent = min(scored, key=self._place) if scored else next(iter(heads), self.baseline)

    def _quarantine(self, member: Member) -> None:
        """Take a candidate that turned out implausible out of everything that is built on."""
        body = member.body
        self.pool = [other for other in self.pool if other is not member]
        self._crown()
        point = (body.space, body.coordinates)
        self.tried.change(
            body.hypothesis.operator,
            lambda tried: replace(tried, score=None) if (tried.space, tried.coordinates) == point else tried,
        )

    def _place(self, member: Member) -> tuple[float, int]:
        return (-self.problem.objective.gain(member.mean, 0.0), member.number)

    def _finish(self, event: Event, body: TrialFinished) -> None:
        self.in_flight.pop(body.started, None)
        started = self.started.get(body.started)
        member = self.members.get(started.proposed) if started else None
        if started is None or member is None or body.comparability_key != self.key:
            return
        self.members.touch(member.event)
        if started.purpose == "recheck":
            self._recheck(event, member, started.seed, body)
        if started.purpose in ASIDE:
            return
        first = not member.evidence
        member.evidence.append(event.id)
        member.forked |= body.isolation.execution == "fork"
        if body.failure is not None:
            self._fail(member, f"{body.failure.reason}: {body.failure.message}")
        else:
            member.scores[started.seed] = body.metrics[self.problem.objective.metric]
            self._check_constraints(member, body)
        if first:
            self._remember(member)
        elif self.implausibility(member):
            self._quarantine(member)

    def _recheck(self, event: Event, member: Member, seed: int, body: TrialFinished) -> None:
        """Compare a fresh run with the one that it repeats."""
        if not member.scores:
            return  # what it repeats was excised
        member.evidence.append(event.id)
        if body.failure is not None:
            member.recheck_fault = f"a fresh process failed: {body.failure.reason}: {body.failure.message}"
        elif seed in member.scores:
            member.fresh[seed] = body.metrics[self.problem.objective.metric]
            member.recheck_fault = recheck_fault(member.scores, member.fresh, self.noise)
            self._check_constraints(member, body)

    def _fail(self, member: Member, failure: str) -> None:
        if member is self.baseline:
            self.baseline_fault = failure
        member.failure = member.failure or failure

    def _check_constraints(self, member: Member, body: TrialFinished) -> None:
        for constraint in self.problem.constraints:
            if not constraint.holds(body.metrics):
                found = body.metrics.get(constraint.metric)
                shown = "absent" if found is None else f"{found:g}"
                member.violation = member.violation or f"{constraint} does not hold ({shown})"

    def _remember(self, member: Member) -> None:
        """Give the operator its point and score, and keep a good candidate as a possible parent."""
        bad = member.failure or member.violation or self.implausibility(member)
        score = None if bad else member.mean
        self._try(member, score)
        if score is not None:
            bisect.insort(self.pool, member, key=self._place)
            del self.pool[POOL_SIZE:]

    def _try(self, member: Member, score: float | None) -> None:
        body = member.body
        tried = Tried(space=body.space, coordinates=body.coordinates, score=score)
        self.tried.append(body.hypothesis.operator, tried)

    def _judge(self, body: VerdictReached) -> None:
        member = self.members.get(body.candidate)
        if member is None:
            return
        self.members.touch(member.event)
        member.verdict = body.verdict
        if self.open.pop(member.event, None) is None and body.verdict == "implausible":
            return
        if member.scores and body.verdict != "implausible":
            self.contests += 1
            self._pool_noise(member, promoted=body.verdict == "promoted")
            self.credit.earning(member.body.hypothesis.operator).add_gain(body.figures.get("gain", 0.0))
        promoted = body.verdict == "promoted"
        if promoted:
            self._promote(member, body.incumbent)
        self.governor.settle(promoted=promoted)
        reward = reward_of(body, failed=bool(member.failure or member.violation))
        self.credit.settle(member.body.hypothesis.operator, reward)

    def _promote(self, member: Member, incumbent: str) -> None:
        member.over = incumbent
        self._promotions[str(len(self._promotions))] = member.event
        if self.incumbent is not None and self.incumbent.event == incumbent and not self.implausibility(member):
            self.incumbent = member
        else:
            self._crown()

    def _pool_noise(self, member: Member, *, promoted: bool) -> None:
        """Sharpen the noise floor by the replicates of what was promoted, unless the evaluator is declared exact.

        Candidates that lost do not count: many are erratic, and their spread says nothing of the incumbent's.
        They count only as the first sign that an evaluator taken for deterministic is not; what a fresh process
        could not repeat is no sign of it, and would widen what the next recheck allows.
        """
        if self.noise is None or self.study.policy.deterministic is True or member.recheck_fault:
            return
        if promoted or self.noise.deterministic:
            self.noise = pool(self.noise, [tuple(member.scores.values())])
