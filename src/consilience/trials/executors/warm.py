"""Decides for each trial whether it is forked from a warm process or started fresh, and keeps the warm process.

Rules:
    1. `fork` is used only inside a sandbox of level `restricted` or `strong`, where Landlock can confine the child.
    2. Where forking does not work, `auto` starts fresh processes and the outcome says so; `fork` is an error.
    3. The first child of the first warm process tries the canaries; where one is reached, nothing is forked.
    4. A warm process serves one request at a time and is replaced once it is broken.

Data flow: policy, Sandbox, baseline's imports -> Warm -> Zygote or None.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from consilience.core.artifact import Artifact
from consilience.core.errors import EnvironmentLacksError
from consilience.core.outcome import LEVEL_RANK, Execution
from consilience.core.study import ExecutionPolicy
from consilience.trials.executors.fork_canaries import run_fork_canaries
from consilience.trials.executors.interpreters import generators_in
from consilience.trials.executors.zygote import Plan, Zygote, ZygoteBrokenError
from consilience.trials.sandbox.confinement import Sandbox
from consilience.trials.sandbox.landlock import REQUIRED_ABI, landlock_abi

_ATTEMPTS = 3  # a warm process that breaks this often in a row is given up


class Warm:
    """The warm process of one executor, started when it is first needed."""

    def __init__(self, sandbox: Sandbox, plan: Plan, work_dir: Path, policy: ExecutionPolicy) -> None:
        """Choose how to start candidates.

        Raises:
            EnvironmentLacksError: the policy demands forking where it cannot be confined.
        """
        self._sandbox = sandbox
        self._plan = plan
        self._work_dir = work_dir
        self._policy = policy
        self._zygote: Zygote | None = None
        self._broken = 0
        self._proved = False
        self._uncharged_ms = 0
        self.reason = "the policy says so" if policy == "fresh" else _lacks(sandbox, plan)
        if policy == "fork" and self.reason:
            raise _refusal(self.reason)

    @property
    def execution(self) -> Execution:
        """How the next candidate will be started."""
        return "fresh" if self.reason else "fork"

    def zygote(self) -> Zygote | None:
        """Return the warm process, started if need be; None where candidates are started fresh.

        Raises:
            EnvironmentLacksError: the policy demands forking, and it does not work.
        """
        if self._zygote is not None and self._zygote.broken:
            self._give_up("it broke while it served candidates")
        while self._zygote is None and not self.reason:
            try:
                self._zygote = Zygote(self._sandbox, self._plan, self._work_dir)
                self._uncharged_ms += self._zygote.start_cpu_ms
                self._prove(self._zygote)
            except ZygoteBrokenError as error:
                self._note(str(error))
        return self._zygote

    def served(self) -> int:
        """Note that a candidate was served well; return the CPU milliseconds of a start not yet charged to a trial.

        Budgets are totals: the trial that needed the start is charged for it.
        """
        self._broken = 0
        started, self._uncharged_ms = self._uncharged_ms, 0
        return started

    def excuse(self) -> None:
        """Replace a broken warm process without a mark against forking.

        The candidate that broke it failed in a process of its own too. Otherwise a few such candidates in a row
        would end forking, or the study, for all that come after them.
        """
        if self._zygote is not None and self._zygote.broken:
            self.close()

    def close(self) -> None:
        """End the warm process."""
        if self._zygote is not None:
            self._zygote.close()
        self._zygote = None

    def _prove(self, zygote: Zygote) -> None:
        """Run the canaries in a child, once; where one is reached, candidates are started fresh from now on."""
        if self._proved:
            return
        lost = [canary for canary in run_fork_canaries(zygote, self._plan.interpreter) if not canary.held]
        self._proved = True
        if lost:
            self.close()
            self._refuse(f"a canary was reached by a forked candidate: {lost[0].name} ({lost[0].detail})")

    def _give_up(self, reason: str) -> None:
        self.close()
        self._note(reason)

    def _note(self, reason: str) -> None:
        self._broken += 1
        if self._broken < _ATTEMPTS:
            return
        self._refuse(reason)

    def _refuse(self, reason: str) -> None:
        self.reason = reason
        if self._policy == "fork":
            raise _refusal(reason)


def preloads(artifact: Artifact) -> tuple[str, ...]:
    """Name the modules that an artifact's Python files import, but for its own; a file that is no Python has none."""
    texts = [file.text for file in artifact.files if file.path.endswith(".py")]
    own = {PurePosixPath(file.path).parts[0].removesuffix(".py") for file in artifact.files}
    names = {name for text in texts for name in _imports(text) if name.split(".")[0] not in own}
    return tuple(sorted({*names, *generators_in(texts)}))


def _imports(text: str) -> Iterable[str]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def _lacks(sandbox: Sandbox, plan: Plan) -> str:
    """Say why candidates cannot be forked in this sandbox, or ""."""
    if LEVEL_RANK[sandbox.level] < LEVEL_RANK["restricted"]:
        return f"level {sandbox.level} does not confine a forked process"
    if landlock_abi() < REQUIRED_ABI:
        return f"a forked process is confined by Landlock, of which ABI {REQUIRED_ABI} or later is needed"
    if plan.grants.scratch or plan.grants.gpus:
        return "the problem's own writable places and devices would be shared between candidates"
    return ""


def _refusal(reason: str) -> EnvironmentLacksError:
    return EnvironmentLacksError(
        f"candidates cannot be forked from a warm process here: {reason}",
        hint="leave execution at auto, or set it to fresh",
    )
