"""Look for the minimum of a wavy function of two variables by random search."""

import numpy as np


# EVOLVE-BLOCK-START
def search(iterations=200, bound=5.0):
    """Try points at random and keep the best."""
    step = 0.5
    restart = 0.9
    best = np.random.uniform(-bound, bound, 2)
    best_value = surface(best)
    for _ in range(iterations):
        if np.random.rand() < restart:
            point = np.random.uniform(-bound, bound, 2)
        else:
            point = best + step * np.random.randn(2)
        point = np.clip(point, -bound, bound)
        value = surface(point)
        if value < best_value:
            best, best_value = point, value
    return best


# EVOLVE-BLOCK-END


def surface(point):
    """Evaluate the function; its minimum is about -0.677 near (1.22, -1.64)."""
    x, y = point
    return np.sin(x) * np.cos(2.0 * y) * 0.5 + np.cos(1.5 * x * y) * 0.3 + 0.04 * (x * x + y * y) + 0.2 * np.sin(x + y)


def run_search():
    """Return the point that was found, with its value."""
    best = search()
    return float(best[0]), float(best[1]), float(surface(best))
