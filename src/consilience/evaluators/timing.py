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
    3. A call costs the CPU time that the process has used since its answer before, all threads together, by the
       kernel's account. So work between the calls and on further threads is paid for, and other load on the machine,
       which makes wall times useless, hardly shows. Outside its turn each is held still.
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
from dataclasses import asdict, dataclass, field
from statistics import median, quantiles
from typing import Any

WARM_UP = 3
"""Default number of calls before the timed ones: the first starts the process and fills caches."""

TRIPS = 5
"""How often the way there and back is measured for each input of the warm-up."""

LEAST_PAIRS = 5
"""Fewer give no quartiles worth the name."""

LEAST_TRIPS = 20
"""A call of the reference has to cost this many times the way there and back, which then is at most 5 % of it.

Measured on two cores at a load of 20, level strong, CPython 3.11: 0.03 to 0.13 ms of CPU for a small call. A function
against itself, 11 pairs, 6 times each: 0.95 to 1.05 for calls of 7 and of 26 ms, 0.90 to 1.14 for calls of 0.9 ms.
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
        wall_speedup: the median of the ratios of wall times: only on a machine with nothing else to do is it as good.
        pairs: how many there are.
        seconds: the candidate's median cost of a call, in CPU seconds.
        reference_seconds: the reference's.
        trip_seconds: the cost of the way there and back, which is in both of them. No speedup above
            ``reference_seconds / trip_seconds`` can be seen.
        total_seconds: CPU time of the candidate in the whole trial: its start and imports, warm-up and calls.
        reference_total_seconds: that of the reference.
    """

    speedup: float
    low: float
    high: float
    wall_speedup: float
    pairs: int
    seconds: float
    reference_seconds: float
    trip_seconds: float
    total_seconds: float
    reference_total_seconds: float

    def metrics(self) -> dict[str, float]:
        """Return the figures as metrics, all but the number of pairs. Name your objective `speedup`."""
        found = asdict(self)
        return {
            "speedup": found.pop("speedup"),
            "speedup_low": found.pop("low"),
            "speedup_high": found.pop("high"),
            **{name: value for name, value in found.items() if name != "pairs"},
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
        TooFastError: the reference costs less than `LEAST_TRIPS` times the way there and back.
        ValueError: too few inputs, one that was there before, or no clock for another process's CPU time here.
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


@dataclass(frozen=True)
class _Cost:
    """What one call took."""

    cpu: float
    wall: float


@dataclass
class _Race:
    """One comparison as it goes on."""

    candidate: Any
    reference: Any
    name: str
    compare: Callable[[Any, Any], bool]
    costs: list[tuple[_Cost, _Cost]] = field(default_factory=list)
    trips: list[float] = field(default_factory=list)
    seen: set[bytes] = field(default_factory=set)

    def warm_up(self, arguments: tuple[Any, ...]) -> None:
        """Call both, and measure what the way there and back costs with such arguments."""
        self._both(arguments)
        if self.reference.cpu_seconds <= 0:
            raise ValueError("this system has no clock for another process's CPU time, so nothing can be timed here")
        for _ in range(TRIPS):
            before = self.reference.cpu_seconds
            self.reference.trip(*arguments)
            self.trips.append(self.reference.cpu_seconds - before)

    def pair(self, arguments: tuple[Any, ...]) -> None:
        """Call both, and note what it cost."""
        self.costs.append(self._both(arguments))

    def result(self) -> Timing:
        """Sum up."""
        if len(self.costs) < LEAST_PAIRS:
            raise ValueError(f"{len(self.costs)} inputs after the warm-up; at least {LEAST_PAIRS} are needed")
        mine, other = median(cost.cpu for cost, _ in self.costs), median(cost.cpu for _, cost in self.costs)
        trip = median(self.trips)
        if other < LEAST_TRIPS * trip:
            raise TooFastError(_advice(other, trip))
        low, middle, high = quantiles([other.cpu / mine.cpu for mine, other in self.costs], n=4, method="inclusive")
        return Timing(
            speedup=middle,
            low=low,
            high=high,
            wall_speedup=median(other.wall / mine.wall for mine, other in self.costs),
            pairs=len(self.costs),
            seconds=mine,
            reference_seconds=other,
            trip_seconds=trip,
            total_seconds=self.candidate.cpu_seconds,
            reference_total_seconds=self.reference.cpu_seconds,
        )

    def _both(self, arguments: tuple[Any, ...]) -> tuple[_Cost, _Cost]:
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

    def _call(self, called: Any, arguments: tuple[Any, ...]) -> tuple[Any, _Cost]:
        before = called.cpu_seconds
        answer = called.call(self.name, *copy.deepcopy(arguments))
        return answer, _Cost(cpu=called.cpu_seconds - before, wall=called.seconds)

    def _check_new(self, arguments: tuple[Any, ...]) -> None:
        digest = hashlib.sha256(pickle.dumps(arguments)).digest()
        if digest in self.seen:
            raise ValueError(f"input {len(self.seen)} was there before: the candidate may have kept its answer")
        self.seen.add(digest)


def _advice(seconds: float, trip: float) -> str:
    times = math.ceil(LEAST_TRIPS * trip / seconds)
    return (
        f"too little to time: a call of the reference costs {1000 * seconds:.3g} ms, the way there and back"
        f" {1000 * trip:.3g} ms. Put at least {times} times the work into one call: a list of inputs, or a larger one"
    )
