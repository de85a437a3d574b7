"""A candidate of a study, with what is known of it.

Rules:
    1. Only the search state changes one, and only by events.

Data flow: events -> `search.state` -> Member -> engine, contests, proposing.
"""

from __future__ import annotations

import math

from msgspec import Struct

from consilience.core.bodies import CandidateProposed
from consilience.search.noise import moments


class Member(Struct, weakref=True):
    """A candidate of this study with what is known of it.

    Attributes:
        event: its `candidate.proposed`.
        number: its place in order of proposal.
        body: what was proposed.
        scores: by seed, under the comparability key in force; `shelf` keeps those of other keys.
        evidence: the `trial.finished` events of its trials.
        failure, violation, verdict: in words; "" for none.
        forked: some scores were measured in a forked process.
        fresh: what fresh processes have measured again.
        recheck_fault: what came out differently then.
        excised: withdrawn: it has no scores.
        over: the incumbent that it was promoted over.
    """

    event: str
    number: int
    body: CandidateProposed
    scores: dict[int, float] = {}
    shelf: dict[str, dict[int, float]] = {}
    evidence: list[str] = []
    failure: str = ""
    violation: str = ""
    verdict: str = ""
    forked: bool = False
    fresh: dict[int, float] = {}
    recheck_fault: str = ""
    excised: bool = False
    over: str = ""

    @property
    def mean(self) -> float:
        """Mean score over its seeds; NaN before it has one."""
        return moments(tuple(self.scores.values()))[0] if self.scores else math.nan
