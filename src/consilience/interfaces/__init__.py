"""Faces: command line and Python. Only this package prints."""
