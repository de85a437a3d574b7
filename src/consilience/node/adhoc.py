"""Ad-hoc trials: a candidate over some seeds, outside the study and its journal.

Rules:
    1. Nothing is journalled: what a person tries by hand is no result of the study.
    2. Isolation may be named exactly, weaker than the strongest too; going without a sandbox has a flag of its own.
    3. The comparison with the baseline is a figure, not a verdict: only contests promote.

Data flow: candidate's name, seeds, isolation -> Executor -> outcomes -> AdhocReport.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Literal

from msgspec import Struct, structs

from consilience.core.artifact import artifact_id
from consilience.core.chance import panel_seed
from consilience.core.errors import NotFoundError, UsageError
from consilience.core.outcome import IsolationLevel, Outcome
from consilience.core.plausibility import beyond_bound
from consilience.core.ports import Executor, LoadedProblem, TrialRequest
from consilience.core.problem import problem_id
from consilience.core.study import ExecutionPolicy, StudySettings
from consilience.node.comparing import Comparison, compare
from consilience.node.opening import Holding, choose_sandbox, environment_of, open_executor_in, tools_with
from consilience.node.picking import Picked, pick_candidate
from consilience.node.places import UserPlaces, state_folder
from consilience.node.reading import StudyReader
from consilience.node.settings import Settings
from consilience.search.noise import noise_floor
from consilience.trials.executors.interpreters import executable_of
from consilience.trials.sandbox.confinement import Sandbox
from consilience.trials.sandbox.exact import exact_sandbox
from consilience.trials.sandbox.probe import unsafe_sandbox


class AdhocWish(Struct, frozen=True, kw_only=True):
    """What is asked for.

    Attributes:
        candidate: see `node.picking`.
        isolation: exactly this level; "" leaves the choice to the policy.
        count: how many seeds of the study's panel; 0 is as many as measure the baseline.
        seeds: exactly these seeds, instead.
        execution: `fresh` or `fork` is demanded; `auto` leaves it to the executor.
        unsafe: without a sandbox.
    """

    candidate: str
    isolation: IsolationLevel | Literal[""] = ""
    count: int = 0
    seeds: tuple[int, ...] = ()
    execution: ExecutionPolicy = "auto"
    unsafe: bool = False


class AdhocTrial(Struct, frozen=True, kw_only=True):
    """One seed's outcome. `score` is None after a failure; `implausible` says why it cannot be true."""

    seed: int
    score: float | None
    implausible: str
    outcome: Outcome


class AdhocReport(Struct, frozen=True, kw_only=True):
    """All trials of one candidate. `spread` is the sample's standard deviation, None below two scores."""

    problem: str
    candidate: str
    source: str
    metric: str
    unit: str
    direction: str
    trials: list[AdhocTrial]
    mean: float | None
    spread: float | None
    comparison: Comparison | None
    journalled: bool = False

    @property
    def complete(self) -> bool:
        """Tell whether every trial has a score."""
        return all(trial.score is not None for trial in self.trials)


Seen = Callable[[AdhocTrial], None]


def run_adhoc(
    loaded: LoadedProblem, wish: AdhocWish, settings: Settings, places: UserPlaces, seen: Seen
) -> AdhocReport:
    """Run a candidate over its seeds; `seen` is told each trial as it ends.

    Raises:
        UsageError, NotFoundError: the wish contradicts itself, or names nothing.
        IsolationError, EnvironmentLacksError: this machine cannot run it so.
    """
    _check(wish)
    state, wasm = state_folder(loaded.root, settings.value("state")), settings.value("python_wasm")
    reader = _open_reader(state, loaded)
    with closing(reader) if reader else nullcontext():
        picked = pick_candidate(wish.candidate, loaded, reader)
        study = _study(loaded, settings, reader, wish)
        bench = _Bench(loaded=structs.replace(loaded, study=study), places=places, state=state, python_wasm=wasm)
        trials, platform = _run_trials(bench, picked, wish, seen)
        comparison = compare(bench.loaded, platform, _scores(trials), reader) if reader else None
        return _report(loaded, picked, trials, comparison)


