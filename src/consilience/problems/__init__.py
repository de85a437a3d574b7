"""Folders -> Problem: loaders for the own format, OpenEvolve and autoresearch layouts."""
