"""Promotion under noise: false promotions, power, and what a candidate costs, beside keep-if-better.

Every study runs the product's own engine in memory on one parameter whose value is the candidate's number,
so that each candidate is new. All candidates have the same true score, but for one that is planted at a
random place in the first half. The naive rule sees the very same streams: it keeps a candidate whose one
run beats the best run so far.

    python benchmarks/noise.py             the whole table (some minutes)
    python benchmarks/noise.py --smoke     the two bars with few studies
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Callable

from msgspec import Struct

from consilience.core.artifact import Artifact
from consilience.core.chance import derive_stream
from consilience.core.hypothesis import Hypothesis, Proposal
from consilience.core.ports import ProposalView
from consilience.core.problem import EvaluatorSpec, Objective, Parameter, Problem, Surface
from consilience.core.study import Budget, Policy, StudySettings
from consilience.testing.memory_study import MemoryStudy

TRIALS = 400
FIRST_HALF = 60  # candidates that surely come within the first half of a study's trials
PROBLEM = Problem(
    name="noise",
    goal="tell a gain from noise",
    objective=Objective(metric="score", direction="maximize"),
    surface=Surface(parameters=(Parameter(name="number", type="integer", default=0, low=0, high=10**6),)),
    evaluator=EvaluatorSpec(kind="function"),
)

Noise = Callable[[random.Random], float]


def gaussian(stream: random.Random) -> float:
    """Standard normal."""
    return stream.gauss(0.0, 1.0)


def skewed(stream: random.Random) -> float:
    """Exponential, centred, with deviation 1."""
    return stream.expovariate(1.0) - 1.0


def heavy(stream: random.Random) -> float:
    """Student's t with 5 degrees, scaled to deviation 1."""
    chi = sum(stream.gauss(0.0, 1.0) ** 2 for _ in range(5))
    return stream.gauss(0.0, 1.0) / math.sqrt(chi / 5.0) / math.sqrt(5.0 / 3.0)


class Case(Struct, frozen=True, kw_only=True):
    """One kind of study.

    `gain` is the planted gain in deviations of one run, `shared` the share of variance that all candidates
    have in common on a seed; `uneven` doubles the spread of every other candidate.
    """

    name: str
    noise: Noise = gaussian
    gain: float = 0.0
    shared: float = 0.0
    uneven: bool = False


class Numbers:
    """A proposer whose candidates are 1, 2, 3 and so on."""

    operator = "next-number"

    def applies(self, view: ProposalView) -> bool:  # noqa: ARG002  the protocol's
        """Always."""
        return True

    def propose(self, view: ProposalView, stream: random.Random) -> Proposal:
        """Offer a number that was not offered before."""
        artifact = view.parent.artifact.with_parameters({"number": stream.randint(1, 10**6)})
        hypothesis = Hypothesis(operator=self.operator, target="number", change="another", reason="simulation")
        return Proposal(artifact=artifact, hypothesis=hypothesis, parents=(view.parent.candidate,))


class Result(Struct, frozen=True, kw_only=True):
    """What came of one study."""

    false_promotions: int
    found: bool
    naive_promotions: int
    trials_per_candidate: float


class Study:
    """One seeded study of a case."""

    def __init__(self, case: Case, seed: int) -> None:
        self._case = case
        self._seed = seed
        self._place = derive_stream(seed, "place").randrange(FIRST_HALF) + 1
        self._order: dict[int, int] = {}
        self._first_runs: list[float] = []

    def score(self, artifact: Artifact, seed: int) -> float:
        """Return a noisy score; candidates are counted in the order of their first run."""
        number = int(artifact.parameters["number"])
        new = number not in self._order
        order = self._order.setdefault(number, len(self._order))
        case = self._case
        own = case.noise(derive_stream(self._seed, "own", number, seed))
        common = case.noise(derive_stream(self._seed, "common", seed))
        spread = 2.0 if case.uneven and order % 2 else 1.0
        noise = math.sqrt(case.shared) * common + math.sqrt(1.0 - case.shared) * own * spread
        value = noise + (case.gain if order == self._place else 0.0)
        if new:
            self._first_runs.append(value)
        return value

    def run(self) -> Result:
        """Run it to the end of its budget."""
        settings = StudySettings(budget=Budget(trials=TRIALS), seed=self._seed, policy=Policy())
        study = MemoryStudy(PROBLEM, Artifact(parameters={"number": 0}), settings, (Numbers(),), self.score)
        study.run()
        state = study.state
        promoted = [m for m in state.members.values() if m.verdict == "promoted"]
        planted = [m for m in promoted if self._is_planted(study, m.body.candidate)]
        judged = sum(member.verdict != "" for member in state.members.values())
        return Result(
            false_promotions=len(promoted) - len(planted),
            found=bool(planted),
            naive_promotions=_naive(self._first_runs),
            trials_per_candidate=(state.trials - state.study.policy.baseline_seeds) / max(judged, 1),
        )

    def _is_planted(self, study: MemoryStudy, candidate: str) -> bool:
        return self._order[int(study.artifact(candidate).parameters["number"])] == self._place and self._case.gain > 0


