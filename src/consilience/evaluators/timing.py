"""Times a candidate's function against a reference of your own, call by call, in turns.

    from consilience.evaluators.function import close, secret_seed
    from consilience.evaluators.timing import time_calls

    def evaluate(candidate, seed):
        draw = random.Random(secret_seed(seed))
        inputs = ([draw.random() for _ in range(20_000)] for _ in range(23))
        return time_calls(candidate, "sort", ((numbers,) for numbers in inputs), close).metrics()

Rules:
    1. Candidate and reference run in processes of their own, held and started the same way, on the same inputs, in
       turns; which goes first alternates. The clock is the recorder's: neither can touch it.
    2. No input is used twice, and every answer is compared with the reference's, warm-up included: one wrong answer
       fails the trial.
    3. A call costs its wall time, or the CPU time since the answer before, whichever is more. So work that is done
       between the calls, or on further threads, is paid for, and so is keeping the CPU from the reference.
    4. What is too short for the channel is refused, with the advice to put more into one call.

Data flow: inputs -> warm-up -> pairs of costs -> ratios -> median and quartiles.
Source: the design answers published incidents of cheated timings (reused answers and memory, patched clocks, lazy
results); see docs/threat-model.md.
"""

from __future__ import annotations

import copy
import hashlib
import math
import pickle
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import Any

WARM_UP = 3
"""Default number of calls before the timed ones: the first starts the process and fills caches."""

LEAST_PAIRS = 5
"""Fewer give no quartiles worth the name."""

LEAST_TRIPS = 20
"""A call of the reference has to take this many times the way there and back, which then is at most 5 % of it.

Measured: about 0.1 ms for a small call in level strong on two cores, with 1 in 20 above 2 ms when the machine is busy;
about 6 ms for 8 MB of array (benchmarks/channel.py).
"""


class TooFastError(ValueError):
    """The reference takes too little time for a call to be timed."""


@dataclass(frozen=True)
class Timing:
    """How a candidate compares with the reference.

    Attributes:
        speedup: the median over pairs of the reference's cost divided by the candidate's; above 1 is faster.
        low: the lower quartile of these ratios.
        high: the upper quartile.
        pairs: how many there are.
        seconds: the candidate's median cost of a call.
        reference_seconds: the reference's.
        trip_seconds: the way there and back, which is in both of them. No speedup above
            ``reference_seconds / trip_seconds`` can be seen.
        cpu_seconds: of the candidate in the whole trial: its start and imports, warm-up, calls, and between them.
        reference_cpu_seconds: of the reference.
    """

    speedup: float
    low: float
    high: float
    pairs: int
    seconds: float
    reference_seconds: float
    trip_seconds: float
    cpu_seconds: float
    reference_cpu_seconds: float

    def metrics(self) -> dict[str, float]:
        """Return the figures as metrics: speedup with its quartiles, median costs, and CPU time of the whole trial."""
        return {
            "speedup": self.speedup,
            "speedup_low": self.low,
            "speedup_high": self.high,
            "seconds": self.seconds,
            "reference_seconds": self.reference_seconds,
            "cpu_seconds": self.cpu_seconds,
            "reference_cpu_seconds": self.reference_cpu_seconds,
        }


def time_calls(
    candidate: Any,
    name: str,
    inputs: Iterable[tuple[Any, ...]],
    compare: Callable[[Any, Any], bool],
    reference: str = "reference.py",
    warm_up: int = WARM_UP,
) -> Timing:
    """Time a function of the candidate against the function of the same name in your reference.

    Args:
        candidate: what `evaluate` was given; nothing may have been called yet.
        name: the function to call in both.
        inputs: the arguments of each call, as a tuple; all different. The first `warm_up` are not timed.
        compare: given the candidate's answer and the reference's, tells whether they are the same, such as `close`.
        reference: a Python file in the evaluator's folder.
        warm_up: at least 1.

    Raises:
        candidate.Error: a call failed, or an answer is wrong. Not caught, the trial fails.
        TooFastError: the reference takes less than `LEAST_TRIPS` times the way there and back.
        ValueError: too few inputs, or one that was there before.
    """
    if warm_up < 1:
        raise ValueError("warm_up has to be at least 1: the first call starts the process")
    race = _Race(candidate, candidate.reference(reference), name, compare)
    for number, arguments in enumerate(inputs):
        if number < warm_up:
            race.warm_up(arguments)
        else:
            race.pair(arguments)
    return race.result()


@dataclass
class _Race:
    """One comparison as it goes on."""

    candidate: Any
    reference: Any
    name: str
    compare: Callable[[Any, Any], bool]
    costs: list[tuple[float, float]] = field(default_factory=list)
    trips: list[float] = field(default_factory=list)
    seen: set[bytes] = field(default_factory=set)

    def warm_up(self, arguments: tuple[Any, ...]) -> None:
        """Call both, and measure what the way there and back takes with such arguments."""
        self._both(arguments)
        self.trips += [self.reference.trip(*arguments) for _ in range(3)]

    def pair(self, arguments: tuple[Any, ...]) -> None:
        """Call both, and note what it cost."""
        self.costs.append(self._both(arguments))

    def result(self) -> Timing:
        """Sum up."""
        if len(self.costs) < LEAST_PAIRS:
            raise ValueError(f"{len(self.costs)} inputs after the warm-up; at least {LEAST_PAIRS} are needed")
        mine, other = median(cost for cost, _ in self.costs), median(cost for _, cost in self.costs)
        trip = median(self.trips)
        if other < LEAST_TRIPS * trip:
            raise TooFastError(_advice(other, trip))
        ratios = [reference / candidate for candidate, reference in self.costs]
        low, middle, high = quantiles(ratios, n=4, method="inclusive")
        return Timing(
            speedup=middle,
            low=low,
            high=high,
            pairs=len(ratios),
            seconds=mine,
            reference_seconds=other,
            trip_seconds=trip,
            cpu_seconds=self.candidate.cpu_seconds,
            reference_cpu_seconds=self.reference.cpu_seconds,
        )

    def _both(self, arguments: tuple[Any, ...]) -> tuple[float, float]:
        """Call both in turns, compare the answers, and return what each cost."""
        self._check_new(arguments)
        if len(self.seen) % 2:
            answer, cost = self._call(self.candidate, arguments)
            expected, other = self._call(self.reference, arguments)
        else:
            expected, other = self._call(self.reference, arguments)
            answer, cost = self._call(self.candidate, arguments)
        if not self.compare(answer, expected):
            raise self.candidate.WrongAnswer(f"{self.name} gave a wrong answer to input {len(self.seen) - 1}")
        return cost, other

    def _call(self, called: Any, arguments: tuple[Any, ...]) -> tuple[Any, float]:
        before = called.cpu_seconds
        answer = called.call(self.name, *copy.deepcopy(arguments))
        return answer, max(called.seconds, called.cpu_seconds - before)

    def _check_new(self, arguments: tuple[Any, ...]) -> None:
        digest = hashlib.sha256(pickle.dumps(arguments)).digest()
        if digest in self.seen:
            raise ValueError(f"input {len(self.seen)} was there before: the candidate may have kept its answer")
        self.seen.add(digest)


def _advice(seconds: float, trip: float) -> str:
    times = math.ceil(LEAST_TRIPS * trip / seconds)
    return (
        f"too little to time: a call of the reference takes {1000 * seconds:.3g} ms, the way there and back"
        f" {1000 * trip:.3g} ms. Put at least {times} times the work into one call: a list of inputs, or a larger one"
    )
