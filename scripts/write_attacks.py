"""Writes docs/attacks.md from the catalogue; with --check, fails when it differs."""

from __future__ import annotations

import sys
from pathlib import Path

from consilience.trials.attacks.catalogue import CATALOGUE
from consilience.trials.attacks.model import HONEST_SCORE
from consilience.trials.attacks.targets import draw_secrets, make_targets

PAGE = Path(__file__).resolve().parents[1] / "docs" / "attacks.md"
HEAD = """# Attacks

Written by `scripts/write_attacks.py` from the catalogue in `consilience.trials.attacks`; do not edit.

`consilience attack` tries each of these on this machine, in a sandbox that its canaries have proved. An attack gets
through when it scores above the honest control ({honest:g}; a perfect answer scores 1), reaches or reads anything
outside its sandbox, leaves a process or a file, or changes what the next honest trial on the same executor scores.
What is outside: a file, sockets of four kinds, a process with a secret in its environment, the recorder itself.

Each is tried on the split evaluator, with candidates started fresh and forked, and as a contrast on an evaluator that
imports the candidate, with both in one sandbox. What that contrast shows is the boundary: the evaluator's text is the
same on both sides, but for attacks on a habit of in-process evaluators, which bring that habit's text.

That an attack is held shows that this attack is held, on this machine, now. It is no proof that there is no other.

## What they are aimed at

| evaluator | scores |
|---|---|
"""
LIST = """
## The attacks

Numbers 39 and 40 are a browser's and come with that worker.

| | attack | tries | aimed at | stopped by |
|---|---|---|---|---|
"""


def page() -> str:
    """Return docs/attacks.md."""
    targets = "".join(f"| {made.name} | {made.scores} |\n" for made in make_targets(draw_secrets()).values())
    rows = "".join(
        f"| {attack.number} | {attack.name} | {attack.tries} | {attack.target} | {attack.stopped_by} |\n"
        for attack in CATALOGUE
    )
    return HEAD.format(honest=HONEST_SCORE) + targets + LIST + rows


def main() -> int:
    """Write the page, or compare it."""
    if "--check" not in sys.argv:
        PAGE.write_text(page())
        return 0
    if PAGE.exists() and PAGE.read_text() == page():
        return 0
    sys.stderr.write("attacks.md differs from the catalogue: python scripts/write_attacks.py\n")
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
