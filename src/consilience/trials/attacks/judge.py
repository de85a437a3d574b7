"""The judge: runs one attack between two honest trials, and tells by what it got through, if it did.

Rules:
    1. Four questions, each enough: a score above the honest control? Anything outside touched or read?
       Anything left? Does the next honest trial on the same executor still score exactly what it should?
    2. It believes nothing that the attack says of itself but what it could not say without having got out.

Data flow: Attack -> trial -> outcome, ground, survivors -> Verdict.
"""

from __future__ import annotations

import time

import msgspec

from consilience.core.artifact import Artifact
from consilience.core.outcome import Outcome
from consilience.core.ports import Executor, TrialRequest
from consilience.trials.attacks.ground import Ground
from consilience.trials.attacks.model import HONEST_SCORE, Attack, Bar, Finding, Verdict
from consilience.trials.attacks.problems import LIMITS, candidate
from consilience.trials.attacks.survivors import living, reap

_SEED = 20_261_124
_GRACE_SECONDS = 0.5  # for a killed process to be gone from the table


class Judge:
    """Judges attacks on one executor.

    Args:
        executor: what is attacked.
        ground: what lies outside.
        metric: the score's name.
        honest: the control's program.
        fresh: demands a process of its own for each trial.
    """

    def __init__(self, executor: Executor, ground: Ground, metric: str, honest: str, *, fresh: bool) -> None:
        self._executor = executor
        self._ground = ground
        self._metric = metric
        self._honest = candidate(honest, {})
        self._fresh = fresh

    def control(self) -> tuple[str, ...]:
        """Run the honest control; say so if it does not score exactly what it should."""
        outcome = self._run(self._honest, LIMITS.wall_seconds)
        score = self._score(outcome)
        if score == HONEST_SCORE:
            return ()
        why = str(score) if outcome.failure is None else f"{outcome.failure.reason} ({outcome.failure.message})"
        return (f"the honest control scored {why}, not {HONEST_SCORE}",)

    def attempt(self, attack: Attack, program: str) -> Verdict:
        """Run one attack, its accomplice and the control, and judge."""
        places, before = self._ground.places(), living(self._ground.victim)
        programs = [program, attack.accomplice] if attack.accomplice else [program]
        outcomes = [self._run(candidate(text, places), attack.wall_seconds) for text in programs]
        found: list[tuple[Bar, tuple[str, ...]]] = [
            *(("score", self._gains(outcome)) for outcome in outcomes),
            *(("outside", self._ground.told(outcome)) for outcome in outcomes),
            ("outside", self._ground.touched()),
            ("left", self._survivors(before)),
            ("left", self._ground.left()),
            ("control", self.control()),
        ]
        first = outcomes[0]
        return Verdict(
            score=self._score(first),
            failure=first.failure.reason if first.failure else "",
            level=first.isolation.level,
            execution=first.isolation.execution,
            findings=tuple(dict.fromkeys(Finding(bar, what) for bar, texts in found for what in texts)),
        )

    def _run(self, artifact: Artifact, wall_seconds: float) -> Outcome:
        limits = msgspec.structs.replace(LIMITS, wall_seconds=wall_seconds)
        return self._executor.run(TrialRequest(artifact=artifact, seed=_SEED, limits=limits, fresh=self._fresh))

    def _score(self, outcome: Outcome) -> float | None:
        return outcome.metrics.get(self._metric) if outcome.failure is None else None

    def _gains(self, outcome: Outcome) -> tuple[str, ...]:
        score = self._score(outcome)
        above = score is not None and not score <= HONEST_SCORE
        return (f"it scored {score:g}, the honest control {HONEST_SCORE:g}",) if above else ()

    def _survivors(self, before: frozenset[int]) -> tuple[str, ...]:
        """Find processes that were not there before the attack and are still there a little after it."""
        until = time.monotonic() + _GRACE_SECONDS
        while (left := living(self._ground.victim) - before) and time.monotonic() < until:
            time.sleep(0.01)
        reap(left)
        return (f"{len(left)} of its processes outlived the trial",) if left else ()
