"""The Python face: a study to run, to ask and tell, and to look at.

::

    study = consilience.study("my-problem", trials=200)
    study.run()

    trial = study.ask()                  # or score candidates yourself
    study.tell(trial, {"error": 0.12})

    def error(parameters, seed):         # or let a function of your own score them
        return (parameters["x"] - 1) ** 2

    study.evaluate_with(error, unsafe_no_sandbox=True)

Rules:
    1. The journal is open only while something is written; looking never blocks another process.
    2. Every result told from outside says so (domain `told`), and is never ranked with results of trials.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct, structs

from consilience.core.artifact import Artifact
from consilience.core.errors import EnvironmentLacksError, UsageError
from consilience.core.events import Event
from consilience.core.outcome import Failure, Isolation, Outcome
from consilience.core.ports import TrialRequest
from consilience.core.problem import problem_id
from consilience.node.clock import SystemClock
from consilience.node.exporting import trial_records
from consilience.node.places import state_folder, user_places
from consilience.node.reading import StudyReader
from consilience.node.reports import BoardReport, Summary, board, summary
from consilience.node.rerunning import RerunReport, rerun
from consilience.node.runner import Runner
from consilience.node.running import Run, discover_proposers
from consilience.node.session import Session
from consilience.node.settings import PASSPHRASE, Settings, problem_layer, read_user_file, resolve
from consilience.problems.load import LoadOptions, load_problem
from consilience.search.engine import RunTrial
from consilience.trials.environment import describe_environment

if TYPE_CHECKING:
    from consilience.trials.executors.pool import PoolExecutor
    from consilience.trials.executors.pool_worker import Evaluate

_TOLD = Isolation(level="none", domain="told")


class Trial(Struct, frozen=True, kw_only=True):
    """A trial to be scored outside: this artifact under this seed."""

    number: int
    seed: int
    artifact: Artifact
    started: str

    @property
    def parameters(self) -> dict[str, Any]:
        """The candidate's parameter values."""
        return dict(self.artifact.parameters)


class Trials(list[dict[str, Any]]):
    """Trials as flat records, failures included."""

    def to_pandas(self) -> Any:
        """Return a pandas DataFrame with one row for each trial.

        Raises:
            EnvironmentLacksError: pandas is not installed.
        """
        try:
            import pandas as pd  # noqa: PLC0415  an extra
        except ImportError as error:
            raise EnvironmentLacksError("to_pandas needs pandas", hint="pip install 'consilience[data]'") from error
        return pd.DataFrame(list(self))


class Study:
    """A problem with the state of its study."""

    def __init__(
        self, folder: str | Path, *, options: LoadOptions, unsafe_no_sandbox: bool, flags: dict[str, Any]
    ) -> None:
        self._loaded = load_problem(Path(folder), options)
        self._places = user_places()
        self._unsafe = unsafe_no_sandbox
        stated = problem_layer(self._loaded.study, self._loaded.stated)
        user = read_user_file(self._places.settings)
        self._settings: Settings = resolve(flags, os.environ, stated, user, self._places.settings)
        self._asked: _Asked | None = None

    def run(self) -> Summary:
        """Work until the budget is spent, and return how the study stands. Running again resumes.

        Raises:
            ConsilienceError: anything that stands in the way.
        """
        self._stop_asking()
        with Run.open(
            self._loaded, self._settings, self._places, unsafe=self._unsafe, passphrase=_passphrase()
        ) as work:
            work.start()
            work.work()
        return self.summary()

    def ask(self) -> Trial:
        """Return the next trial to score outside; the same one until it is told.

        Raises:
            UsageError: the budget is spent, or nothing new was found.
        """
        found = self._asking().next()
        if not isinstance(found, Trial):
            raise UsageError(f"no trial to ask for: {found}", hint="raise the budget: study(..., trials=N)")
        return found

    def tell(self, trial: Trial, outcome: float | Mapping[str, float] | Failure) -> None:
        """Record what a trial came to: a score, metrics, or a Failure with its reason.

        Raises:
            UsageError: the trial is not the one that was asked for, or the outcome is not finite.
        """
        if self._asked is None or self._asked.pending is None or self._asked.pending.started != trial.started:
            raise UsageError(f"trial {trial.number} was not asked for, or was told before", hint="ask() first")
        metric = self._loaded.problem.objective.metric
        self._asked.finish(_told(outcome, metric))

    def evaluate_with(self, evaluate: Evaluate, *, unsafe_no_sandbox: bool) -> Summary:
        """Score candidates by a function of your own until the budget is spent, and return how the study stands.

        The function runs in a worker forked from this process, which is killed at the trial's limits. It is not
        sandboxed: it is your code, not a candidate's. Results are told (domain `told`), as by `tell`.

        Args:
            evaluate: parameter values by name and a seed in, a number or numbers by name out.
            unsafe_no_sandbox: True says that you know that.

        Raises:
            UsageError: not said, or the problem's candidates are files: those are not this process's own code.
            EnvironmentLacksError: pebble is not installed.
        """
        from consilience.trials.executors.pool import PoolExecutor  # noqa: PLC0415  most studies need no pool

        if not unsafe_no_sandbox:
            raise UsageError("the function would run without a sandbox", hint="say unsafe_no_sandbox=True")
        if self._loaded.problem.surface.files:
            raise UsageError("this problem's candidates are files", hint="run() runs them in the sandbox")
        folder = state_folder(self._loaded.root, self._settings.value("state")) / "work"
        with closing(PoolExecutor(evaluate, self._loaded.problem.objective.metric, folder)) as pool:
            self._score_all(pool)
        return self.summary()

    def _score_all(self, pool: PoolExecutor) -> None:
        asked = self._asking()
        while isinstance(trial := asked.next(), Trial):
            request = TrialRequest(artifact=trial.artifact, seed=trial.seed, limits=self._loaded.problem.limits)
            asked.finish(structs.replace(pool.run(request), isolation=_TOLD))
        self._stop_asking()

    def close(self) -> None:
        """Let other processes write. A trial that was asked for and not told is released by the next run."""
        self._stop_asking()

    def rerun(self, trial: int | str) -> RerunReport:
        """Run a recorded trial again, by its number, or all trials of a candidate, by its id; journalled as evidence.

        Raises:
            NotFoundError: no such trial.
            ConsilienceError: it cannot be re-run, or not as it was held.
        """
        self._stop_asking()
        unsafe, passphrase = self._unsafe, _passphrase()
        return rerun(self._loaded, str(trial), self._settings, self._places, passphrase=passphrase, unsafe=unsafe)

    @property
    def best(self) -> Artifact:
        """The incumbent: the best that was promoted, or the baseline.

        Raises:
            NotFoundError: nothing has been measured yet.
        """
        reader = self._read()
        try:
            return reader.artifact(reader.incumbent().candidate)
        finally:
            reader.close()

    @property
    def trials(self) -> Trials:
        """Every trial, in order."""
        reader = self._read()
        try:
            return Trials(trial_records(reader))
        finally:
            reader.close()

    def summary(self) -> Summary:
        """Return how the study stands."""
        reader = self._read()
        try:
            return summary(reader)
        finally:
            reader.close()

    def board(self) -> BoardReport:
        """Return the rankings."""
        reader = self._read()
        try:
            return board(reader)
        finally:
            reader.close()

    def _read(self) -> StudyReader:
        folder = state_folder(self._loaded.root, self._settings.value("state"))
        return StudyReader.open(folder, problem_id(self._loaded.problem))

    def _open(self) -> Session:
        return Session.open(self._loaded, self._settings, self._places, clock=SystemClock(), passphrase=_passphrase())

    def _asking(self) -> _Asked:
        if self._asked is None:
            session = self._open()
            try:
                self._asked = _Asked(session)
            except BaseException:
                session.close()
                raise
        return self._asked

    def _stop_asking(self) -> None:
        asked, self._asked = self._asked, None
        if asked is not None:
            asked.close()


