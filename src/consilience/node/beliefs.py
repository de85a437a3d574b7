"""Beliefs that decide: what a run draws from its evidence, and what the next run does differently for it.

Rules:
    1. A belief type exists only with the decision that reads it. `forked-trials-repeat` decides whether
       `execution = auto` forks candidates.
    2. One winner that was measured again is one piece of evidence: the verdict on it, which rests on every one of
       its rechecks, so that withdrawing any of them withdraws the evidence.
    3. Only the node's own beliefs decide; what others believe is shown, no more.

Data flow: verdicts and rechecks -> `new_evidence` -> belief.held -> `BeliefsView` -> `choose_execution` -> executor.
"""

from __future__ import annotations

from msgspec import Struct

from consilience.core.bodies_identity import BeliefHeld, BeliefType
from consilience.core.problem import evaluator_digest
from consilience.core.study import ExecutionPolicy
from consilience.journal.views.beliefs import BeliefRow, BeliefsView
from consilience.journal.views.trials import TrialsView
from consilience.search.state import SearchState

REPEATS: BeliefType = "forked-trials-repeat"

DOUBT_BELOW = 0.6
"""Forking is given up below this strength. By the prior, two winners that did not repeat reach it (0.57) where none
has repeated, four where two have (0.55). A fresh start costs only time, so no more proof than that is asked for."""

_ACCEPTED = ("promoted", "escalated")


class ExecutionChoice(Struct, frozen=True, kw_only=True):
    """How this run starts candidates. `reason` says why it is not what the policy alone would choose, else ""."""

    execution: ExecutionPolicy
    reason: str = ""
    belief: BeliefRow | None = None


def new_evidence(state: SearchState, trials: TrialsView, held: BeliefRow | None) -> BeliefHeld | None:
    """Return the belief to write down for evidence that no standing belief names yet; None without any.

    Args:
        state: the study's search state, which knows what a fresh process could not repeat.
        trials: its trials, rechecks among them.
        held: the belief as it stands.
    """
    known = {*held.supports, *held.contradicts} if held else set()
    rechecks = {row.finished_event for row in trials.rows.values() if row.purpose == "recheck" and row.finished_event}
    supports, contradicts = [], []
    for row in trials.verdicts.values():
        if row.event in known or not rechecks.intersection(row.body.trials):
            continue
        if state.members[row.body.candidate].recheck_fault:
            contradicts.append(row.event)
        elif row.body.verdict in _ACCEPTED:
            supports.append(row.event)
    if not supports and not contradicts:
        return None
    subject = evaluator_digest(state.problem)
    return BeliefHeld(type=REPEATS, subject=subject, supports=tuple(supports), contradicts=tuple(contradicts))


def repeats_belief(state: SearchState, beliefs: BeliefsView, author: str) -> BeliefRow | None:
    """Return what the author believes of this study's evaluator: that forked trials repeat in fresh processes."""
    return beliefs.find(author, REPEATS, evaluator_digest(state.problem))


def choose_execution(execution: ExecutionPolicy, belief: BeliefRow | None) -> ExecutionChoice:
    """Return how to start candidates: as the policy says; fresh where it leaves the choice and the belief is weak."""
    if execution != "auto" or belief is None or belief.strength >= DOUBT_BELOW:
        return ExecutionChoice(execution=execution, belief=belief)
    against, total = len(belief.contradicts), len(belief.contradicts) + len(belief.supports)
    reason = (
        f"trials run fresh: {against} of {total} winners did not repeat in a fresh process; belief {REPEATS} is "
        f"{belief.strength:.2f}, below {DOUBT_BELOW:g}"
    )
    return ExecutionChoice(execution="fresh", reason=reason, belief=belief)
