"""Watching one trial in order to say what its sandbox denied it; ordinary trials are never watched."""
