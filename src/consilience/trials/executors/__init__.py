"""Executors: how one trial becomes processes, and processes an outcome."""
