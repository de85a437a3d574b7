"""Hypotheses and proposals: a change, why it should help, its family, and the score it predicts.

Data flow: proposers -> Proposal -> novelty gate -> journal -> trial -> operator credit.
"""

from __future__ import annotations

from msgspec import Struct

from consilience.core.artifact import Artifact


class Prediction(Struct, frozen=True, kw_only=True):
    """The score that a hypothesis predicts, with its uncertainty (one standard deviation)."""

    score: float
    deviation: float


class Hypothesis(Struct, frozen=True, kw_only=True):
    """A change and why it should help. Its family is (operator, target).

    `change` and `reason` are one line each, made from facts; text from a model is untrusted.
    """

    operator: str
    target: str
    change: str
    reason: str
    predicted: Prediction | None = None


class Proposal(Struct, frozen=True, kw_only=True):
    """A proposer's offer.

    `parents` are artifact ids. `space` names the coordinate system and `coordinates` the point in it, for
    proposers that learn from numbers; both are empty otherwise.
    """

    artifact: Artifact
    hypothesis: Hypothesis
    parents: tuple[str, ...] = ()
    space: str = ""
    coordinates: tuple[float, ...] = ()
