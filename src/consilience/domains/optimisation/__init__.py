"""Optimisation problems: an exact evaluator over geometry or numbers, without data."""
