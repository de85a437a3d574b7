"""Isolation levels, probed by running canaries: bubblewrap, or Landlock with seccomp."""
