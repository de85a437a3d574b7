"""Reproducible chance: every random stream is derived from a seed and the purpose it serves.

Rules:
    1. No global random state anywhere: a function that needs chance takes a stream as an argument.
    2. The stream for step n depends on (seed, purpose, n) alone, so a resumed run draws what an
       uninterrupted one would have drawn.
"""

from __future__ import annotations

import hashlib
import random

SEED_BITS = 31  # what C libraries, NumPy's legacy generators and PYTHONHASHSEED all accept


def derive_seed(*parts: str | int) -> int:
    """Return a seed in [0, 2^31) that depends on every part and on nothing else."""
    text = "\x1f".join(str(part) for part in parts)
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - SEED_BITS)


def panel_seed(study_seed: int, index: int) -> int:
    """Return the seed of one place on the panel that all candidates of a study are paired on."""
    return derive_seed(study_seed, "panel", index)


def derive_stream(*parts: str | int) -> random.Random:
    """Return a generator of its own for one purpose, e.g. ``derive_stream(seed, "propose", 7)``."""
    return random.Random(derive_seed(*parts))
