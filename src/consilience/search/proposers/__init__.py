"""Operators that make hypotheses, one small file each, behind core.ports.Proposer."""

from __future__ import annotations

from consilience.core.ports import Proposer
from consilience.search.proposers.crossover import CrossoverProposer
from consilience.search.proposers.drift import DriftProposer
from consilience.search.proposers.numeric import NumericProposer
from consilience.search.proposers.structural import structural_proposers


def default_proposers() -> tuple[Proposer, ...]:
    """Return a new set of every built-in operator."""
    return (NumericProposer(), DriftProposer(), *structural_proposers(), CrossoverProposer())
