"""Candidate -> outcome. Only this package runs candidate code."""
