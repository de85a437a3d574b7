"""Starting a study: probe the sandbox, choose executor and proposers, run, and report.

The composition root proper: here, and nowhere else, concrete parts are chosen.

Rules:
    1. The isolation level is proved before anything runs; below the policy's minimum nothing runs.
    2. Going without a sandbox has to be asked for by name, and is written into the journal.

Data flow: LoadedProblem + Settings -> Session, Sandbox, Executor, Runner -> Stop.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path

from msgspec.structs import replace

from consilience.core.errors import ConsilienceError
from consilience.core.outcome import LEVEL_RANK, Isolation
from consilience.core.ports import Executor, LoadedProblem, Proposer
from consilience.core.study import StudySettings
from consilience.node.beliefs import ExecutionChoice, choose_execution, repeats_belief
from consilience.node.clock import SystemClock
from consilience.node.opening import Holding, environment_of, open_executor
from consilience.node.places import UserPlaces
from consilience.node.runner import Runner
from consilience.node.session import Session
from consilience.node.settings import Settings
from consilience.problems.companion import grants_file
from consilience.problems.granting import check_secrets
from consilience.search.proposers import default_proposers

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


class Run:
    """A study on this machine: a session, an executor and the runner between them."""

    def __init__(self, session: Session, executor: Executor, *, choice: ExecutionChoice, python_wasm: str = "") -> None:
        self.session = session
        self.choice = choice
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
        stated = [Path(text).expanduser() for text in (settings.value("state"), settings.value("key")) if text]
        check_secrets(loaded, stated, grants_file(loaded.root))
        session = Session.open(loaded, settings, places, clock=SystemClock(), passphrase=passphrase)
        try:
            study, choice = _as_believed(session)
            wasm = settings.value("python_wasm")
            work = session.folder / "work"
            with open_executor(loaded, study, places, work, Holding(unsafe=unsafe, python_wasm=wasm)) as executor:
                yield cls(session, executor, choice=choice, python_wasm=wasm)
        finally:
            session.close()

    @property
    def isolation(self) -> Isolation:
        """How candidates are held in this run."""
        return self._executor.isolation

    def start(self) -> None:
        """Record the run, its environment and its isolation."""
        environment = environment_of(self.session.loaded, self._executor, self._python_wasm)
        self.runner.start(environment, self.isolation)

    def work(self) -> str:
        """Work until the study stops; return why.

        Raises:
            BaselineError: the artifact as given has no score.
        """
        return self.runner.run(self._executor).reason


def _as_believed(session: Session) -> tuple[StudySettings, ExecutionChoice]:
    """Return the study's settings with how candidates are started, and why."""
    study = session.state.study
    belief = repeats_belief(session.loaded.problem, session.beliefs, session.author)
    choice = choose_execution(study.policy.execution, belief)
    return replace(study, policy=replace(study.policy, execution=choice.execution)), choice


def _without_sandbox(settings: Settings) -> Settings:
    """Let the journal say that the policy's minimum was lowered, and by what."""
    lowered = settings.resolved["minimum_isolation"]
    if LEVEL_RANK["none"] == LEVEL_RANK[lowered.value]:
        return settings
    return settings.replaced("minimum_isolation", "none", "--unsafe-no-sandbox")
