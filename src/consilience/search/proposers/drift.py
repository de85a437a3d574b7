"""`constant-drift`: move one, sometimes two or three, constants or parameters by a step of their own scale.

Source of the step: a log-normal factor for what is not zero (scale-free: halving is as likely as doubling),
a normal step for zero; exploration takes steps three times as large.
"""

from __future__ import annotations

import random

from consilience.core.hypothesis import Hypothesis, Proposal
from consilience.core.ports import ProposalView
from consilience.search.proposers.constants import Constant, constants_of, with_values
from consilience.search.proposers.values import move_parameter, shown

_STEP = 0.15  # deviation of the logarithm of the factor while exploiting
_EXPLORING = 3.0
_ZERO_STEP = 0.3
_CHANCE_OF_MORE = 0.3


class DriftProposer:
    """Implements `core.ports.Proposer`."""

    operator = "constant-drift"

    def applies(self, view: ProposalView) -> bool:
        """Tell whether there is any number to move."""
        return bool(view.problem.surface.parameters) or bool(constants_of(view.parent.artifact))

    def propose(self, view: ProposalView, stream: random.Random) -> Proposal | None:
        """Move a few numbers of the parent."""
        constants = constants_of(view.parent.artifact)
        parameters = view.problem.surface.parameters
        places = len(constants) + len(parameters)
        if not places:
            return None
        step = _STEP * (_EXPLORING if view.phase == "explore" else 1.0)
        chosen = stream.sample(range(places), min(_how_many(stream), places))
        changes = {constants[n]: _moved(constants[n], step, stream) for n in chosen if n < len(constants)}
        artifact = with_values(view.parent.artifact, changes)
        words = [f"{c.name} {c.shown(c.value)} -> {c.shown(value)}" for c, value in changes.items()]
        for parameter in (parameters[n - len(constants)] for n in chosen if n >= len(constants)):
            old = artifact.parameters[parameter.name]
            new = move_parameter(parameter, old, step, stream)
            artifact = artifact.with_parameters({parameter.name: new})
            words.append(f"{parameter.name} {shown(old)} -> {shown(new)}")
        if artifact == view.parent.artifact:
            return None
        targets = [c.name for c in changes] + [
            parameters[n - len(constants)].name for n in chosen if n >= len(constants)
        ]
        hypothesis = Hypothesis(
            operator=self.operator,
            target=", ".join(targets),
            change="; ".join(words),
            reason="a number that was set once by hand is seldom at its best",
        )
        return Proposal(artifact=artifact, hypothesis=hypothesis, parents=(view.parent.candidate,))


def _how_many(stream: random.Random) -> int:
    count = 1
    while count < 3 and stream.random() < _CHANCE_OF_MORE:  # noqa: PLR2004  more at once cannot be told apart
        count += 1
    return count


def _moved(constant: Constant, step: float, stream: random.Random) -> float:
    value = constant.value
    moved = value * stream.lognormvariate(0.0, step) if value else stream.gauss(0.0, _ZERO_STEP)
    if constant.whole and round(moved) == round(value):
        moved = value + stream.choice((-1, 1))
    return moved
