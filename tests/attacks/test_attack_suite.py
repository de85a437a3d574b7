"""Every attack of the catalogue against the split evaluator: it gains, reaches, leaves and changes nothing."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator

import pytest

from consilience.core.outcome import Execution
from consilience.interfaces.text import printable
from consilience.node.attack_parts import part_findings
from consilience.trials.attacks.catalogue import CATALOGUE
from consilience.trials.attacks.model import HONEST_SCORE, Attack, Verdict
from consilience.trials.attacks.suite import Suite, open_suite
from consilience.trials.sandbox.probe import strongest_sandbox

Judged = Callable[[Attack, Execution], Verdict]

# In an evaluator that imports the candidate these gain nothing either: its sandbox, or what it does after the
# candidate, stops them. All others score above the honest control there.
HELD_IN_PROCESS = {
    *(21, 22, 24, 29, 31, 33, 34, 35, 37, 38, 41, 42, 44, 45, 46, 51, 52, 53, 54, 55, 56, 58, 59, 60, 61, 62, 63),
    *(64, 65, 66, 67, 68, 69, 71, 72, 73),
    *(76, 77, 78, 79, 80),
}


@pytest.fixture(scope="module")
def suite() -> Iterator[Suite]:
    sandbox = strongest_sandbox(sys.executable)
    if sandbox.level == "none":
        pytest.skip("this machine has no sandbox to attack")
    with open_suite(sandbox) as made:
        yield made


@pytest.fixture(scope="module")
def judged(suite: Suite) -> Judged:
    return functools.cache(suite.against_split)


EVERY = [
    pytest.param(attack, execution, id=f"{attack.number}-{attack.name}-{execution}")
    for attack in CATALOGUE
    for execution in ("fresh", "fork")
    if execution == "fresh" or attack.target != "program"  # whole programs are always started fresh
]
every_attack = pytest.mark.parametrize(("attack", "execution"), EVERY)


@every_attack
def test_no_attack_scores_above_the_honest_baseline(judged: Judged, attack: Attack, execution: Execution) -> None:
    verdict = judged(attack, execution)
    assert [finding for finding in verdict.findings if finding.bar == "score"] == []
    assert verdict.score is None or verdict.score <= HONEST_SCORE
    assert verdict.failure or verdict.score is not None
    assert verdict.execution == execution


@every_attack
def test_no_attack_touches_a_canary_outside(judged: Judged, attack: Attack, execution: Execution) -> None:
    assert [finding for finding in judged(attack, execution).findings if finding.bar == "outside"] == []


@every_attack
def test_no_attack_leaves_a_process_or_a_file(judged: Judged, attack: Attack, execution: Execution) -> None:
    assert [finding for finding in judged(attack, execution).findings if finding.bar == "left"] == []


@every_attack
def test_the_next_honest_trial_scores_what_it_should(judged: Judged, attack: Attack, execution: Execution) -> None:
    assert [finding for finding in judged(attack, execution).findings if finding.bar == "control"] == []


@pytest.mark.parametrize("attack", CATALOGUE, ids=lambda attack: f"{attack.number}-{attack.name}")
def test_in_process_the_same_attacks_are_told_from_each_other(suite: Suite, attack: Attack) -> None:
    """The contrast, and the proof that the judge sees an attack succeed: else this suite could not fail."""
    verdict = suite.against_in_process(attack)
    assert verdict.held == (attack.number in HELD_IN_PROCESS), verdict
    if not verdict.held:
        assert {finding.bar for finding in verdict.findings} == {"score"}, verdict
        assert verdict.score is not None
        assert verdict.score > HONEST_SCORE


@pytest.mark.parametrize("attack", [attack for attack in CATALOGUE if attack.part], ids=lambda attack: attack.name)
def test_other_parts_answer_their_attacks(attack: Attack) -> None:
    assert part_findings(attack, printable) == ()


def test_the_catalogue_has_every_number_of_the_list_and_more_than_ten_of_our_own() -> None:
    numbers = [attack.number for attack in CATALOGUE]
    assert len(set(numbers)) == len(numbers)
    assert set(range(1, 39)) <= set(numbers)
    assert sum(number > 40 for number in numbers) >= 10
