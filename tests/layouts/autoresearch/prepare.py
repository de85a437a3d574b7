"""Data and evaluation. Read-only: the training script may import it, nobody may change it."""

import math
import random

ALPHABET = "abcde "


def make_text(length=4000, seed=0):
    """Return a text in which each letter tends to follow a certain other one."""
    rng = random.Random(seed)
    letters = ["a"]
    for _ in range(length):
        place = ALPHABET.index(letters[-1])
        letters.append(ALPHABET[(place + 1) % 6] if rng.random() < 0.7 else rng.choice(ALPHABET))
    return "".join(letters)


def split():
    """Return training text and validation text."""
    text = make_text()
    return text[:3000], text[3000:]


def evaluate_bpb(predict):
    """Return bits per byte on the validation text; ``predict(previous)`` gives a chance for each letter."""
    _, text = split()
    bits = 0.0
    for previous, letter in zip(text, text[1:]):
        chances = predict(previous)
        bits -= math.log2(max(chances[ALPHABET.index(letter)] / sum(chances), 1e-9))
    return bits / (len(text) - 1)
