"""Beliefs that decide: what a run draws from its evidence, and what the next run does differently for it.

Rules:
    1. A belief type exists only with the decision that reads it. `forked-trials-repeat` decides whether
       `execution = auto` forks candidates.
    2. Only the node's own beliefs decide; what others believe is shown, no more.

Data flow: `BeliefsView.pending` -> `new_belief` -> belief.held -> BeliefsView -> `choose_execution` -> executor.
"""

from __future__ import annotations

from msgspec import Struct

from consilience.core.bodies_identity import BeliefHeld, BeliefType
from consilience.core.problem import Problem, evaluator_digest
from consilience.core.study import ExecutionPolicy
from consilience.journal.views.beliefs import BeliefRow, BeliefsView

REPEATS: BeliefType = "forked-trials-repeat"

DOUBT_BELOW = 0.6
"""Forking is given up below this strength. By the prior, two winners that did not repeat reach it (0.57) where none
has repeated, four where two have (0.55). A fresh start costs only time, so no more proof than that is asked for."""


class ExecutionChoice(Struct, frozen=True, kw_only=True):
    """How this run starts candidates. `reason` says why it is not what the policy alone would choose, else ""."""

    execution: ExecutionPolicy
    reason: str = ""
    belief: BeliefRow | None = None


def new_belief(problem: Problem, beliefs: BeliefsView, author: str) -> BeliefHeld | None:
    """Return the belief to write down for the author's evidence that none names yet; None without any."""
    found = beliefs.pending(author)
    if not found.supports and not found.contradicts:
        return None
    subject = evaluator_digest(problem)
    return BeliefHeld(type=REPEATS, subject=subject, supports=found.supports, contradicts=found.contradicts)


def repeats_belief(problem: Problem, beliefs: BeliefsView, author: str) -> BeliefRow | None:
    """Return what the author believes of a problem's evaluator: that forked trials repeat in fresh processes."""
    return beliefs.find(author, REPEATS, evaluator_digest(problem))


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
