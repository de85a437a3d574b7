"""The words of the suite: an attack, what it is aimed at, and what is told of it.

Rules:
    1. All frozen data: a program here is text, and is run in the sandbox alone.

Data flow: catalogue (Attack), targets (Target) -> suite -> Verdict, Row.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Shape = Literal["return", "file", "print"]
"""Where an in-process evaluator's score is read: from what it returns, from a file, from its output."""

Part = Literal["", "journal", "novelty", "text"]
"""Which part of the product, beside the executor, has to answer an attack."""

Bar = Literal["score", "outside", "left", "control", "part"]
"""What an attack may not do: score above the honest control, reach or read what lies outside, leave a process or
file, change what the next honest trial scores, or pass the other part that has to answer it."""

HONEST_SCORE = 0.5
"""What every honest control scores: half of what a perfect answer would."""


class Target(Struct, frozen=True, kw_only=True):
    """A small evaluator with its honest control, which scores `HONEST_SCORE` exactly.

    Attributes:
        name: what attacks are aimed at.
        scores: what it scores, in words.
        evaluator: text that defines ``evaluate(candidate, seed)``.
        honest: program of the honest control.
        support: further files that only the evaluator has, by path.
        outputs: files that a whole program hands over; none where the candidate is called.
    """

    name: str
    scores: str
    evaluator: str
    honest: str
    support: dict[str, str] = {}
    outputs: tuple[str, ...] = ()


class Attack(Struct, frozen=True, kw_only=True):
    """One way to cheat.

    Attributes:
        number: its place in the catalogue; never used again for another.
        name: a few words.
        tries: what it does to gain.
        stopped_by: what stops it.
        program: text that defines ``run``; it finds where the canaries are in ``CANARY``.
        target: name of the evaluator that it is aimed at.
        shape: which kind of in-process evaluator it is aimed at.
        common: text of an in-process evaluator's ``evaluate`` where the usual habit differs from the target's.
        common_program: the attack as adapted to an in-process evaluator; "" is `program`.
        accomplice: a second candidate that looks for what the first has left.
        wall_seconds: limit of its trial.
        part: the part of the product that answers it as well.
    """

    number: int
    name: str
    tries: str
    stopped_by: str
    program: str
    target: str = "secret"
    shape: Shape = "return"
    common: str = ""
    common_program: str = ""
    accomplice: str = ""
    wall_seconds: float = 10.0
    part: Part = ""


class Finding(Struct, frozen=True):
    """One thing by which an attack got through: the bar that it broke, and how."""

    bar: Bar
    what: str


class Verdict(Struct, frozen=True, kw_only=True):
    """What the judge found in one attack's trial. `findings` is empty where it was held."""

    score: float | None
    failure: str
    level: str
    execution: str
    findings: tuple[Finding, ...] = ()

    @property
    def held(self) -> bool:
        """Tell whether it gained nothing, reached nothing, left nothing and changed nothing."""
        return not self.findings


class Row(Struct, frozen=True, kw_only=True):
    """One attack against the split evaluator, and beside it against an evaluator that imports the candidate.

    Attributes:
        number: the attack's.
        name: the attack's.
        split: a verdict for each way in which candidates are started.
        in_process: the contrast.
    """

    number: int
    name: str
    split: tuple[Verdict, ...]
    in_process: Verdict | None = None

    @property
    def held(self) -> bool:
        """Tell whether the split evaluator held it, however the candidate was started."""
        return all(verdict.held for verdict in self.split)
