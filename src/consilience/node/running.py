"""Starting a study: probe the sandbox, choose executor and proposers, run, and report.

The composition root proper: here, and nowhere else, concrete parts are chosen.

Rules:
    1. The isolation level is proved before anything runs; below the policy's minimum nothing runs.
    2. Going without a sandbox has to be asked for by name, and is written into the journal.

Data flow: LoadedProblem + Settings -> Session, Sandbox, Executor, Runner -> Stop.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path

from consilience.core.errors import ConsilienceError
from consilience.core.outcome import LEVEL_RANK, Isolation
from consilience.core.ports import Executor, LoadedProblem, Proposer
from consilience.core.study import StudySettings
from consilience.node.clock import SystemClock
from consilience.node.devices import guarded
from consilience.node.places import UserPlaces
from consilience.node.runner import Runner
from consilience.node.session import Session
from consilience.node.settings import Settings
from consilience.search.proposers import default_proposers
from consilience.trials.environment import describe_environment
from consilience.trials.executors.factory import make_executor
from consilience.trials.executors.folders import remove
from consilience.trials.executors.with_gpu import GpuExecutor, devices_of
from consilience.trials.sandbox.confinement import Sandbox
from consilience.trials.sandbox.probe import cached_probe, open_sandbox, require_level, unsafe_sandbox

ENTRY_POINTS = "consilience"


def discover_proposers() -> tuple[Proposer, ...]:
    """Return the built-in proposers and those that installed packages add (entry-point group `consilience`).

    Raises:
        ConsilienceError: a plug-in does not load, or is no proposer.
    """
    found: list[Proposer] = list(default_proposers())
    for entry in entry_points(group=ENTRY_POINTS):
        if not entry.name.startswith("proposer-"):
            continue
        proposer = entry.load()()
        if not isinstance(proposer, Proposer):
            raise ConsilienceError(f"plug-in {entry.value} is no Proposer", hint="see consilience.core.ports.Proposer")
        found.append(proposer)
    return tuple(found)


def choose_sandbox(interpreter: str, study: StudySettings, places: UserPlaces, *, unsafe: bool) -> Sandbox:
    """Return the sandbox that the policy allows on this machine.

    Raises:
        IsolationError: the proved level is below the policy's minimum.
    """
    if unsafe:
        return unsafe_sandbox(interpreter)
    probe = cached_probe(interpreter, cache_dir=places.cache)
    require_level(probe, study.policy.minimum_isolation)
    return open_sandbox(probe)


@contextmanager
def open_executor(
    loaded: LoadedProblem, study: StudySettings, places: UserPlaces, work_dir: Path, *, unsafe: bool
) -> Iterator[Executor]:
    """Open the executor for a problem; everything it started and wrote is gone afterwards.

    Raises:
        IsolationError, EnvironmentLacksError: the machine does not allow it.
    """
    sandbox = choose_sandbox(loaded.interpreter or sys.executable, study, places, unsafe=unsafe)
    remove(work_dir)  # what a killed run left behind
    work_dir.mkdir(parents=True)
    with guarded(loaded.grants, study.policy, sandbox, places.leases) as guard:
        inner = make_executor(loaded, guard or sandbox, work_dir, "fresh" if guard else study.policy.execution)
        executor = GpuExecutor(inner, guard) if guard else inner
        try:
            yield executor
        finally:
            executor.close()
            remove(work_dir)


class Run:
    """A study on this machine: a session, an executor and the runner between them."""

    def __init__(self, session: Session, executor: Executor) -> None:
        self.session = session
        self.runner = Runner(session, discover_proposers())
        self._executor = executor

    @classmethod
    @contextmanager
    def open(
        cls,
        loaded: LoadedProblem,
        settings: Settings,
        places: UserPlaces,
        *,
        unsafe: bool = False,
        passphrase: str = "",
    ) -> Iterator[Run]:
        """Open everything that a run needs, and close it afterwards.

        Raises:
            ConsilienceError: anything that stands in the way, before a trial is spent.
        """
        settings = _without_sandbox(settings) if unsafe else settings
        session = Session.open(loaded, settings, places, clock=SystemClock(), passphrase=passphrase)
        try:
            study = session.state.study
            with open_executor(loaded, study, places, session.folder / "work", unsafe=unsafe) as executor:
                yield cls(session, executor)
        finally:
            session.close()

    @property
    def isolation(self) -> Isolation:
        """How candidates are held in this run."""
        return self._executor.isolation

    def start(self) -> None:
        """Record the run, its environment and its isolation."""
        loaded = self.session.loaded
        devices = devices_of(self._executor)
        environment = describe_environment(loaded.interpreter, loaded.problem.data, devices)
        self.runner.start(environment, self.isolation)

    def work(self) -> str:
        """Work until the study stops; return why.

        Raises:
            BaselineError: the artifact as given has no score.
        """
        return self.runner.run(self._executor).reason


def _without_sandbox(settings: Settings) -> Settings:
    """Let the journal say that the policy's minimum was lowered, and by what."""
    lowered = settings.resolved["minimum_isolation"]
    if LEVEL_RANK["none"] == LEVEL_RANK[lowered.value]:
        return settings
    return settings.replaced("minimum_isolation", "none", "--unsafe-no-sandbox")
