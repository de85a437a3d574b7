"""Conformance suite for proposers: subclass `ProposerConformance`, give a proposer, inherit the contract.

::

    class TestMine(ProposerConformance):
        def proposer(self) -> Proposer:
            return MyProposer()
"""

from __future__ import annotations

import random

from msgspec.structs import replace

from consilience.core.artifact import Artifact, ArtifactFile, artifact_id
from consilience.core.blocks import same_fixed_text
from consilience.core.ports import ProposalView, Proposer, Scored, Tried
from consilience.core.problem import EvaluatorSpec, Objective, Parameter, ParameterValue, Problem, Surface, SurfaceFile

PROGRAM = '''"""Fixed text before the block."""
import math

# EVOLVE-BLOCK-START
RATE = 0.25
ROUNDS = 7


def settle(start, reach=2.5):
    total = start * RATE
    for step in range(ROUNDS):
        if total < reach and step >= 3:
            total += math.sin(total) - 0.125
        total = min(total, 9.5)
    return round(total, ndigits=3)
# EVOLVE-BLOCK-END

RESULT = settle(4.0)
'''
OTHER = PROGRAM.replace("math.sin(total) - 0.125", "math.sqrt(total + 1.5)").replace("0.25", "0.75")
PARAMETERS = (
    Parameter(name="depth", type="integer", default=4, low=1, high=9),
    Parameter(name="rate", type="float", default=0.1, low=1e-4, high=1.0, log=True),
    Parameter(name="kind", type="categorical", default="a", choices=("a", "b", "c")),
    Parameter(name="fast", type="boolean", default=False),
)
ROUNDS = 25


def example_view(*, program: bool = True, parameters: bool = True, pool: bool = True) -> ProposalView:
    """Return a view on a small program with typed parameters, and another candidate in the pool."""
    problem = Problem(
        name="example",
        goal="",
        objective=Objective(metric="score", direction="maximize"),
        surface=Surface(
            files=(SurfaceFile(path="program.py", region="blocks"),) if program else (),
            parameters=PARAMETERS if parameters else (),
        ),
        evaluator=EvaluatorSpec(kind="function"),
    )
    defaults: dict[str, ParameterValue] = {parameter.name: parameter.default for parameter in PARAMETERS}
    parent = _scored(PROGRAM if program else "", defaults if parameters else {}, 1.0)
    moved: dict[str, ParameterValue] = {"depth": 7, "rate": 0.5, "kind": "b", "fast": True}
    other = _scored(OTHER if program else "", moved if parameters else {}, 0.5)
    return ProposalView(
        problem=problem,
        parent=parent,
        incumbent=parent,
        origin=parent,
        pool=[other] if pool else [],
        tried=(),
        phase="explore",
        seed=11,
    )


def _scored(text: str, values: dict[str, ParameterValue], score: float) -> Scored:
    files = (ArtifactFile("program.py", text),) if text else ()
    artifact = Artifact(files=files, parameters=values)
    return Scored(candidate=artifact_id(artifact), artifact=artifact, score=score)


class ProposerConformance:
    """What every proposer has to keep."""

    def proposer(self) -> Proposer:
        """Return the proposer under test."""
        raise NotImplementedError

    def test_it_implements_the_protocol(self) -> None:
        """The protocol's members are there, and the name is a stable slug."""
        proposer = self.proposer()
        assert isinstance(proposer, Proposer)
        assert proposer.operator == proposer.operator.lower().replace(" ", "-").replace("_", "-")

    def test_it_is_pure(self) -> None:
        """The same view and chance give the same proposal, from one instance or two."""
        one, other = self.proposer(), self.proposer()
        for seed in range(ROUNDS):
            first = one.propose(example_view(), random.Random(seed))
            assert first == one.propose(example_view(), random.Random(seed))
            assert first == other.propose(example_view(), random.Random(seed))

    def test_it_remembers_nothing_but_what_follows_from_the_view(self) -> None:
        """A proposer that served one history serves another, of the same length, as a fresh one does."""
        used, history, other = self.proposer(), list[Tried](), list[Tried]()
        for seed in range(ROUNDS):
            drawn = used.propose(replace(example_view(), tried=list(history)), random.Random(seed))
            if drawn is not None:
                row = Tried(space=drawn.space, coordinates=drawn.coordinates, score=float(seed))
                history.append(row)
                other.append(replace(row, score=-float(seed) if seed % 5 else None))
        for tried in (other, history[: len(history) // 2], []):
            view = replace(example_view(), tried=tried)
            assert used.propose(view, random.Random(1)) == self.proposer().propose(view, random.Random(1))

    def test_it_leaves_what_it_is_given_as_it_is(self) -> None:
        """The view is the same afterwards, down to the values of its parameters."""
        view = example_view()
        for seed in range(ROUNDS):
            self.proposer().propose(view, random.Random(seed))
        assert view == example_view()

    def test_it_changes_the_surface_only(self) -> None:
        """Fixed text stays, parameters stay within their types and bounds, something differs."""
        view = example_view()
        made = [self.proposer().propose(view, random.Random(seed)) for seed in range(ROUNDS)]
        proposals = [proposal for proposal in made if proposal is not None]
        assert proposals, "it offers something for the example"
        for proposal in proposals:
            assert proposal.artifact != view.parent.artifact
            assert same_fixed_text(PROGRAM, proposal.artifact.text("program.py"))
            compile(proposal.artifact.text("program.py"), "program.py", "exec")
            _check_parameters(proposal.artifact)

    def test_it_explains_itself(self) -> None:
        """A hypothesis names operator, target, change and reason on one line each, and real parents."""
        view = example_view()
        known = {view.parent.candidate, *(other.candidate for other in view.pool)}
        for seed in range(ROUNDS):
            proposal = self.proposer().propose(view, random.Random(seed))
            if proposal is not None:
                words = (proposal.hypothesis.target, proposal.hypothesis.change, proposal.hypothesis.reason)
                assert all(word and "\n" not in word for word in words)
                assert proposal.hypothesis.operator == self.proposer().operator
                assert set(proposal.parents) <= known
                assert proposal.parents

    def test_it_has_nothing_to_say_about_nothing(self) -> None:
        """Without anything to change it gives None and raises nothing."""
        empty = example_view(program=False, parameters=False, pool=False)
        assert not self.proposer().applies(empty)
        assert self.proposer().propose(empty, random.Random(0)) is None


def _check_parameters(artifact: Artifact) -> None:
    values = artifact.parameters
    assert isinstance(values["depth"], int)
    assert 1 <= values["depth"] <= 9  # noqa: PLR2004  the example's bounds
    assert isinstance(values["rate"], float)
    assert 1e-4 <= values["rate"] <= 1.0  # noqa: PLR2004
    assert values["kind"] in {"a", "b", "c"}
    assert isinstance(values["fast"], bool)
