"""`crossover`: take a function, or parameter values, from another good candidate."""

from __future__ import annotations

import random
from functools import lru_cache

import libcst as cst

from consilience.core.blocks import same_fixed_text
from consilience.core.hypothesis import Hypothesis, Proposal
from consilience.core.ports import ProposalView, Scored
from consilience.search.proposers.syntax import compiles, parse, replace_bytes

_CACHED_TEXTS = 256
_REASON = "what works in one lineage may work in another"

Functions = dict[str, tuple[int, int, str]]


class CrossoverProposer:
    """Implements `core.ports.Proposer`."""

    operator = "crossover"

    def applies(self, view: ProposalView) -> bool:
        """Tell whether there is another candidate to take from."""
        return any(other.candidate != view.parent.candidate for other in view.pool)

    def propose(self, view: ProposalView, stream: random.Random) -> Proposal | None:
        """Put one differing part of another candidate into the parent."""
        others = [other for other in view.pool if other.candidate != view.parent.candidate]
        if not others:
            return None
        other = stream.choice(others)
        return _take_function(view, other, stream) or _take_parameters(view, other, stream)


def _take_function(view: ProposalView, other: Scored, stream: random.Random) -> Proposal | None:
    mine = view.parent.artifact
    theirs = {file.path: _functions(file.path, file.text) for file in other.artifact.files}
    offers = [
        (file.path, name, (start, end, theirs[file.path][name][2]))
        for file in mine.files
        for name, (start, end, code) in _functions(file.path, file.text).items()
        if theirs.get(file.path, {}).get(name, (0, 0, code))[2] != code
    ]
    if not offers:
        return None
    path, name, replacement = stream.choice(offers)
    old = mine.text(path)
    new = replace_bytes(old, (replacement,))
    if new == old or not same_fixed_text(old, new) or not compiles(path, new):
        return None
    hypothesis = Hypothesis(
        operator=CrossoverProposer.operator,
        target=f"{name}()",
        change=f"{name}() taken from candidate {other.candidate[:10]}",
        reason=_REASON,
    )
    parents = (view.parent.candidate, other.candidate)
    return Proposal(artifact=mine.with_text(path, new), hypothesis=hypothesis, parents=parents)


def _take_parameters(view: ProposalView, other: Scored, stream: random.Random) -> Proposal | None:
    mine, theirs = view.parent.artifact.parameters, other.artifact.parameters
    differing = [name for name in sorted(mine) if name in theirs and mine[name] != theirs[name]]
    if not differing:
        return None
    names = stream.sample(differing, stream.randint(1, len(differing)))
    values = {name: theirs[name] for name in sorted(names)}
    hypothesis = Hypothesis(
        operator=CrossoverProposer.operator,
        target=", ".join(values),
        change="; ".join(f"{name} {mine[name]} -> {value}" for name, value in values.items()),
        reason=_REASON,
    )
    parents = (view.parent.candidate, other.candidate)
    return Proposal(artifact=view.parent.artifact.with_parameters(values), hypothesis=hypothesis, parents=parents)


@lru_cache(maxsize=_CACHED_TEXTS)
def _functions(path: str, text: str) -> Functions:
    """Return the editable functions of a file: byte range and code by name."""
    source = parse(path, text)
    if source is None:
        return {}
    nodes = (node for node in source.nodes() if isinstance(node, cst.FunctionDef))
    return {node.name.value: (*source.span(node), source.code(node)) for node in nodes}
