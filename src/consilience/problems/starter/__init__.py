"""The folder that `consilience init` copies: a small problem that runs as it is."""
