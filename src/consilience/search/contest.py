"""Contests: a challenger against the incumbent, on paired seeds, until a verdict is due.

Rules:
    1. Failure first, then constraints, then the gain beyond the noise floor.
    2. Both sides are run on the same panel of seeds, in the same order.
    3. Each verdict says why, in words and figures.

Data flow: SearchState -> `contest_step` -> the next seed to run, or VerdictReached.
"""

from __future__ import annotations

from msgspec import Struct

from consilience.core.bodies import VerdictName, VerdictReached
from consilience.core.study import Autonomy
from consilience.search.state import Member, SearchState
from consilience.search.statistics import Evidence, Judgement, PromotionRule, contest_level, judge


class SeedWanted(Struct, frozen=True, kw_only=True):
    """One more run that the contest needs: this candidate under this seed."""

    proposed: str
    seed: int
    first: bool


def contest_step(state: SearchState, challenger: Member, incumbent: Member) -> SeedWanted | VerdictReached:
    """Return the next run that the open contest needs, or its verdict."""
    if challenger.failure:
        return _verdict(challenger, incumbent, "discarded", (f"it failed: {challenger.failure}",))
    if challenger.violation:
        return _verdict(challenger, incumbent, "discarded", (f"constraint: {challenger.violation}",))
    evidence = _evidence(state, challenger, incumbent)
    judgement = judge(evidence, _rule(state))
    if judgement.decision == "promote" and _unproved(state, evidence, challenger):
        return _next_seed(state, challenger, incumbent, len(challenger.scores) + 1)
    if judgement.decision == "continue":
        return _next_seed(state, challenger, incumbent, judgement.wanted_pairs)
    if incumbent.violation and challenger.scores:
        reasons = (f"it holds all constraints; the incumbent does not: {incumbent.violation}",)
        return _verdict(challenger, incumbent, _accepted(state.study.autonomy), reasons, judgement)
    name = _accepted(state.study.autonomy) if judgement.decision == "promote" else "discarded"
    return _verdict(challenger, incumbent, name, (judgement.reason,), judgement)


def _accepted(autonomy: Autonomy) -> VerdictName:
    """Return what a real gain leads to: under `suggest` a person decides."""
    return "escalated" if autonomy == "suggest" else "promoted"


def _evidence(state: SearchState, challenger: Member, incumbent: Member) -> Evidence:
    objective = state.problem.objective
    common = [seed for seed in challenger.scores if seed in incumbent.scores]
    noise = state.noise
    return Evidence(
        gains=tuple(objective.gain(challenger.scores[seed], incumbent.scores[seed]) for seed in common),
        noise_deviation=noise.deviation if noise else 0.0,
        noise_degrees=noise.degrees if noise else 0,
        deterministic=noise is not None and noise.deterministic and len(set(challenger.scores.values())) == 1,
    )


def _unproved(state: SearchState, evidence: Evidence, challenger: Member) -> bool:
    """Tell whether a challenger is taken for deterministic only because the baseline was.

    A second seed tells: a baseline that uses no chance says nothing of a candidate that does.
    """
    declared = state.study.policy.deterministic is not None
    return evidence.deterministic and not declared and len(challenger.scores) == 1


def _rule(state: SearchState) -> PromotionRule:
    policy = state.study.policy
    return PromotionRule(
        level=contest_level(policy.false_promotion_rate, state.contests),
        maximum_pairs=policy.maximum_pairs,
        minimum_gain=policy.minimum_gain,
    )


def _next_seed(state: SearchState, challenger: Member, incumbent: Member, pairs: int) -> SeedWanted:
    """Return the first run still missing among the first `pairs` places of the panel."""
    for index in range(pairs):
        seed = state.panel_seed(index)
        for member in (challenger, incumbent):
            if seed not in member.scores:
                return SeedWanted(proposed=member.event, seed=seed, first=not member.evidence)
    raise AssertionError(f"{pairs} pairs were wanted, and all of them are there")


def _verdict(
    challenger: Member,
    incumbent: Member,
    name: VerdictName,
    reasons: tuple[str, ...],
    judgement: Judgement | None = None,
) -> VerdictReached:
    figures: dict[str, float] = {}
    if judgement is not None:
        figures = {
            "gain": judgement.gain,
            "lower_bound": judgement.lower_bound,
            "floor": judgement.floor,
            "pairs": float(judgement.wanted_pairs),
            "mean": challenger.mean,
            "incumbent_mean": incumbent.mean,
        }
    return VerdictReached(
        candidate=challenger.event,
        incumbent=incumbent.event,
        verdict=name,
        reasons=reasons,
        figures=figures,
        trials=tuple(challenger.evidence) + (tuple(incumbent.evidence) if judgement else ()),
    )
