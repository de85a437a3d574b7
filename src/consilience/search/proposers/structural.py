"""Structural operators: one edit of one family, picked at random among all that the program offers."""

from __future__ import annotations

import random
from functools import lru_cache

from consilience.core.blocks import same_fixed_text
from consilience.core.hypothesis import Hypothesis, Proposal
from consilience.core.ports import ProposalView
from consilience.search.proposers.rewrites import (
    Family,
    change_arguments,
    change_expressions,
    change_statements,
    scale_constants,
    swap_calls,
    swap_operators,
)
from consilience.search.proposers.syntax import Edit, compiles, parse, replace_bytes

_CACHED_TEXTS = 256
_TRIES = 8


class StructuralProposer:
    """Implements `core.ports.Proposer` for one family of rewrites."""

    def __init__(self, operator: str, family: Family, reason: str) -> None:
        self._operator = operator
        self._reason = reason
        self._edits = lru_cache(maxsize=_CACHED_TEXTS)(_Edits(family))

    @property
    def operator(self) -> str:
        """The family's name."""
        return self._operator

    def applies(self, view: ProposalView) -> bool:
        """Tell whether the parent has a Python file; whether it offers an edit is found out when asked."""
        return any(file.path.endswith(".py") for file in view.parent.artifact.files)

    def propose(self, view: ProposalView, stream: random.Random) -> Proposal | None:
        """Make one edit in the parent; None when a few picks gave nothing that compiles."""
        artifact = view.parent.artifact
        offers = [edit for file in artifact.files for edit in self._edits(file.path, file.text)]
        for _ in range(min(_TRIES, len(offers))):
            edit = stream.choice(offers)
            old = artifact.text(edit.path)
            new = replace_bytes(old, edit.replacements)
            if new != old and same_fixed_text(old, new) and compiles(edit.path, new):
                hypothesis = Hypothesis(
                    operator=self.operator, target=edit.target, change=edit.change, reason=self._reason
                )
                moved = artifact.with_text(edit.path, new)
                return Proposal(artifact=moved, hypothesis=hypothesis, parents=(view.parent.candidate,))
        return None


class _Edits:
    """All edits of a family in a text, as a tuple that can be cached."""

    def __init__(self, family: Family) -> None:
        self._family = family

    def __call__(self, path: str, text: str) -> tuple[Edit, ...]:
        source = parse(path, text)
        return tuple(self._family(source)) if source is not None else ()


def structural_proposers() -> tuple[StructuralProposer, ...]:
    """Return one operator for each family."""
    return (
        StructuralProposer("swap-operator", swap_operators, "boundaries and signs are often off by one"),
        StructuralProposer("scale-constant", scale_constants, "a setting may be wrong by its order of magnitude"),
        StructuralProposer("call-arguments", change_arguments, "defaults and argument orders are seldom tried out"),
        StructuralProposer("statements", change_statements, "order, repetition and need of a step are assumptions"),
        StructuralProposer("swap-call", swap_calls, "a related function may fit better"),
        StructuralProposer("expression", change_expressions, "a simpler expression may do as well or better"),
    )