def _naive(scores: list[float]) -> int:
    best, kept = scores[0], 0
    for score in scores[1:]:
        if score > best:
            best, kept = score, kept + 1
    return kept


def wilson(hits: int, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a proportion (Wilson 1927)."""
    z = 1.96
    centre = (hits + z * z / 2) / (count + z * z)
    half = z * math.sqrt(hits * (count - hits) / count + z * z / 4) / (count + z * z)
    return max(centre - half, 0.0), min(centre + half, 1.0)


def report(case: Case, seeds: range) -> list[Result]:
    """Run a case over its seeds and print its row."""
    results = [Study(case, seed).run() for seed in seeds]
    count = len(results)
    false = sum(result.false_promotions > 0 for result in results)
    found = sum(result.found for result in results)
    low, high = wilson(false, count)
    power = f"{found}/{count} [{wilson(found, count)[0]:.2f}, {wilson(found, count)[1]:.2f}]" if case.gain else "-"
    naive = sum(result.naive_promotions for result in results) / count
    cost = sum(result.trials_per_candidate for result in results) / count
    print(
        f"{case.name:<34} {seeds.start}..{seeds.stop - 1:<6} {false}/{count} [{low:.3f}, {high:.3f}]  "
        f"{power:<22} {naive:>6.1f} {cost:>8.2f}",
        flush=True,
    )
    return results


CASES = (
    Case(name="equal, normal noise"),
    Case(name="equal, exponential noise", noise=skewed),
    Case(name="equal, Student noise, 5 degrees", noise=heavy),
    Case(name="equal, half the noise per seed", shared=0.5),
    Case(name="equal, every other spread doubled", uneven=True),
    Case(name="gain of 2 deviations", gain=2.0),
    Case(name="gain of 1 deviation", gain=1.0),
    Case(name="gain of 0.5 deviations", gain=0.5),
    Case(name="gain of 2, half per seed", gain=2.0, shared=0.5),
)


def main() -> int:
    """Print the table; fail when a bar is missed."""
    parser = argparse.ArgumentParser(description="promotion under noise")
    parser.add_argument("--smoke", action="store_true", help="the two bars with 20 studies each")
    parser.add_argument("--studies", type=int, default=200, help="studies of each case")
    arguments = parser.parse_args()
    print(f"{TRIALS} trials a study; intervals are 95 % (Wilson)")
    print(f"{'case':<34} {'seeds':<9} {'any false promotion':<22} {'planted found':<22} {'naive':>6} {'trials':>8}")
    print(f"{'':<34} {'':<9} {'(studies)':<22} {'(studies)':<22} {'keeps':>6} {'/ cand.':>8}")
    count = 20 if arguments.smoke else arguments.studies
    cases = (CASES[0], CASES[5]) if arguments.smoke else CASES
    tables = {case.name: report(case, range(count)) for case in cases}
    false = sum(result.false_promotions > 0 for result in tables[CASES[0].name][:20])
    found = sum(result.found for result in tables[CASES[5].name][:20])
    print(
        f"bars, seeds 0..19: false in {false} of 20 studies (at most 1), planted found in {found} of 20 (at least 16)"
    )
    return 0 if false <= 1 and found >= 16 else 1


if __name__ == "__main__":
    raise SystemExit(main())
