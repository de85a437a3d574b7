"""Pack ten circles into the unit square: centres on a grid, radii as large as they fit."""

# EVOLVE-BLOCK-START
import numpy as np

COLUMNS = 4
MARGIN = 0.2
SHIFT = 0.0


def construct():
    """Return centres and radii of ten circles."""
    rows = int(np.ceil(10 / COLUMNS))
    centres = []
    for index in range(10):
        row, column = divmod(index, COLUMNS)
        x = MARGIN + (1 - 2 * MARGIN) * column / max(1, COLUMNS - 1) + SHIFT * (row % 2)
        y = MARGIN + (1 - 2 * MARGIN) * row / max(1, rows - 1)
        centres.append((x, y))
    centres = np.clip(np.array(centres), 0.01, 0.99)
    return centres, radii_of(centres, 0.8)


def radii_of(centres, share):
    """Shrink the circles until none overlaps another or the border."""
    radii = np.minimum(centres, 1 - centres).min(axis=1) * share
    for i in range(len(centres)):
        for j in range(i):
            distance = np.linalg.norm(centres[i] - centres[j])
            total = radii[i] + radii[j]
            if total > distance * share:
                radii[[i, j]] *= distance * share / total
    return radii


# EVOLVE-BLOCK-END


def run_packing():
    """Return centres, radii and the sum of the radii."""
    centres, radii = construct()
    return centres, radii, float(np.sum(radii))
