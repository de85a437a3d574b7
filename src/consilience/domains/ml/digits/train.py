"""A network of one hidden layer, trained by Adam on small batches: the plainest settings, none of them tuned."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# EVOLVE-BLOCK-START
HIDDEN = 32
STEPS = 500
BATCH = 8
LEARNING_RATE = 0.0003
WARMUP = 100
MOMENTUM = 0.9
SECOND_MOMENTUM = 0.999
WEIGHT_DECAY = 0.01
SCALE = 16.0
INITIAL = 0.1


def initial_weights(rng: np.random.Generator) -> list[Array]:
    """Draw the weights of both layers."""
    return [
        INITIAL * rng.standard_normal((64, HIDDEN)),
        np.zeros(HIDDEN),
        INITIAL * rng.standard_normal((HIDDEN, 10)),
        np.zeros(10),
    ]


def forward(weights: list[Array], images: Array) -> tuple[Array, Array]:
    """Return the hidden layer and the class probabilities."""
    hidden = np.maximum(images @ weights[0] + weights[1], 0.0)
    scores = hidden @ weights[2] + weights[3]
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return hidden, powers / powers.sum(axis=1, keepdims=True)


def gradients(weights: list[Array], images: Array, targets: Array) -> list[Array]:
    """Return the gradient of the mean log-loss for each weight."""
    hidden, chances = forward(weights, images)
    error = (chances - targets) / len(images)
    back = (error @ weights[2].T) * (hidden > 0)
    return [images.T @ back, back.sum(axis=0), hidden.T @ error, error.sum(axis=0)]


def train(images: Array, targets: Array, rng: np.random.Generator) -> list[Array]:
    """Take STEPS steps of Adam with warm-up, cosine decay and decoupled weight decay."""
    weights = initial_weights(rng)
    first = [np.zeros_like(weight) for weight in weights]
    second = [np.zeros_like(weight) for weight in weights]
    for step in range(1, STEPS + 1):
        picked = rng.integers(0, len(images), BATCH)
        rate = LEARNING_RATE * min(1.0, step / WARMUP) * 0.5 * (1.0 + np.cos(np.pi * step / STEPS))
        for index, slope in enumerate(gradients(weights, images[picked], targets[picked])):
            first[index] = MOMENTUM * first[index] + (1.0 - MOMENTUM) * slope
            second[index] = SECOND_MOMENTUM * second[index] + (1.0 - SECOND_MOMENTUM) * slope**2
            mean = first[index] / (1.0 - MOMENTUM**step)
            spread = second[index] / (1.0 - SECOND_MOMENTUM**step)
            weights[index] = weights[index] - rate * (mean / (np.sqrt(spread) + 1e-8) + WEIGHT_DECAY * weights[index])
    return weights


def predict(images: Array, labels: Array, queries: Array, rng: np.random.Generator) -> Array:
    """Train on labelled images and return ten class probabilities for each query."""
    weights = train(images / SCALE, np.eye(10)[labels.astype(int)], rng)
    return forward(weights, queries / SCALE)[1]


# EVOLVE-BLOCK-END


def train_and_predict(
    images: list[list[int]], labels: list[int], queries: list[list[int]], seed: int
) -> list[list[float]]:
    """Learn from labelled images (64 grey values of 0 to 16) and return class probabilities for the queries."""
    rng = np.random.default_rng(seed)
    chances = predict(np.array(images, float), np.array(labels, float), np.array(queries, float), rng)
    return np.round(chances, 6).tolist()  # type: ignore[no-any-return]  # of a matrix: a list of lists
