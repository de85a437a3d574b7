"""Contests: a challenger against the incumbent, on paired seeds, until a verdict is due.

Rules:
    1. Failure first, then constraints, then plausibility, then the gain beyond the noise floor. The first score
       beyond the bound ends the contest.
    2. Both sides are run on the same panel of seeds, in the same order; a seed on which the incumbent
       failed is left out, and is not run again.
    3. What was measured in a forked process is measured again in a fresh one before it is accepted.
    4. Each verdict says why, in words and figures. One that compares rests on the trials of both sides, so that it
       falls with the incumbent's; one that needs no comparison rests on the challenger's alone.

Data flow: SearchState -> `contest_step` -> the next seed to run, or VerdictReached.
"""

from __future__ import annotations

import math
from functools import lru_cache

from msgspec import Struct
from msgspec.structs import replace

from consilience.core.bodies import VerdictName, VerdictReached
from consilience.core.chance import panel_seed
from consilience.core.study import Autonomy
from consilience.search.member import Member
from consilience.search.recheck import recheck_seeds
from consilience.search.state import SearchState
from consilience.search.statistics import Evidence, Judgement, PromotionRule, contest_level, judge

# Repeats that must agree before a study may believe that its evaluator is deterministic. If one artifact's
# score keeps one value with chance p, d repeats that agreed before and k of a challenger mislead with chance
# p^(d + 1) (1 - p)^k or less: 0.5 % at most with d = 4 and k = 3, where k = 1 gives 6.7 %.
AGREEMENT = 10


class SeedWanted(Struct, frozen=True, kw_only=True):
    """One more run that the contest needs: this candidate under this seed."""

    proposed: str
    seed: int
    first: bool
    recheck: bool = False


def contest_step(state: SearchState, challenger: Member, incumbent: Member) -> SeedWanted | VerdictReached:
    """Return the next run that the open contest needs, or its verdict."""
    if (disqualified := _disqualified(state, challenger, incumbent)) is not None:
        return disqualified
    seeds = _usable_seeds(state, incumbent)
    if not seeds:
        verdict = _verdict(challenger, incumbent, "discarded", ("the incumbent fails on every seed to compare on",))
        return replace(verdict, trials=(*verdict.trials, *incumbent.evidence))
    evidence = _evidence(state, challenger, incumbent, seeds)
    judgement = judge(evidence, _rule(state, len(seeds)))
    unproved = judgement.decision == "promote" and _is_unproved(state, evidence, challenger, len(seeds))
    if judgement.decision == "continue" or unproved:
        wanted = len(challenger.scores) + 1 if unproved else judgement.wanted_pairs
        return _next_seed(challenger, incumbent, seeds[:wanted])
    relieved = bool(incumbent.violation and challenger.scores)
    if relieved or judgement.decision == "promote":
        return _accept(state, challenger, incumbent, judgement, relieved=relieved)
    return _verdict(challenger, incumbent, "discarded", (judgement.reason,), judgement)


def _accept(
    state: SearchState, challenger: Member, incumbent: Member, judgement: Judgement, *, relieved: bool
) -> SeedWanted | VerdictReached:
    """Accept a winner, after fresh processes have repeated what forked ones measured."""
    unrepeated = _unrepeated(state, challenger, incumbent)
    if unrepeated and not challenger.recheck_fault:
        return SeedWanted(proposed=challenger.event, seed=unrepeated[0], first=False, recheck=True)
    if challenger.recheck_fault:
        return _verdict(challenger, incumbent, "discarded", (challenger.recheck_fault,), judgement)
    reason = judgement.reason
    if relieved:
        reason = f"it holds all constraints; the incumbent does not: {incumbent.violation}"
    return _verdict(challenger, incumbent, _accepted(state.study.autonomy), (reason,), judgement)


def _unrepeated(state: SearchState, challenger: Member, incumbent: Member) -> list[int]:
    """Return the seeds on which a forked challenger has still to be measured again."""
    if not challenger.forked:
        return []
    exact = state.noise is not None and state.noise.deterministic and len(set(challenger.scores.values())) == 1
    wanted = recheck_seeds(_gains(state, challenger, incumbent), noisy=not exact)
    return [seed for seed in wanted if seed not in challenger.fresh]


