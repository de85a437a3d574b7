"""Every built-in proposer keeps the contract."""

import ast
import random
from pathlib import Path

import pytest

from consilience.core.artifact import Artifact, ArtifactFile
from consilience.core.ports import Proposer, Scored
from consilience.search.proposers import default_proposers
from consilience.search.proposers.rewrites import (
    change_arguments,
    change_expressions,
    change_statements,
    swap_calls,
    swap_operators,
)
from consilience.search.proposers.structural import StructuralProposer
from consilience.search.proposers.syntax import parse, replace_bytes
from consilience.testing.proposers import ProposerConformance, example_view

PROPOSERS = {proposer.operator: index for index, proposer in enumerate(default_proposers())}


@pytest.fixture(params=PROPOSERS, scope="class")
def chosen(request: pytest.FixtureRequest) -> None:
    if request.cls is not None:
        request.cls.index = PROPOSERS[request.param]


@pytest.mark.usefixtures("chosen")
class TestBuiltIn(ProposerConformance):
    index = 0

    def proposer(self) -> Proposer:
        return default_proposers()[self.index]


def rewritten(text: str, family: object) -> set[str]:
    source = parse("a.py", text)
    assert source is not None
    return {replace_bytes(text, edit.replacements) for edit in family(source)}  # type: ignore[operator]


@pytest.mark.parametrize(
    ("family", "before", "afters"),
    [
        (swap_operators, "a = b < c\n", {"a = b <= c\n", "a = b > c\n"}),
        (swap_operators, "a = b and c\n", {"a = b or c\n"}),
        (swap_operators, "a = é+b\n", {"a = é-b\n"}),
        (swap_calls, "a = np.zeros(3)\n", {"a = np.ones(3)\n"}),
        (change_arguments, "f(x, y)\n", {"f(y, x)\n"}),
        (change_arguments, "f(x, key=1)\n", {"f(x)\n"}),
        (change_expressions, "a = b * 2\n", {"a = (b)\n", "a = (2)\n"}),
        (
            change_statements,
            "def f():\n    a()\n    b()\n",
            {
                "def f():\n    b()\n    a()\n",
                "def f():\n    pass\n    b()\n",
                "def f():\n    a()\n    pass\n",
                "def f():\n    a()\n    a()\n    b()\n",
                "def f():\n    a()\n    b()\n    b()\n",
            },
        ),
    ],
)
def test_rewrites(family: object, before: str, afters: set[str]) -> None:
    assert rewritten(before, family) == afters


def structural() -> list[StructuralProposer]:
    return [proposer for proposer in default_proposers() if isinstance(proposer, StructuralProposer)]


@pytest.mark.parametrize("module", ["bisect", "heapq", "textwrap", "colorsys", "statistics"])
def test_real_programs_are_rewritten_into_programs(module: str) -> None:
    text = Path(__import__(module).__file__ or "").read_text()
    artifact = Artifact(files=(ArtifactFile("module.py", text),))
    scored = Scored(candidate="c" * 64, artifact=artifact, score=0.0)
    view = example_view()
    view = type(view)(**{name: getattr(view, name) for name in view.__struct_fields__} | {"parent": scored, "pool": []})
    offered = [p.propose(view, random.Random(seed)) for p in structural() for seed in range(3)]
    made = [proposal for proposal in offered if proposal is not None]
    assert len(made) > len(offered) // 2
    for proposal in made:
        ast.parse(proposal.artifact.text("module.py"))


def test_a_file_that_does_not_parse_offers_nothing() -> None:
    artifact = Artifact(files=(ArtifactFile("a.py", "def f(:\n"), ArtifactFile("b.txt", "1.5")))
    scored = Scored(candidate="c" * 64, artifact=artifact, score=0.0)
    view = example_view(program=False, parameters=False, pool=False)
    fields = {name: getattr(view, name) for name in view.__struct_fields__}
    view = type(view)(**fields | {"parent": scored, "origin": scored, "incumbent": scored})
    assert [p.propose(view, random.Random(0)) for p in default_proposers()] == [None] * len(PROPOSERS)
