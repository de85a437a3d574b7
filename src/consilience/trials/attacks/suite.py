"""The suite: every attack against the split evaluator, and beside it against one that imports the candidate.

Rules:
    1. Nothing runs at level `none`.
    2. All attacks on one target share one executor, as the trials of a study do: what one of them breaks, the
       others and the controls between them would show.

Data flow: Sandbox, attacks -> `run_suite` -> Row for each attack, in the catalogue's order within a target.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import msgspec

from consilience.core.errors import IsolationError
from consilience.core.outcome import Execution
from consilience.core.ports import Executor, LoadedProblem
from consilience.trials.attacks.ground import Ground, open_ground
from consilience.trials.attacks.judge import Judge
from consilience.trials.attacks.model import Attack, Row, Target, Verdict
from consilience.trials.attacks.problems import common_problem, split_problem
from consilience.trials.attacks.survivors import gathering_orphans
from consilience.trials.attacks.targets import Secrets, draw_secrets, make_targets
from consilience.trials.executors.factory import make_executor
from consilience.trials.sandbox.confinement import Sandbox


class Suite:
    """The attacks of one run, on one sandbox. Open it by `open_suite`."""

    def __init__(self, sandbox: Sandbox, ground: Ground) -> None:
        self._sandbox = sandbox
        self._ground = ground
        self._hidden: Secrets = draw_secrets()
        self._targets = make_targets(self._hidden)
        self._executors: list[Executor] = []
        self._split: dict[tuple[str, Execution], Judge] = {}

    def close(self) -> None:
        """End every executor."""
        with ExitStack() as stack:  # each is closed, whatever becomes of another
            for executor in self._executors:
                stack.callback(executor.close)

    def require(self, execution: Execution) -> None:
        """Check that candidates can be started in this way here.

        Raises:
            EnvironmentLacksError: they cannot.
        """
        target = next(iter(self._targets.values()))
        make_executor(split_problem(target), self._sandbox, self._ground.work, execution).close()

    def ways(self, attack: Attack, executions: Sequence[Execution]) -> tuple[Execution, ...]:
        """Return those ways of starting candidates that the attack's target has: whole programs are started fresh."""
        whole = bool(self._targets[attack.target].outputs)
        return ("fresh",) if whole else tuple(executions)

    def against_split(self, attack: Attack, execution: Execution) -> Verdict:
        """Try an attack on the split evaluator."""
        key = attack.target, execution
        if key not in self._split:
            target = self._targets[attack.target]
            self._split[key] = self._judge(split_problem(target), execution, target)
            self._split[key].control()  # starts what is kept warm, so that it is not taken for a survivor
        return self._split[key].attempt(attack, attack.program)

    def against_in_process(self, attack: Attack) -> Verdict:
        """Try an attack on an evaluator that imports the candidate, with both in one sandbox."""
        target = self._targets[attack.target]
        evaluator = attack.common.replace("<NUMBER>", repr(self._hidden.number)) or target.evaluator
        judge = self._judge(common_problem(target, attack.shape, evaluator), "fresh", target)
        return judge.attempt(attack, attack.common_program or attack.program)

    def _judge(self, loaded: LoadedProblem, execution: Execution, target: Target) -> Judge:
        loaded = msgspec.structs.replace(loaded, interpreter=self._sandbox.interpreter.executable)
        executor = make_executor(loaded, self._sandbox, self._ground.work, execution)
        self._executors.append(executor)
        metric = loaded.problem.objective.metric
        return Judge(executor, self._ground, metric, target.honest, fresh=execution == "fresh")


@contextmanager
def open_suite(sandbox: Sandbox) -> Iterator[Suite]:
    """Set the canaries and open a suite; everything it started and wrote is gone afterwards.

    Raises:
        IsolationError: the sandbox is of level `none`, where these programs would do what they try.
    """
    if sandbox.level == "none":
        raise IsolationError(
            "attacks run in a proved sandbox only, and this one is of level 'none'",
            hint="consilience doctor says what is missing",
        )
    with gathering_orphans(), open_ground() as ground:
        suite = Suite(sandbox, ground)
        try:
            yield suite
        finally:
            suite.close()


def run_suite(suite: Suite, attacks: Iterable[Attack], executions: Sequence[Execution]) -> Iterator[Row]:
    """Try the attacks one after another, on both kinds of evaluator.

    Args:
        suite: an open one.
        attacks: from the catalogue.
        executions: the ways in which candidates of the split evaluator are started.
    """
    for attack in attacks:
        split = tuple(suite.against_split(attack, execution) for execution in suite.ways(attack, executions))
        beside = suite.against_in_process(attack)
        yield Row(number=attack.number, name=attack.name, split=split, in_process=beside)