def _gains(state: SearchState, challenger: Member, incumbent: Member) -> dict[int, float]:
    """Return the challenger's gain by seed; its own score, where there is no seed to compare on."""
    objective, theirs = state.problem.objective, incumbent.scores
    common = {seed: objective.gain(score, theirs[seed]) for seed, score in challenger.scores.items() if seed in theirs}
    return common or {seed: objective.gain(score, 0.0) for seed, score in challenger.scores.items()}


def _disqualified(state: SearchState, challenger: Member, incumbent: Member) -> VerdictReached | None:
    """Return the verdict that needs no comparison, if there is one."""
    if challenger.failure:
        return _verdict(challenger, incumbent, "discarded", (f"it failed: {challenger.failure}",))
    if challenger.violation:
        return _verdict(challenger, incumbent, "discarded", (f"constraint: {challenger.violation}",))
    implausible = state.implausibility(challenger)
    return quarantine(challenger, incumbent, implausible) if implausible else None


def quarantine(member: Member, incumbent: Member, reason: str) -> VerdictReached:
    """Return the verdict on a candidate whose score cannot be true."""
    return _verdict(member, incumbent, "implausible", (reason,))


def _accepted(autonomy: Autonomy) -> VerdictName:
    """Return what a real gain leads to: under `suggest` a person decides."""
    return "escalated" if autonomy == "suggest" else "promoted"


def _usable_seeds(state: SearchState, incumbent: Member) -> tuple[int, ...]:
    """Return the panel's seeds in order, without those on which the incumbent failed."""
    panel = _panel(state.study.seed, max(state.study.policy.maximum_pairs, 2))
    if not incumbent.failure:
        return panel
    mine = (item for item in state.started.items() if item[1].proposed == incumbent.event)
    ended = (started for event, started in mine if event not in state.in_flight and event not in state.undone)
    failed = {started.seed for started in ended} - incumbent.scores.keys()
    return tuple(seed for seed in panel if seed not in failed)


@lru_cache(maxsize=64)
def _panel(study_seed: int, length: int) -> tuple[int, ...]:
    """Return the first seeds of the panel, each once."""
    return tuple(dict.fromkeys(panel_seed(study_seed, index) for index in range(length)))


def _evidence(state: SearchState, challenger: Member, incumbent: Member, seeds: tuple[int, ...]) -> Evidence:
    objective = state.problem.objective
    common = [seed for seed in seeds if seed in challenger.scores and seed in incumbent.scores]
    noise = state.noise
    return Evidence(
        gains=tuple(objective.gain(challenger.scores[seed], incumbent.scores[seed]) for seed in common),
        noise_deviation=noise.deviation if noise else 0.0,
        noise_degrees=noise.degrees if noise else 0,
        deterministic=noise is not None and noise.deterministic and len(set(challenger.scores.values())) == 1,
    )


def _is_unproved(state: SearchState, evidence: Evidence, challenger: Member, most: int) -> bool:
    """Tell whether a challenger is taken for deterministic on too few repeats that agree.

    A second seed is always run: a baseline that uses no chance says nothing of a candidate that does. More
    are, while the study has seen few repeats: coarse scores (counts, accuracies) often agree by chance.
    """
    declared = state.study.policy.deterministic is not None
    if declared or not evidence.deterministic:
        return False
    repeats = max(1, math.ceil((AGREEMENT - evidence.noise_degrees) / 2))
    return len(challenger.scores) < min(repeats + 1, most)


def _rule(state: SearchState, most: int) -> PromotionRule:
    policy = state.study.policy
    return PromotionRule(
        level=contest_level(policy.false_promotion_rate, state.contests),
        maximum_pairs=min(policy.maximum_pairs, most),
        minimum_gain=policy.minimum_gain,
    )


def _next_seed(challenger: Member, incumbent: Member, seeds: tuple[int, ...]) -> SeedWanted:
    """Return the first run still missing on these seeds."""
    for seed in seeds:
        for member in (challenger, incumbent):
            if seed not in member.scores:
                return SeedWanted(proposed=member.event, seed=seed, first=not member.evidence)
    raise AssertionError(f"{len(seeds)} pairs were wanted, and all of them are there")


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
