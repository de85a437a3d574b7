"""`cma-es`: covariance matrix adaptation over typed parameters and lifted constants.

A space opens around a candidate that some other operator brought to the top, and stays while the space's own
points are promoted (`ProposalView.origin`). It is named by the artifact at its centre and the parameters' bounds,
so what was learned around one centre, or before bounds were widened, is never mistaken for another's.

Rules:
    1. State is rebuilt from `view.tried`, in order; the cache only saves the rebuilding. The generator is
       reseeded before each draw from space, place and stream, so a resumed run draws what an uninterrupted
       one would have drawn, and a draw that was refused as a repeat is not drawn for ever.
    2. Parameters move in [0, 1] by `values`; constants as factors 4^u, u in [-1, 1], or by u where they are 0.
    3. A failed trial ranks behind the worst of its generation. That orders the draw, it is no score: CMA-ES
       uses ranks only, and nothing else sees it.

Source: Hansen and Ostermeier (2001), Evolutionary Computation 9(2):159, as implemented by `cmaes`.
Whole numbers, choices and booleans are rounded from the relaxed point.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec import Struct

from consilience.core.artifact import Artifact, artifact_id
from consilience.core.canonical import hash_value
from consilience.core.chance import derive_seed
from consilience.core.hypothesis import Hypothesis, Proposal
from consilience.core.ports import ProposalView, Tried
from consilience.core.problem import Parameter, ParameterValue
from consilience.search.proposers.constants import Constant, settings_of, with_values, written
from consilience.search.proposers.values import from_unit, shown, to_unit

MOST_DIMENSIONS = 60  # beyond, a covariance matrix learns nothing within usual budgets
_REACH = 4.0  # a constant is searched between a quarter and four times its value
_FIRST_STEP = 0.15
_MOST_POPULATION = 12
_SHOWN = 3
_DRAWS = 8  # near the centre of a few choices most draws round to the centre itself


class NumericProposer:
    """Implements `core.ports.Proposer`."""

    operator = "cma-es"

    def __init__(self) -> None:
        self._learned: _Learned | None = None

    def applies(self, view: ProposalView) -> bool:
        """Tell whether there are numbers, and not too many."""
        size = len(view.problem.surface.parameters) + len(settings_of(view.origin.artifact))
        return 0 < size <= MOST_DIMENSIONS

    def propose(self, view: ProposalView, stream: random.Random) -> Proposal | None:
        """Draw the next point of the space around the origin; None when all that is drawn is the origin."""
        if not self.applies(view):
            return None
        space = Space(view.problem.surface.parameters, view.origin.artifact)
        rows = [row for row in view.tried if row.space == space.name]
        optimiser = self._optimiser(space, rows, view)
        for _ in range(_DRAWS):
            optimiser.reseed_rng(derive_seed(view.seed, space.name, len(rows), stream.getrandbits(31)))
            point = optimiser.ask()
            values, changes = space.at(point)
            artifact = space.moved(values, changes)
            if artifact != view.origin.artifact:
                return _proposal(view, space, (artifact, space.describe(values, changes)), (point, len(rows)))
        return None

    def _optimiser(self, space: Space, rows: list[Tried], view: ProposalView) -> Any:
        """Return an optimiser that was told the whole generations of these rows."""
        key = (space.name, view.seed, view.problem.objective.direction)
        learned = self._learned
        if learned is None or learned.key != key or rows[: len(learned.rows)] != learned.rows:
            learned = _Learned(key=key, rows=[], optimiser=space.optimiser(view.seed))
        size = learned.optimiser.population_size
        whole = len(rows) - len(rows) % size
        for first in range(len(learned.rows), whole, size):
            _tell(learned.optimiser, rows[first : first + size], view)
        self._learned = _Learned(key=key, rows=rows[:whole], optimiser=learned.optimiser)
        return learned.optimiser


class _Learned(Struct, frozen=True, kw_only=True):
    """An optimiser with what it was told; it serves only histories that begin with the same rows."""

    key: tuple[str, int, str]
    rows: list[Tried]
    optimiser: Any


def _proposal(view: ProposalView, space: Space, made: tuple[Artifact, str], drawn: tuple[np.ndarray, int]) -> Proposal:
    (artifact, change), (point, number) = made, drawn
    hypothesis = Hypothesis(
        operator=NumericProposer.operator,
        target=f"{space.size} numbers",
        change=change,
        reason=f"point {number + 1} of the distribution learned around {view.origin.candidate[:10]}",
    )
    return Proposal(
        artifact=artifact,
        hypothesis=hypothesis,
        parents=(view.origin.candidate,),
        space=space.name,
        coordinates=tuple(float(x) for x in point),
    )


def _tell(optimiser: Any, rows: Sequence[Tried], view: ProposalView) -> None:
    costs = [None if row.score is None else -view.problem.objective.gain(row.score, 0.0) for row in rows]
    known = [cost for cost in costs if cost is not None]
    worst = max(known, default=0.0)
    behind = worst + abs(worst) + 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a flat generation divides by nothing; the next one recovers
        optimiser.tell(
            [
                (np.array(row.coordinates), behind if cost is None else cost)
                for row, cost in zip(rows, costs, strict=True)
            ]
        )


class Space:
    """The coordinates around one origin: its parameters, then its constants."""

    def __init__(self, parameters: tuple[Parameter, ...], artifact: Artifact) -> None:
        self._parameters = parameters
        self._artifact = artifact
        self._constants = settings_of(artifact)
        self.size = len(parameters) + len(self._constants)
        self.name = hash_value({"centre": artifact_id(artifact), "parameters": parameters})

    def optimiser(self, seed: int) -> Any:
        """Return a fresh optimiser centred on the origin."""
        import cmaes  # noqa: PLC0415  it imports SciPy where there is one: most of a second that few commands need

        centre = [min(max(to_unit(p, self._artifact.parameters[p.name]), 0.0), 1.0) for p in self._parameters]
        bounds = [(0.0, 1.0)] * len(self._parameters) + [(-1.0, 1.0)] * len(self._constants)
        centre += [0.0] * len(self._constants)
        if self.size == 1:  # the library needs two dimensions: the second is drawn and ignored
            centre, bounds = [*centre, 0.0], [*bounds, (-1.0, 1.0)]
        population = min(4 + int(3 * np.log(len(centre))), _MOST_POPULATION)
        return cmaes.CMA(
            mean=np.array(centre),
            sigma=_FIRST_STEP,
            bounds=np.array(bounds),
            seed=derive_seed(seed, self.name),
            population_size=population,
        )

    def at(self, point: np.ndarray) -> tuple[dict[str, ParameterValue], dict[Constant, float]]:
        """Return the parameters' values, and the constants that are written otherwise, at a point."""
        split = len(self._parameters)
        values = {p.name: from_unit(p, float(x)) for p, x in zip(self._parameters, point[:split], strict=True)}
        numbers = zip(self._constants, point[split : self.size], strict=True)
        scaled = {constant: _scaled(constant, float(x)) for constant, x in numbers}
        return values, {c: new for c, new in scaled.items() if written(c, new) != written(c, c.value)}

    def moved(self, values: dict[str, ParameterValue], changes: dict[Constant, float]) -> Artifact:
        """Return the artifact with these values."""
        return with_values(self._artifact.with_parameters(values), changes)

    def describe(self, values: dict[str, ParameterValue], changes: dict[Constant, float]) -> str:
        """Say what moved in one line: parameters first, then the constants that moved furthest."""
        old = self._artifact.parameters
        words = [f"{name} {shown(old[name])} -> {shown(new)}" for name, new in values.items() if new != old[name]]
        far = sorted(changes.items(), key=lambda item: -abs(item[1] - item[0].value) / (abs(item[0].value) or 1.0))
        words += [f"{constant.name} {constant.shown(constant.value)} -> {constant.shown(new)}" for constant, new in far]
        more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
        return "; ".join(words[:_SHOWN]) + more


def _scaled(constant: Constant, coordinate: float) -> float:
    return constant.value * _REACH**coordinate if constant.value else coordinate
