"""Ad-hoc trials: a candidate over some seeds, outside the study and its journal.

Rules:
    1. Nothing is journalled: what a person tries by hand is no result of the study.
    2. Isolation may be named exactly, weaker than the strongest too; going without a sandbox has a flag of its own.
    3. The comparison with the baseline is a figure, not a verdict: only contests promote.

Data flow: candidate's name, seeds, isolation -> Executor -> outcomes -> AdhocReport.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Literal

from msgspec import Struct, structs

from consilience.core.artifact import artifact_id
from consilience.core.bodies import ASIDE
from consilience.core.chance import derive_seed
from consilience.core.errors import EnvironmentLacksError, NotFoundError, UsageError
from consilience.core.outcome import IsolationLevel, Outcome
from consilience.core.plausibility import beyond_bound
from consilience.core.ports import Executor, LoadedProblem, TrialRequest
from consilience.core.problem import comparability_key, problem_id
from consilience.core.study import ExecutionPolicy, StudySettings
from consilience.node.opening import Holding, choose_sandbox, open_executor_in
from consilience.node.picking import Picked, pick_candidate
from consilience.node.places import UserPlaces, state_folder
from consilience.node.reading import StudyReader
from consilience.node.repeats import floors_of
from consilience.node.settings import Settings
from consilience.search.noise import NoiseFloor, noise_floor
from consilience.trials.environment import platform_class
from consilience.trials.sandbox.confinement import Sandbox
from consilience.trials.sandbox.exact import exact_sandbox
from consilience.trials.sandbox.probe import unsafe_sandbox

Clearance = Literal["clears the noise floor", "within the noise floor", "no gain"]


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


class Comparison(Struct, frozen=True, kw_only=True):
    """The candidate's mean beside the baseline's, over the seeds that both have, or over all without a common one."""

    baseline: float
    gain: float
    floor: float
    pairs: int
    clearance: Clearance


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
    state = state_folder(loaded.root, settings.value("state"))
    reader = _open_reader(state, loaded)
    with closing(reader) if reader else nullcontext():
        picked = pick_candidate(wish.candidate, loaded, reader)
        study = _study(loaded, settings, reader, wish)
        trials = _run_trials(structs.replace(loaded, study=study), picked, wish, places, (state, seen))
        return _report(loaded, picked, study, trials, reader)


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


def _run_trials(
    loaded: LoadedProblem, picked: Picked, wish: AdhocWish, places: UserPlaces, told: tuple[Path, Seen]
) -> list[AdhocTrial]:
    state, seen = told
    is_new = not state.exists()
    work = state / f"adhoc-{os.getpid()}"
    trials = []
    try:
        with open_executor_in(_sandbox(loaded, wish, places), loaded, loaded.study, places, work) as executor:
            _check_execution(executor, wish)
            for seed in _seeds(loaded.study, wish):
                trials.append(_trial(executor, loaded, picked, seed, fresh=wish.execution == "fresh"))
                seen(trials[-1])
    finally:
        if is_new and state.is_dir() and not any(state.iterdir()):
            state.rmdir()
    return trials


def _sandbox(loaded: LoadedProblem, wish: AdhocWish, places: UserPlaces) -> Sandbox:
    interpreter = loaded.interpreter or sys.executable
    if wish.unsafe:
        return unsafe_sandbox(interpreter)
    if wish.isolation:
        return exact_sandbox(interpreter, wish.isolation)
    return choose_sandbox(interpreter, loaded.study, places, Holding())


def _check_execution(executor: Executor, wish: AdhocWish) -> None:
    if wish.execution == "fork" and executor.isolation.execution != "fork":
        raise EnvironmentLacksError(
            "candidates of this problem cannot be forked from a warm process here",
            hint="--execution fresh starts one for each trial, or leave the choice: --execution auto",
        )


def _seeds(study: StudySettings, wish: AdhocWish) -> tuple[int, ...]:
    """Return the seeds asked for, else the first of the study's panel, as `SearchState.panel_seed` draws it."""
    if wish.seeds:
        return tuple(dict.fromkeys(wish.seeds))
    count = wish.count or study.policy.baseline_seeds
    return tuple(dict.fromkeys(derive_seed(study.seed, "panel", index) for index in range(count)))


def _trial(executor: Executor, loaded: LoadedProblem, picked: Picked, seed: int, *, fresh: bool) -> AdhocTrial:
    objective, limits = loaded.problem.objective, loaded.problem.limits
    outcome = executor.run(TrialRequest(artifact=picked.artifact, seed=seed, limits=limits, fresh=fresh))
    score = outcome.metrics.get(objective.metric) if outcome.ok else None
    beyond = "" if score is None else beyond_bound(objective, score, loaded.study.policy.bound)
    return AdhocTrial(seed=seed, score=score, implausible=beyond, outcome=outcome)


def _report(
    loaded: LoadedProblem, picked: Picked, study: StudySettings, trials: list[AdhocTrial], reader: StudyReader | None
) -> AdhocReport:
    objective = loaded.problem.objective
    scores = {trial.seed: trial.score for trial in trials if trial.score is not None}
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
        comparison=_compare(loaded, study, scores, reader) if reader and scores else None,
    )


def _compare(
    loaded: LoadedProblem, study: StudySettings, scores: dict[int, float], reader: StudyReader
) -> Comparison | None:
    """Compare with the baseline's scores of this class of platform, where the study has measured it."""
    key = comparability_key(loaded.problem, platform_class())
    floor = floors_of(reader, key).get(loaded.problem.objective.metric)
    baseline = _baseline_scores(reader, key)
    if floor is None or not baseline:
        return None
    common = [seed for seed in scores if seed in baseline]
    mine = [scores[seed] for seed in common] or list(scores.values())
    theirs = [baseline[seed] for seed in common] or list(baseline.values())
    gain = loaded.problem.objective.gain(_mean(mine), _mean(theirs))
    least = max(_noise(floor, len(mine), len(theirs)), study.policy.minimum_gain)
    clearance: Clearance = "no gain" if gain <= 0 else "within the noise floor"
    return Comparison(
        baseline=_mean(theirs),
        gain=gain,
        floor=least,
        pairs=len(common),
        clearance="clears the noise floor" if gain > least else clearance,
    )


def _noise(floor: NoiseFloor, runs: int, others: int) -> float:
    """Return how far two means of so many runs differ by noise: one deviation, as the floor in contests."""
    return 0.0 if floor.deterministic else floor.deviation * math.sqrt(1 / runs + 1 / others)


def _baseline_scores(reader: StudyReader, key: str) -> dict[int, float]:
    metric = reader.problem.objective.metric
    event = reader.search.baseline.event if reader.search.baseline else ""
    rows = [row for row in reader.trials.rows.values() if row.proposed_event == event and row.status == "ok"]
    return {row.seed: row.metrics[metric] for row in rows if row.comparability_key == key and row.purpose not in ASIDE}


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)
