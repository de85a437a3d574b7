"""Structural operators: one edit at one site of one family, picked at random.

Rules:
    1. Every site is as likely as any other, however many edits it offers.
    2. Sites are cached by text, so asking again for the same parent costs a look-up.

Data flow: parent -> sites of the family -> one edit that stays in its span and compiles -> Proposal.
"""

from __future__ import annotations

import random
from functools import lru_cache

from consilience.core.hypothesis import Hypothesis, Proposal
from consilience.core.ports import ProposalView
from consilience.search.proposers.arguments import CALL_ARGUMENTS
from consilience.search.proposers.calls import SWAP_CALL
from consilience.search.proposers.edits import Family, Site, edited
from consilience.search.proposers.expressions import EXPRESSION
from consilience.search.proposers.operators import SWAP_OPERATOR
from consilience.search.proposers.scaling import SCALE_CONSTANT
from consilience.search.proposers.statements import STATEMENTS
from consilience.search.proposers.syntax import parse

FAMILIES = (SWAP_OPERATOR, SCALE_CONSTANT, CALL_ARGUMENTS, STATEMENTS, SWAP_CALL, EXPRESSION)

_CACHED_TEXTS = 64  # as many as there are parsed programs: sites keep theirs alive
_TRIES = 8


class StructuralProposer:
    """Implements `core.ports.Proposer` for one family of rewrites."""

    def __init__(self, family: Family) -> None:
        self._family = family
        self._sites = lru_cache(maxsize=_CACHED_TEXTS)(self._find_sites)

    @property
    def operator(self) -> str:
        """The family's name."""
        return self._family.operator

    def applies(self, view: ProposalView) -> bool:
        """Tell whether the parent has a site for this family."""
        return any(self._sites(file.path, file.text) for file in view.parent.artifact.files)

    def propose(self, view: ProposalView, stream: random.Random) -> Proposal | None:
        """Make one edit in the parent; None when a few picks gave nothing that compiles."""
        artifact = view.parent.artifact
        sites = [site for file in artifact.files for site in self._sites(file.path, file.text)]
        for _ in range(_TRIES if sites else 0):
            edits = stream.choice(sites)()
            edit = stream.choice(edits) if edits else None
            changed = edited(artifact, edit) if edit is not None else None
            if edit is not None and changed is not None:
                hypothesis = Hypothesis(
                    operator=self.operator, target=edit.target, change=edit.change, reason=edit.reason
                )
                return Proposal(artifact=changed, hypothesis=hypothesis, parents=(view.parent.candidate,))
        return None

    def _find_sites(self, path: str, text: str) -> tuple[Site, ...]:
        source = parse(path, text)
        return tuple(self._family.sites(source)) if source is not None else ()


def structural_proposers() -> tuple[StructuralProposer, ...]:
    """Return a new operator for each family."""
    return tuple(StructuralProposer(family) for family in FAMILIES)
