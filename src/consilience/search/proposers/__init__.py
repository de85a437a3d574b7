"""Operators that make hypotheses, one small file each, behind core.ports.Proposer."""
