"""Studies of numbers in memory, and any view as plain values: what laws of the fold are tested on."""

import random
from typing import Any

from consilience.core.artifact import Artifact
from consilience.core.hypothesis import Hypothesis, Proposal
from consilience.core.ports import ProposalView
from consilience.core.problem import EvaluatorSpec, Objective, Parameter, Problem, Surface
from consilience.core.study import Budget, Policy, StudySettings
from consilience.testing.memory_study import MemoryStudy, Score

PROBLEM = Problem(
    name="numbers",
    goal="",
    objective=Objective(metric="score", direction="maximize"),
    surface=Surface(parameters=(Parameter(name="number", type="integer", default=0, low=0, high=10**6),)),
    evaluator=EvaluatorSpec(kind="function"),
)
POLICY = Policy(maximum_pairs=8, baseline_seeds=3)


class Numbers:
    operator = "next-number"

    def __init__(self, top: int = 60) -> None:
        self._top = top

    def applies(self, view: ProposalView) -> bool:
        return True

    def propose(self, view: ProposalView, stream: random.Random) -> Proposal:
        artifact = view.parent.artifact.with_parameters({"number": stream.randrange(1, self._top)})
        hypothesis = Hypothesis(operator=self.operator, target="number", change="another", reason="test")
        return Proposal(artifact=artifact, hypothesis=hypothesis, parents=(view.parent.candidate,))


def gauss(artifact: Artifact, seed: int) -> float:
    number = int(artifact.parameters["number"])
    return random.Random(f"{number}").gauss(0.0, 2.0) + random.Random(f"{number} {seed}").gauss(0.0, 0.3)


def with_a_cheat(artifact: Artifact, seed: int) -> float:
    """Score like `gauss`, but for numbers that end in 7, which get what nobody deserves."""
    return gauss(artifact, seed) + 50.0 * (int(artifact.parameters["number"]) % 10 == 7)


def study(seed: int, trials: int = 40, score: Score = gauss) -> MemoryStudy:
    configured = StudySettings(budget=Budget(trials=trials), seed=seed, policy=POLICY)
    made = MemoryStudy(PROBLEM, Artifact(parameters={"number": 0}), configured, (Numbers(),), score)
    made.run()
    return made


def more(made: MemoryStudy, trials: int) -> None:
    made.configure(StudySettings(budget=Budget(trials=trials), seed=made.state.study.seed, policy=POLICY))


def plain(value: Any) -> Any:
    """Return a view, private fields included, as plain values."""
    if hasattr(value, "__struct_fields__"):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "__dict__"):
        return {name: plain(item) for name, item in vars(value).items()}
    return repr(value)
