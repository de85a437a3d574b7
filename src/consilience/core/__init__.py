"""The words: frozen types, errors, hashes and ports. Imports nothing of the other packages and does no I/O."""
