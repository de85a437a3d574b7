"""A packing of 26 circles: two rings around a centre, spread out for a while, then grown until they touch."""

from __future__ import annotations

import math

CIRCLES = 26

# EVOLVE-BLOCK-START
INNER_COUNT = 8  # circles of the inner ring; the outer ring has the rest
INNER_RADIUS = 0.22
OUTER_RADIUS = 0.42
OUTER_TURN = 0.0  # radians
SPREAD_ROUNDS = 10
SPREAD_STEP = 0.02
SPREAD_REACH = 0.15
WALL_PULL = 0.5
GROWTH_ROUNDS = 2
GROWTH_STEP = 0.2


def start() -> list[list[float]]:
    """Place the centres: one in the middle, two rings around it."""
    centres = [[0.5, 0.5]]
    for index in range(CIRCLES - 1):
        if index < INNER_COUNT:
            angle, radius = 2 * math.pi * index / INNER_COUNT, INNER_RADIUS
        else:
            angle = 2 * math.pi * (index - INNER_COUNT) / (CIRCLES - 1 - INNER_COUNT) + OUTER_TURN
            radius = OUTER_RADIUS
        centres.append([0.5 + radius * math.cos(angle), 0.5 + radius * math.sin(angle)])
    return centres


def spread(centres: list[list[float]]) -> None:
    """Push neighbours apart and centres away from the walls."""
    for _ in range(SPREAD_ROUNDS):
        for i, one in enumerate(centres):
            for other in centres[:i]:
                dx, dy = one[0] - other[0], one[1] - other[1]
                distance = math.hypot(dx, dy) + 1e-9
                push = SPREAD_STEP * max(0.0, SPREAD_REACH - distance) / distance
                one[0] += push * dx
                one[1] += push * dy
                other[0] -= push * dx
                other[1] -= push * dy
            reach = WALL_PULL * SPREAD_REACH
            one[0] = min(max(one[0], reach), 1.0 - reach)
            one[1] = min(max(one[1], reach), 1.0 - reach)


def grow(centres: list[list[float]]) -> list[float]:
    """Let every radius take a share of the room that it still has."""
    radii = [0.0] * len(centres)
    for _ in range(GROWTH_ROUNDS):
        for i, (x, y) in enumerate(centres):
            room = min(x, y, 1.0 - x, 1.0 - y)
            for j, (u, v) in enumerate(centres):
                if j != i:
                    room = min(room, math.hypot(x - u, y - v) - radii[j])
            radii[i] += GROWTH_STEP * (room - radii[i])
    return radii


# EVOLVE-BLOCK-END


def pack() -> list[list[float]]:
    """Return 26 circles as ``[x, y, radius]``; a hair smaller than they could be, against rounding."""
    centres = start()
    spread(centres)
    return [[x, y, radius - 1e-9] for (x, y), radius in zip(centres, grow(centres), strict=True)]