class _Asked:
    """An open session whose trials are scored outside."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._runner = Runner(session, discover_proposers())
        self._runner.start(describe_environment(), _TOLD)
        self._step: RunTrial | None = None
        self._started: Event | None = None
        self.pending: Trial | None = None

    def next(self) -> Trial | str:
        """Return the trial to score, or why there is none."""
        if self.pending is None:
            step = self._runner.advance()
            if not isinstance(step, RunTrial):
                self._session.commit()
                return step.message
            self._step, self._started = step, self._runner.begin(step)
            candidate = self._session.state.members[step.proposed].body.candidate
            self.pending = Trial(
                number=step.number,
                seed=step.seed,
                artifact=self._session.read_artifact(candidate),
                started=self._started.id,
            )
        return self.pending

    def finish(self, outcome: Outcome) -> None:
        if self._step is None or self._started is None:
            raise UsageError("no trial was asked for")
        self._runner.finish(self._step, self._started, outcome)
        self._session.commit()
        self._step = self._started = self.pending = None

    def close(self) -> None:
        self._runner.end("drained", "asked and told")
        self._session.close()


def study(
    folder: str | Path, *, options: LoadOptions | None = None, unsafe_no_sandbox: bool = False, **flags: Any
) -> Study:
    """Open a problem folder as a study.

    Args:
        folder: own format, OpenEvolve or autoresearch layout.
        options: what a folder without problem.toml does not say itself.
        unsafe_no_sandbox: run candidates without a sandbox; journalled.
        flags: settings by name, such as ``trials=200``, ``wall_seconds="10m"``, ``seed=7``.

    Raises:
        ProblemError, SettingError: the folder or a setting is wrong.
    """
    return Study(folder, options=options or LoadOptions(), unsafe_no_sandbox=unsafe_no_sandbox, flags=flags)


def _told(outcome: float | Mapping[str, float] | Failure, metric: str) -> Outcome:
    if isinstance(outcome, Failure):
        return Outcome(failure=outcome, isolation=_TOLD)
    metrics = (
        {name: float(value) for name, value in outcome.items()}
        if isinstance(outcome, Mapping)
        else {metric: float(outcome)}
    )
    for name, value in metrics.items():
        if not math.isfinite(value):
            failure = Failure(reason="non_finite", message=f"{name} = {value}")
            return Outcome(failure=failure, isolation=_TOLD)
    return Outcome(metrics=metrics, isolation=_TOLD)


def _passphrase() -> str:
    return os.environ.get(PASSPHRASE, "")
