"""The seed that a candidate is given: it follows the trial's seed, and does not give it away.

Rules:
    1. The evaluator draws what it hides from the trial's seed. A candidate that knew the seed could draw the
       same, so it gets another: a keyed hash of it.
    2. The key is the evaluator's own bytes, which no candidate is shown: who does not know them cannot try
       seeds until one fits. Where the evaluator is public, its author has to mix in something that is not.
    3. Pure: the same problem and seed give the same candidate seed on every machine.

Data flow: trial's seed, evaluator's files -> `candidate_seed` -> start line of the candidate's process.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from consilience.core.canonical import hash_value, sha256_hex

_SEED_BYTES = 4  # NumPy's legacy generator takes 32 bits


def candidate_seed(seed: int, evaluator_files: Mapping[str, bytes]) -> int:
    """Return the candidate's seed, in [0, 2^32).

    Args:
        seed: the trial's.
        evaluator_files: the problem's support files, by path.
    """
    key = hash_value({path: sha256_hex(data) for path, data in evaluator_files.items()})
    digest = hmac.digest(key.encode(), str(seed).encode(), hashlib.sha256)
    return int.from_bytes(digest[:_SEED_BYTES], "big")
