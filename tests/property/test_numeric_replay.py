"""CMA-ES through the protocol: rebuilt from its rows it draws what it would have drawn; and it finds optima."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from consilience.core.artifact import Artifact, artifact_id
from consilience.core.hypothesis import Proposal
from consilience.core.ports import ProposalView, Scored, Tried
from consilience.core.problem import Objective, Parameter
from consilience.search.proposers.numeric import NumericProposer
from consilience.search.proposers.values import from_unit, move_parameter, to_unit
from consilience.testing.proposers import PARAMETERS, example_view


@settings(max_examples=15, deadline=None)
@given(scores=st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=1, max_size=40), cut=st.integers(0, 40))
def test_a_resumed_proposer_draws_what_an_undisturbed_one_draws(scores: list[float | None], cut: int) -> None:
    calm, rows = NumericProposer(), []
    for n, score in enumerate(scores):
        view = replace(example_view(), tried=list(rows))
        drawn = calm.propose(view, random.Random(n))
        if n == min(cut, len(scores) - 1):
            assert NumericProposer().propose(view, random.Random(n)) == drawn
        assert drawn is not None
        rows.append(Tried(space=drawn.space, coordinates=drawn.coordinates, score=score))


def view_on(*parameters: Parameter) -> ProposalView:
    view = example_view(program=False)
    artifact = Artifact(parameters={p.name: p.default for p in parameters})
    start = Scored(candidate=artifact_id(artifact), artifact=artifact, score=0.0)
    surface = replace(view.problem.surface, parameters=parameters)
    return replace(view, problem=replace(view.problem, surface=surface), origin=start, incumbent=start, parent=start)


def row(drawn: Proposal | None, score: float) -> Tried:
    assert drawn is not None
    return Tried(space=drawn.space, coordinates=drawn.coordinates, score=score)


@pytest.mark.parametrize(
    "parameters",
    [
        (Parameter(name="n", type="integer", default=4, low=1, high=9),),
        (PARAMETERS[2], PARAMETERS[3]),
        (Parameter(name="n", type="integer", default=50, low=1, high=100), PARAMETERS[3]),
    ],
)
def test_among_few_choices_it_neither_offers_the_origin_nor_repeats_a_refused_draw_for_ever(
    parameters: tuple[Parameter, ...],
) -> None:
    view, proposer = view_on(*parameters), NumericProposer()
    draws = [proposer.propose(view, random.Random(seed)) for seed in range(40)]
    offered = [drawn.artifact.parameters for drawn in draws if drawn is not None]
    assert view.origin.artifact.parameters not in offered
    assert len({tuple(values.items()) for values in offered}) > 1


def test_what_it_learned_in_one_study_does_not_colour_another() -> None:
    used, fresh = NumericProposer(), NumericProposer()
    view, rows, others = example_view(), [], []
    for n in range(14):
        rows.append(row(used.propose(replace(view, tried=list(rows)), random.Random(n)), float(n)))
        others.append(replace(rows[-1], score=-float(n)))
    other = replace(view, tried=others)
    assert used.propose(other, random.Random(0)) == fresh.propose(other, random.Random(0))
    down = replace(view, problem=replace(view.problem, objective=Objective(metric="score", direction="minimize")))
    down = replace(down, tried=rows)
    assert used.propose(down, random.Random(0)) == NumericProposer().propose(down, random.Random(0))


def test_other_bounds_make_another_space() -> None:
    narrow = Parameter(name="x", type="float", default=0.5, low=0.0, high=1.0)
    drawn = [
        NumericProposer().propose(view_on(p, PARAMETERS[1]), random.Random(0))
        for p in (narrow, replace(narrow, high=9.0))
    ]
    assert len({row(one, 0.0).space for one in drawn}) == 2


def test_a_failure_ranks_behind_the_worst_score_of_its_generation() -> None:
    view, score = view_on(Parameter(name="x", type="float", default=0.5, low=0.0, high=1.0)), -7.5
    drawn = [NumericProposer().propose(view, random.Random(seed)) for seed in range(6)]
    rows = [row(one, score - n) for n, one in enumerate(drawn)]
    failed = [*rows[:5], replace(rows[5], score=None)]
    one, other = (NumericProposer().propose(replace(view, tried=tried), random.Random(9)) for tried in (rows, failed))
    assert one is not None
    assert other is not None
    assert one.coordinates == other.coordinates, "ranks are all that counts"
    best = [replace(rows[0], score=None), *rows[1:]]
    moved = NumericProposer().propose(replace(view, tried=best), random.Random(9))
    assert moved is not None
    assert moved.coordinates != one.coordinates


def test_it_finds_the_optimum_of_a_sphere() -> None:
    view = view_on(*(Parameter(name=f"x{n}", type="float", default=4.0, low=-5.0, high=5.0) for n in range(5)))
    proposer, rows, best = NumericProposer(), [], float("-inf")
    for _ in range(600):
        drawn = proposer.propose(replace(view, tried=list(rows)), random.Random(len(rows)))
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
