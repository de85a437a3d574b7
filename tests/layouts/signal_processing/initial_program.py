"""Filter a noisy signal as it comes in, with little lag."""

import numpy as np


# EVOLVE-BLOCK-START
def smooth(samples, window=20):
    """Weighted mean of the last samples."""
    decay = 1.0
    result = np.zeros(len(samples))
    for index in range(len(samples)):
        part = samples[max(0, index - window + 1) : index + 1]
        weights = decay ** np.arange(len(part))[::-1]
        result[index] = np.sum(weights * part) / np.sum(weights)
    return result


# EVOLVE-BLOCK-END


def run_filter(samples):
    """Return one filtered value for each sample."""
    return smooth(np.asarray(samples, dtype=float))
