"""The loop as a pure machine: a state and an outcome in, the next step out.

Order of a study: baseline over its seeds -> noise floor -> (propose -> contest -> verdict)* -> stop.

Rules:
    1. `next_step` is a function of the state alone: after a crash the same step comes again.
    2. A step that needs money or machine time is returned only when the budget has room for it.
    3. Nothing here runs, stores or prints; the node carries steps out and records what came of them.

Data flow: SearchState -> `next_step` -> node -> events -> SearchState.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from consilience.core.bodies import EndReason, NoiseMeasured, TrialPurpose, VerdictReached
from consilience.search.budget import Reservation, exhausted_reason, reserve_trial
from consilience.search.contest import contest_step, quarantine
from consilience.search.member import Member
from consilience.search.noise import noise_floor
from consilience.search.state import SearchState


class ProposeBaseline(Struct, frozen=True):
    """Record the artifact as given as the first candidate."""


class ProposeNext(Struct, frozen=True):
    """Find a new candidate."""


class RunTrial(Struct, frozen=True, kw_only=True):
    """Reserve the budget, then run this candidate under this seed."""

    proposed: str
    number: int
    seed: int
    purpose: TrialPurpose
    reservation: Reservation


class Record(Struct, frozen=True, kw_only=True):
    """Write this down: a measurement, verdict or switch that follows from the state."""

    body: Any


class Stop(Struct, frozen=True, kw_only=True):
    """Nothing more may or can be done; `hint` says how to mend what stands in the way."""

    reason: EndReason
    message: str
    hint: str = ""


_FAULT_HINT = "`consilience show 0` has its log; mend the artifact or the evaluator"
_BOUND_HINT = "either the bound is wrong (objective.bound in problem.toml, --bound) or the evaluator is: mend that one"

Step = ProposeBaseline | ProposeNext | RunTrial | Record | Stop


def next_step(state: SearchState) -> Step:
    """Return what to do next."""
    if state.baseline is None:
        return ProposeBaseline()
    if (found := _implausible_step(state, state.baseline)) is not None:
        return found
    if state.noise is None:
        return _baseline_step(state, state.baseline)
    if state.challenger is not None and state.incumbent is not None:
        return _contest_step(state, state.challenger, state.incumbent)
    switch = state.governor.due()
    if switch is not None:
        return Record(body=switch)
    used_up = exhausted_reason(state.budget)
    return Stop(reason="budget", message=used_up) if used_up else ProposeNext()


def _implausible_step(state: SearchState, baseline: Member) -> Step | None:
    """Return what a score beyond the bound demands before all else: stop for the baseline, a verdict for others."""
    if implausible := state.implausibility(baseline):
        return Stop(reason="failed", message=f"the baseline is implausible: {implausible}", hint=_BOUND_HINT)
    unmasked = state.unmasked()
    if unmasked is None or state.incumbent is None:
        return None
    return Record(body=quarantine(unmasked, state.incumbent, state.implausibility(unmasked)))


def _baseline_step(state: SearchState, baseline: Member) -> Step:
    if state.baseline_fault:
        return Stop(reason="failed", message=f"the baseline failed: {state.baseline_fault}", hint=_FAULT_HINT)
    policy = state.study.policy
    runs = 1 if policy.deterministic else policy.baseline_seeds
    missing = [seed for seed in map(state.panel_seed, range(runs)) if seed not in baseline.scores]
    if missing:
        return _run(state, baseline, missing[0], "baseline")
    floor = noise_floor(tuple(baseline.scores.values()))
    deterministic = floor.deterministic if policy.deterministic is None else policy.deterministic
    body = NoiseMeasured(
        trials=tuple(baseline.evidence),
        mean=floor.mean,
        deviation=0.0 if deterministic else floor.deviation,
        degrees=floor.degrees,
        deterministic=deterministic,
    )
    return Record(body=body)


def _contest_step(state: SearchState, challenger: Member, incumbent: Member) -> Step:
    step = contest_step(state, challenger, incumbent)
    if isinstance(step, VerdictReached):
        return Record(body=step)
    purpose: TrialPurpose = "recheck" if step.recheck else "screen" if step.first else "confirm"
    return _run(state, state.members[step.proposed], step.seed, purpose)


def _run(state: SearchState, member: Member, seed: int, purpose: TrialPurpose) -> Step:
    reservation = reserve_trial(state.budget, state.problem.limits)
    if reservation is None:
        return Stop(reason="budget", message=exhausted_reason(state.budget))
    return RunTrial(proposed=member.event, number=state.trials, seed=seed, purpose=purpose, reservation=reservation)
