"""Operator credit: which operators have paid, and which to try next.

Rules:
    1. Credit comes from own trials only; foreign records never move it.
    2. Choice is by Thompson sampling on a derived stream: the same events give the same choice.
    3. Old evidence fades, because what helped a poor incumbent need not help a good one.

Source: Thompson (1933), Biometrika 25:285, with discounting as in Raj and Kalyani (2017), arXiv 1707.09727.

Data flow: candidate.proposed, verdict.reached -> CreditBook -> choice of operator and predicted score.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from msgspec import Struct

from consilience.core.bodies import VerdictReached
from consilience.core.ports import Phase

FADING = 0.98  # weight that a credit keeps at each new one of the same operator: about the last 50 count
PRIOR_SUCCESS = 1.0
PRIOR_FAILURE = 2.0  # mild pessimism, so that an operator has to earn its place

REWARD_PROMOTED = 1.0
REWARD_NEAR = 0.3  # a gain that was too small, or not beyond the noise
REWARD_RAN = 0.05  # ran, and showed that the change does not help
REWARD_IDLE = 0.01  # changed nothing at all: a waste of a trial
REWARD_FAILED = 0.0


def reward_of(verdict: VerdictReached, *, failed: bool) -> float:
    """Return what a verdict earns the operator; `failed` tells of a candidate that failed or broke a constraint."""
    if verdict.verdict == "promoted":
        return REWARD_PROMOTED
    if failed or verdict.verdict == "implausible":
        return REWARD_FAILED
    gain = verdict.figures.get("gain", 0.0)
    if gain == 0.0:
        return REWARD_IDLE
    return REWARD_NEAR if gain > 0.0 else REWARD_RAN


class Credit(Struct):
    """What one operator has earned. `gains` holds count, mean and sum of squares of its gains (Welford)."""

    reward: float = 0.0
    trials: float = 0.0
    novelty: float = 0.0
    proposed: int = 0
    promoted: int = 0
    failed: int = 0
    gain_count: int = 0
    gain_mean: float = 0.0
    gain_squares: float = 0.0

    def add_gain(self, gain: float) -> None:
        """Take in the gain of one more candidate."""
        self.gain_count += 1
        difference = gain - self.gain_mean
        self.gain_mean += difference / self.gain_count
        self.gain_squares += difference * (gain - self.gain_mean)

    @property
    def gain_deviation(self) -> float:
        """Spread of the operator's gains; 0 before there are two."""
        return math.sqrt(self.gain_squares / (self.gain_count - 1)) if self.gain_count > 1 else 0.0


class CreditBook:
    """Fold of what each operator's candidates came to."""

    def __init__(self) -> None:
        self.operators: dict[str, Credit] = {}

    def of(self, operator: str) -> Credit:
        """Return an operator's credit, empty when it is new; looking changes nothing."""
        return self.operators.get(operator) or Credit()

    def earning(self, operator: str) -> Credit:
        """Return an operator's credit to be added to."""
        return self.operators.setdefault(operator, Credit())

    def propose(self, operator: str, novelty: float) -> None:
        """Count a proposal and its novelty."""
        credit = self.earning(operator)
        credit.proposed += 1
        credit.novelty += (novelty - credit.novelty) / credit.proposed

    def settle(self, operator: str, reward: float) -> None:
        """Take in the reward of one judged candidate."""
        credit = self.earning(operator)
        credit.reward = credit.reward * FADING + reward
        credit.trials = credit.trials * FADING + 1.0
        credit.promoted += reward == REWARD_PROMOTED
        credit.failed += reward == REWARD_FAILED

    def choose(self, operators: Sequence[str], phase: Phase, stream: random.Random) -> str:
        """Return the operator to try next; in exploration, novelty counts beside reward."""

        def appeal(operator: str) -> float:
            credit = self.of(operator)
            drawn = stream.betavariate(
                PRIOR_SUCCESS + credit.reward, PRIOR_FAILURE + max(credit.trials - credit.reward, 0.0)
            )
            return drawn + credit.novelty * stream.random() if phase == "explore" else drawn

        return max(operators, key=appeal)
