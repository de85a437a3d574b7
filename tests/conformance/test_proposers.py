"""Every built-in proposer keeps the contract, and rewrites real programs into programs."""

import random
import sysconfig
import time
import warnings
from pathlib import Path

import pytest
from msgspec.structs import replace

from consilience.core.artifact import Artifact, ArtifactFile
from consilience.core.blocks import editable_texts, same_fixed_text
from consilience.core.ports import ProposalView, Proposer, Scored
from consilience.search.proposers import default_proposers
from consilience.testing.proposers import ProposerConformance, example_view

PROPOSERS = {proposer.operator: index for index, proposer in enumerate(default_proposers())}
MODULES = (
    "abc", "bisect", "cmd", "colorsys", "copy", "filecmp", "fnmatch", "getopt", "glob", "graphlib",
    "heapq", "hmac", "this", "linecache", "queue", "quopri", "reprlib", "sched", "shlex", "stat", "textwrap",
    "timeit", "weakref",
)  # fmt: skip


def test_names_and_order() -> None:
    assert tuple(PROPOSERS) == (
        "cma-es",
        "constant-drift",
        "swap-operator",
        "scale-constant",
        "call-arguments",
        "statements",
        "swap-call",
        "expression",
        "crossover",
    )


@pytest.fixture(params=PROPOSERS, scope="class")
def chosen(request: pytest.FixtureRequest) -> None:
    if request.cls is not None:
        request.cls.index = PROPOSERS[request.param]


@pytest.mark.usefixtures("chosen")
class TestBuiltIn(ProposerConformance):
    index = 0

    def proposer(self) -> Proposer:
        return default_proposers()[self.index]


def view_of(text: str) -> ProposalView:
    parent = Scored(candidate="c" * 64, artifact=Artifact(files=(ArtifactFile("module.py", text),)), score=0.0)
    view = example_view(program=False, parameters=False, pool=False)
    return replace(view, parent=parent, incumbent=parent, origin=parent)


def source_of(module: str) -> str:
    return (Path(sysconfig.get_path("stdlib")) / f"{module}.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("module", MODULES)
def test_real_programs_are_rewritten_into_programs(module: str) -> None:
    view = view_of(source_of(module))
    start, made, asked = time.process_time(), 0, 0
    for proposer in default_proposers():
        for seed in range(4 if proposer.applies(view) else 0):
            proposal = proposer.propose(view, random.Random(seed))
            asked += 1
            if proposal is not None:
                made += 1
                compiled(proposal.artifact.text("module.py"))
                assert proposal.artifact != view.parent.artifact
    print(f"{module}: {made} of {asked} in {1000 * (time.process_time() - start):.0f} ms")
    assert made >= 0.8 * asked


def test_only_the_block_of_a_real_program_is_rewritten() -> None:
    lines = source_of("textwrap").splitlines(keepends=True)
    first = next(n for n, line in enumerate(lines) if line.startswith("    def _split_chunks"))
    last = next(n for n, line in enumerate(lines) if line.startswith("    def wrap"))
    marked = [*lines[:first], "# EVOLVE-BLOCK-START\n", *lines[first:last], "# EVOLVE-BLOCK-END\n", *lines[last:]]
    text = "".join(marked)
    for proposer in default_proposers():
        for seed in range(10):
            proposal = proposer.propose(view_of(text), random.Random(seed))
            if proposal is not None:
                new = proposal.artifact.text("module.py")
                assert same_fixed_text(text, new)
                assert editable_texts(text) != editable_texts(new)


def compiled(text: str) -> None:
    with warnings.catch_warnings(action="ignore", category=SyntaxWarning):
        compile(text, "module.py", "exec", dont_inherit=True)