def _check(wish: AdhocWish) -> None:
    if wish.count and wish.seeds:
        raise UsageError("--seeds and --seed exclude each other", hint="give a number of seeds, or the seeds")
    if wish.isolation == "none" and not wish.unsafe:
        hint = "for code that you trust: --unsafe-no-sandbox"
        raise UsageError("isolation none is no isolation, and has to be asked for by name", hint=hint)
    if wish.unsafe and wish.isolation not in ("", "none"):
        raise UsageError(f"--unsafe-no-sandbox and --isolation {wish.isolation} exclude each other", hint="give one")


def _open_reader(state: Path, loaded: LoadedProblem) -> StudyReader | None:
    try:
        return StudyReader.open(state, problem_id(loaded.problem))
    except NotFoundError:
        return None  # nothing has been run yet, or the problem was another one then


def _study(loaded: LoadedProblem, settings: Settings, reader: StudyReader | None, wish: AdhocWish) -> StudySettings:
    """Return the study's own seed and policy where it has run, but for what this command is told itself."""
    stated = settings.study(loaded.study.policy)
    ran = reader.search.settings if reader else None
    study = ran or stated
    policy = structs.replace(study.policy, minimum_isolation=stated.policy.minimum_isolation, execution=wish.execution)
    return structs.replace(study, policy=policy)


class _Bench(Struct, frozen=True, kw_only=True):
    """What the trials of one wish are run with: the problem with the study's settings, and this machine's places."""

    loaded: LoadedProblem
    places: UserPlaces
    state: Path
    python_wasm: str


def _run_trials(bench: _Bench, picked: Picked, wish: AdhocWish, seen: Seen) -> tuple[list[AdhocTrial], str]:
    """Run them, and return them with the class of platform that they were measured on."""
    loaded, state = bench.loaded, bench.state
    is_new = not state.exists()
    work = state / f"adhoc-{os.getpid()}"
    trials = []
    try:
        with open_executor_in(_sandbox(bench, wish), loaded, loaded.study, bench.places, work) as executor:
            platform = environment_of(loaded, executor, bench.python_wasm).platform_class
            for seed in _seeds(loaded.study, wish):
                trials.append(_trial(executor, loaded, picked, seed, fresh=wish.execution == "fresh"))
                seen(trials[-1])
    finally:
        if is_new and state.is_dir() and not any(state.iterdir()):
            state.rmdir()
    return trials, platform


def _sandbox(bench: _Bench, wish: AdhocWish) -> Sandbox:
    interpreter = executable_of(bench.loaded.interpreter)
    if wish.unsafe:
        return unsafe_sandbox(interpreter)
    if wish.isolation:
        return exact_sandbox(interpreter, wish.isolation, tools=tools_with(bench.python_wasm))
    return choose_sandbox(interpreter, bench.loaded.study, bench.places, Holding(python_wasm=bench.python_wasm))


def _seeds(study: StudySettings, wish: AdhocWish) -> tuple[int, ...]:
    """Return the seeds asked for, else the first of the study's panel."""
    if wish.seeds:
        return tuple(dict.fromkeys(wish.seeds))
    count = wish.count or study.policy.baseline_seeds
    return tuple(dict.fromkeys(panel_seed(study.seed, index) for index in range(count)))


def _trial(executor: Executor, loaded: LoadedProblem, picked: Picked, seed: int, *, fresh: bool) -> AdhocTrial:
    objective, limits = loaded.problem.objective, loaded.problem.limits
    outcome = executor.run(TrialRequest(artifact=picked.artifact, seed=seed, limits=limits, fresh=fresh))
    score = outcome.metrics.get(objective.metric) if outcome.ok else None
    beyond = "" if score is None else beyond_bound(objective, score, loaded.study.policy.bound)
    return AdhocTrial(seed=seed, score=score, implausible=beyond, outcome=outcome)


def _scores(trials: list[AdhocTrial]) -> dict[int, float]:
    return {trial.seed: trial.score for trial in trials if trial.score is not None}


def _report(
    loaded: LoadedProblem, picked: Picked, trials: list[AdhocTrial], comparison: Comparison | None
) -> AdhocReport:
    objective = loaded.problem.objective
    scores = _scores(trials)
    spread = noise_floor(tuple(scores.values()))
    return AdhocReport(
        problem=problem_id(loaded.problem),
        candidate=artifact_id(picked.artifact),
        source=picked.source,
        metric=objective.metric,
        unit=objective.unit,
        direction=objective.direction,
        trials=trials,
        mean=spread.mean if scores else None,
        spread=spread.deviation if len(scores) > 1 else None,
        comparison=comparison,
    )
