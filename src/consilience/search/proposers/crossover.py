"""`crossover`: take a function, or parameter values, from another good candidate.

Rules:
    1. A function replaces the one of the same qualified name in the same file.
    2. What would make the parent equal to the other candidate is not offered: it has been run.

Data flow: parent + one of the pool -> what differs -> one part taken over -> Proposal with both as parents.
"""

from __future__ import annotations

import random
from functools import lru_cache

import libcst as cst

from consilience.core.artifact import Artifact
from consilience.core.hypothesis import Hypothesis, Proposal
from consilience.core.ports import ProposalView, Scored
from consilience.search.proposers.edits import Edit, edited, one_line
from consilience.search.proposers.syntax import Source, parse
from consilience.search.proposers.values import shown

_CACHED_TEXTS = 256
_LONGEST_LINE = 120
_TRIES = 4
_REASON = "what works in one lineage may work in another"

Functions = dict[str, tuple[int, int, str]]
"""Byte range and code of each function, by its qualified name."""


class CrossoverProposer:
    """Implements `core.ports.Proposer`."""

    operator = "crossover"

    def applies(self, view: ProposalView) -> bool:
        """Tell whether there is another candidate to take from."""
        return any(other.candidate != view.parent.candidate for other in view.pool)

    def propose(self, view: ProposalView, stream: random.Random) -> Proposal | None:
        """Put one differing part of another candidate into the parent."""
        others = [other for other in view.pool if other.candidate != view.parent.candidate]
        for _ in range(_TRIES if others else 0):
            other = stream.choice(others)
            taken = _take(view.parent.artifact, other, stream)
            if taken is not None and taken[0] not in (view.parent.artifact, other.artifact):
                artifact, target, change = taken
                hypothesis = Hypothesis(operator=self.operator, target=target, change=change, reason=_REASON)
                parents = (view.parent.candidate, other.candidate)
                return Proposal(artifact=artifact, hypothesis=hypothesis, parents=parents)
        return None


Taken = tuple[Artifact, str, str]
"""The new artifact, the target, and the change in words."""


def _take(mine: Artifact, other: Scored, stream: random.Random) -> Taken | None:
    functions = _differing_functions(mine, other)
    names = _differing_parameters(mine, other.artifact)
    place = stream.randrange(len(functions) + bool(names)) if functions or names else None
    if place is None:
        return None
    if place < len(functions):
        edit = functions[place]
        artifact = edited(mine, edit)
        return (artifact, edit.target, edit.change) if artifact is not None else None
    return _with_parameters(mine, other.artifact, stream.sample(names, stream.randint(1, len(names))))


def _differing_functions(mine: Artifact, other: Scored) -> list[Edit]:
    theirs = {file.path: _functions(file.path, file.text) for file in other.artifact.files}
    return [
        Edit(
            path=file.path,
            replacements=((start, end, theirs[file.path][name][2]),),
            target=f"{name}()",
            change=one_line(f"{name}() taken from candidate {other.candidate[:10]}", _LONGEST_LINE),
            reason=_REASON,
        )
        for file in mine.files
        for name, (start, end, code) in _functions(file.path, file.text).items()
        if name in theirs.get(file.path, {}) and theirs[file.path][name][2] != code
    ]


def _differing_parameters(mine: Artifact, theirs: Artifact) -> list[str]:
    other = theirs.parameters
    return [name for name in sorted(mine.parameters) if name in other and mine.parameters[name] != other[name]]


def _with_parameters(mine: Artifact, theirs: Artifact, names: list[str]) -> Taken:
    values = {name: theirs.parameters[name] for name in sorted(names)}
    change = "; ".join(f"{name} {shown(mine.parameters[name])} -> {shown(value)}" for name, value in values.items())
    return mine.with_parameters(values), ", ".join(values), one_line(change, _LONGEST_LINE)


@lru_cache(maxsize=_CACHED_TEXTS)
def _functions(path: str, text: str) -> Functions:
    """Return the editable functions of a file; of several of one name the last, which is the one in force."""
    source = parse(path, text)
    if source is None:
        return {}
    nodes = (node for node in source.nodes() if isinstance(node, cst.FunctionDef))
    return {_qualified(source, node): (*source.span(node), source.code(node)) for node in nodes}


def _qualified(source: Source, function: cst.FunctionDef) -> str:
    above = [n.name.value for n in source.ancestors(function) if isinstance(n, cst.FunctionDef | cst.ClassDef)]
    return ".".join((*reversed(above), function.name.value))
