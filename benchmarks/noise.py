"""Promotion under noise: false promotions, power, and what a candidate costs, beside keep-if-better.

Every study runs the product's own engine in memory on one parameter whose value is the candidate's number,
so that each candidate is new. All candidates have the same true score, but for one that is planted after a
random trial of the first half. The naive rule sees the very same streams: it keeps a candidate whose one
run beats the best run so far. Every kind of noise has mean 0 and deviation 1.

    python benchmarks/noise.py             the whole table (some minutes)
    python benchmarks/noise.py --smoke     the two bars, 20 studies each
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
BAR_STUDIES = 20
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


def unlucky(stream: random.Random) -> float:
    """Exponential towards bad luck: the t-test's weak side where the candidate's spread is the larger."""
    return -skewed(stream)


def heavy(stream: random.Random) -> float:
    """Student's t with 5 degrees, scaled to deviation 1."""
    chi = sum(stream.gauss(0.0, 1.0) ** 2 for _ in range(5))
    return stream.gauss(0.0, 1.0) / math.sqrt(chi / 5.0) / math.sqrt(5.0 / 3.0)


def coarse(stream: random.Random) -> float:
    """Two values, one of them in five runs of six: five equal baseline runs are common (40 % of studies)."""
    return (float(stream.random() < 1 / 6) - 1 / 6) * 6 / math.sqrt(5.0)


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
    candidates: int
    trials_per_candidate: float


class Study:
    """One seeded study of a case."""

    def __init__(self, case: Case, seed: int) -> None:
        self._case = case
        self._seed = seed
        self._plant_after = derive_stream(seed, "place").randrange(TRIALS // 2)
        self._planted = -1
        self._runs = 0
        self._order: dict[int, int] = {}
        self._first_runs: list[float] = []

    def score(self, artifact: Artifact, seed: int) -> float:
        """Return a noisy score; candidates are counted in the order of their first run."""
        case, number = self._case, int(artifact.parameters["number"])
        new = number not in self._order
        order = self._order.setdefault(number, len(self._order))
        if new and order and self._planted < 0 and self._runs >= self._plant_after:
            self._planted = number
        self._runs += 1
        own = case.noise(derive_stream(self._seed, "own", number, seed))
        common = case.noise(derive_stream(self._seed, "common", seed))
        spread = 2.0 if case.uneven and order % 2 else 1.0
        noise = math.sqrt(case.shared) * common + math.sqrt(1.0 - case.shared) * own * spread
        value = noise + (case.gain if number == self._planted else 0.0)
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
            candidates=len(state.members) - 1,
            trials_per_candidate=(state.trials - state.study.policy.baseline_seeds) / max(judged, 1),
        )

    def _is_planted(self, study: MemoryStudy, candidate: str) -> bool:
        return self._case.gain > 0 and int(study.artifact(candidate).parameters["number"]) == self._planted


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


def share(hits: int, count: int) -> str:
    """Return a proportion in words, with its interval."""
    low, high = wilson(hits, count)
    return f"{hits}/{count} [{low:.3f}, {high:.3f}]"


def report(case: Case, seeds: range) -> list[Result]:
    """Run a case over its seeds and print its row."""
    results = [Study(case, seed).run() for seed in seeds]
    count = len(results)
    false = share(sum(result.false_promotions > 0 for result in results), count)
    found = share(sum(result.found for result in results), count) if case.gain else "-"
    naive = sum(result.naive_promotions for result in results) / count
    fooled = sum(result.naive_promotions > 0 for result in results)
    candidates = sum(result.candidates for result in results) / count
    cost = sum(result.trials_per_candidate for result in results) / count
    print(
        f"{case.name:<36} {seeds.start}..{seeds.stop - 1:<5} {false:<24} {found:<24} "
        f"{naive:>5.1f} in {fooled}/{count:<5} {candidates:>6.0f} {cost:>8.2f}",
        flush=True,
    )
    return results


NULL = Case(name="equal, normal noise")
PLANTED = Case(name="gain of 2 deviations", gain=2.0)
CASES = (
    NULL,
    Case(name="equal, exponential noise", noise=skewed),
    Case(name="equal, exponential to bad luck", noise=unlucky),
    Case(name="equal, Student noise, 5 degrees", noise=heavy),
    Case(name="equal, two-valued noise", noise=coarse),
    Case(name="equal, half the noise per seed", shared=0.5),
    Case(name="equal, every other spread doubled", uneven=True),
    Case(name="the same, exponential to bad luck", noise=unlucky, uneven=True),
    PLANTED,
    Case(name="gain of 1 deviation", gain=1.0),
    Case(name="gain of 0.5 deviations", gain=0.5),
    Case(name="gain of 2, half the noise per seed", gain=2.0, shared=0.5),
)


def main() -> int:
    """Print the table; fail when a bar is missed."""
    parser = argparse.ArgumentParser(description="promotion under noise")
    parser.add_argument("--smoke", action="store_true", help="the two bars only, 20 studies each")
    parser.add_argument(
        "--studies", type=int, default=200, help="studies of each case, half as many where a gain is planted"
    )
    arguments = parser.parse_args()
    print(f"{TRIALS} trials a study; intervals are 95 % (Wilson 1927)")
    heads = (f"{'studies with a false promotion':<31}", f"{'planted gain found':<24}", "keep-if-better keeps")
    print(f"{'case':<36} {'seeds':<8}", *heads, "  candidates, trials of each")
    cases = (NULL, PLANTED) if arguments.smoke else CASES
    equal = BAR_STUDIES if arguments.smoke else arguments.studies
    counts = {case.name: max(equal // 2, BAR_STUDIES) if case.gain else equal for case in cases}
    tables = {case.name: report(case, range(counts[case.name])) for case in cases}
    false = sum(result.false_promotions > 0 for result in tables[NULL.name][:BAR_STUDIES])
    found = sum(result.found for result in tables[PLANTED.name][:BAR_STUDIES])
    print(
        f"bars, seeds 0..{BAR_STUDIES - 1}: false in {false} of 20 studies (at most 1), "
        f"planted found in {found} of 20 (at least 16)"
    )
    return 0 if false <= 1 and found >= 16 else 1


if __name__ == "__main__":
    raise SystemExit(main())
