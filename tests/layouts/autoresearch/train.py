"""Train a table of letter pairs for a fixed number of steps and print what it is worth."""

import math
import random

from prepare import ALPHABET, evaluate_bpb, split

STEPS = 300
LEARNING_RATE = 0.05
DECAY = 0.5  # share of the learning rate that is left at the end
SMOOTHING = 0.5


def train(text):
    rng = random.Random(1)
    size = len(ALPHABET)
    table = [[0.0] * size for _ in range(size)]
    for step in range(STEPS):
        place = rng.randrange(len(text) - 1)
        row = table[ALPHABET.index(text[place])]
        chances = softmax(row)
        rate = LEARNING_RATE * (1.0 - (1.0 - DECAY) * step / STEPS)
        for index in range(size):
            target = 1.0 if index == ALPHABET.index(text[place + 1]) else 0.0
            row[index] += rate * (target - chances[index])
    return table


def softmax(row):
    powers = [math.exp(value) for value in row]
    return [power / sum(powers) for power in powers]


if __name__ == "__main__":
    training, _ = split()
    table = train(training)
    chances = [[chance + SMOOTHING / len(row) for chance in softmax(row)] for row in table]
    print("training done")
    print("---")
    print(f"val_bpb:          {evaluate_bpb(lambda previous: chances[ALPHABET.index(previous)]):.6f}")
    print("peak_vram_mb:     0.0")
