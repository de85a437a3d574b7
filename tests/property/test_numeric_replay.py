"""CMA-ES through the protocol: rebuilt from its rows it draws what it would have drawn; and it finds optima."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from consilience.core.ports import Tried
from consilience.core.problem import Parameter
from consilience.search.proposers.numeric import NumericProposer
from consilience.search.proposers.values import from_unit, move_parameter, to_unit
from consilience.testing.proposers import PARAMETERS, example_view


@settings(max_examples=15, deadline=None)
@given(scores=st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=1, max_size=40), cut=st.integers(0, 40))
def test_a_resumed_proposer_draws_what_an_undisturbed_one_draws(scores: list[float | None], cut: int) -> None:
    calm, rows = NumericProposer(), []
    for n, score in enumerate(scores):
        view = replace(example_view(), tried=list(rows))
        drawn = calm.propose(view, random.Random(0))
        if n == min(cut, len(scores) - 1):
            assert NumericProposer().propose(view, random.Random(1)) == drawn
        assert drawn is not None
        rows.append(Tried(space=drawn.space, coordinates=drawn.coordinates, score=score))


def test_it_finds_the_optimum_of_a_sphere() -> None:
    parameters = tuple(Parameter(name=f"x{n}", type="float", default=4.0, low=-5.0, high=5.0) for n in range(5))
    view = example_view(program=False)
    artifact = view.parent.artifact.__class__(parameters={p.name: p.default for p in parameters})
    start = replace(view.parent, artifact=artifact)
    surface = replace(view.problem.surface, parameters=parameters)
    view = replace(view, problem=replace(view.problem, surface=surface), origin=start, incumbent=start, parent=start)
    proposer, rows, best = NumericProposer(), [], float("-inf")
    for _ in range(600):
        drawn = proposer.propose(replace(view, tried=rows), random.Random(0))
        assert drawn is not None
        score = -sum((float(value) - 1.0) ** 2 for value in drawn.artifact.parameters.values())
        best = max(best, score)
        rows.append(Tried(space=drawn.space, coordinates=drawn.coordinates, score=score))
    assert best > -1e-3, "45 at the start"


@given(parameter=st.sampled_from(PARAMETERS), position=st.floats(-1.0, 2.0), seed=st.integers(0, 10**6))
def test_values_keep_type_and_bounds(parameter: Parameter, position: float, seed: int) -> None:
    value = from_unit(parameter, position)
    moved = move_parameter(parameter, value, 0.5, random.Random(seed))
    for candidate in (value, moved):
        assert type(candidate) is type(parameter.default)
        if parameter.low is not None and parameter.high is not None:
            assert parameter.low <= float(candidate) <= parameter.high
        assert 0.0 <= to_unit(parameter, candidate) <= 1.0
