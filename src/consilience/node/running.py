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
from consilience.trials.environment import describe_environment, in_wasm
from consilience.trials.executors.factory import make_executor
from consilience.trials.executors.folders import remove
from consilience.trials.executors.with_gpu import GpuExecutor, devices_of
from consilience.trials.sandbox.confinement import Sandbox
from consilience.trials.sandbox.probe import cached_probe, open_sandbox, require_level, unsafe_sandbox
from consilience.trials.sandbox.tools import find_tools
from consilience.trials.sandbox.wasm_module import runtime_name

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


def choose_sandbox(
    interpreter: str, study: StudySettings, places: UserPlaces, *, unsafe: bool, python_wasm: str = ""
) -> Sandbox:
    """Return the sandbox that the policy allows on this machine.

    Args:
        interpreter: absolute path of the Python that will run confined.
        study: whose policy decides.
        places: the user's folders.
        unsafe: whether the user asked for no sandbox.
        python_wasm: the user's own CPython-WASI; "" takes the packaged one.

    Raises:
        IsolationError: the proved level is below the policy's minimum.
    """
    if unsafe:
        return unsafe_sandbox(interpreter)
    tools = find_tools(python_wasm) if python_wasm else None
    probe = cached_probe(interpreter, cache_dir=places.cache, tools=tools)
    require_level(probe, study.policy.minimum_isolation)
    return open_sandbox(probe)


@contextmanager
def open_executor(
    loaded: LoadedProblem,
    study: StudySettings,
    places: UserPlaces,
    work_dir: Path,
    *,
    unsafe: bool,
    python_wasm: str = "",
) -> Iterator[Executor]:
    """Open the executor for a problem; everything it started and wrote is gone afterwards.

    Raises:
        IsolationError, EnvironmentLacksError: the machine does not allow it.
    """
    interpreter = loaded.interpreter or sys.executable
    sandbox = choose_sandbox(interpreter, study, places, unsafe=unsafe, python_wasm=python_wasm)
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

    def __init__(self, session: Session, executor: Executor, *, python_wasm: str = "") -> None:
        self.session = session
        self.runner = Runner(session, discover_proposers())
        self._executor = executor
        self._python_wasm = python_wasm

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
            wasm = settings.value("python_wasm")
            work = session.folder / "work"
            with open_executor(loaded, study, places, work, unsafe=unsafe, python_wasm=wasm) as executor:
                yield cls(session, executor, python_wasm=wasm)
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
        if self.isolation.level == "wasm":
            environment = in_wasm(environment, runtime_name(find_tools(self._python_wasm).wasm))
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
