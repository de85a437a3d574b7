"""The governor: exploitation stays locked while exploration is new; stagnation unlocks exploration."""

import random

from consilience.core.bodies import PhaseSwitched
from consilience.search.credit import REWARD_FAILED, REWARD_PROMOTED, CreditBook
from consilience.search.governor import Governor, GovernorRule

RULE = GovernorRule(exit_novelty=0.1, minimum_dwell=5, maximum_dwell=100, patience=7)


def explore(governor: Governor, novelty: float, steps: int) -> PhaseSwitched | None:
    for _ in range(steps):
        governor.propose(novelty)
        governor.settle(promoted=False)
    return governor.due()


def test_exploitation_is_locked_while_steps_are_new() -> None:
    governor = Governor(RULE)
    assert explore(governor, 0.5, 60) is None
    due = explore(governor, 0.0, 30)
    assert due is not None
    assert due.phase == "exploit"
    assert due.figures["novelty_average"] < RULE.exit_novelty


def test_no_switch_before_the_minimum_dwell() -> None:
    governor = Governor(GovernorRule(smoothing=1.0, exit_novelty=0.5, minimum_dwell=5))
    assert explore(governor, 0.0, 4) is None
    assert explore(governor, 0.0, 1) is not None


def test_a_space_that_never_runs_dry_yields_in_the_end() -> None:
    governor = Governor(RULE)
    due = explore(governor, 1.0, RULE.maximum_dwell)
    assert due is not None
    assert "longest dwell" in due.reason


def test_stagnation_unlocks_exploration() -> None:
    governor = Governor(RULE)
    governor.switch(PhaseSwitched(phase="exploit", figures={}, reason=""))
    assert explore(governor, 0.0, RULE.patience - 1) is None
    governor.settle(promoted=True)
    assert explore(governor, 0.0, RULE.patience - 1) is None
    due = explore(governor, 0.0, 1)
    assert due is not None
    assert due.phase == "explore"


def test_credit_prefers_what_pays_and_is_a_function_of_the_stream() -> None:
    book = CreditBook()
    for _ in range(40):
        book.settle("good", REWARD_PROMOTED)
        book.settle("bad", REWARD_FAILED)
    chosen = [book.choose(("good", "bad"), "exploit", random.Random(seed)) for seed in range(50)]
    assert chosen.count("good") > 45
    assert chosen == [book.choose(("good", "bad"), "exploit", random.Random(seed)) for seed in range(50)]
