"""The doctor: what this machine can do for a run, what is missing, and how to mend it.

Rules:
    1. Isolation is found by running the canaries, never by looking for a program.
    2. Each finding that is not in order says how to mend it.

Data flow: machine, user's folders, problem -> findings -> `consilience doctor`.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

from consilience.core.errors import ConsilienceError
from consilience.core.outcome import LEVEL_RANK, Outcome
from consilience.core.ports import Grants, LoadedProblem, TrialRequest
from consilience.core.study import StudySettings
from consilience.identity.keystore import load
from consilience.journal.reader import JOURNAL_NAME
from consilience.node.denied import denied
from consilience.node.doctor_gpu import examine_gpu
from consilience.node.findings import Finding, Health
from consilience.node.opening import Holding, open_executor
from consilience.node.places import UserPlaces, state_folder
from consilience.node.settings import Settings
from consilience.node.upkeep import verify
from consilience.trials.executors.interpreters import executable_of
from consilience.trials.observing.denials import Denials
from consilience.trials.observing.observer import Observer
from consilience.trials.sandbox.cgroups import Lack, find_place
from consilience.trials.sandbox.probe import LevelReport, probe_sandboxes
from consilience.trials.sandbox.tools import find_tools

_LEAST_FREE_MB = 500
_SLOWED = ("timeout", "cpu_limit")  # a watch costs time for each file that is opened
_EXTRAS = {"pandas": "data frames", "pyarrow": "Parquet export", "sklearn": "scikit-learn problems"}


def examine(loaded: LoadedProblem | None, settings: Settings, places: UserPlaces, passphrase: str) -> Iterator[Finding]:
    """Yield the findings, the machine's first, then the problem's."""
    found = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    yield Finding(name="python", health="ok", found=found)
    yield from _isolation(loaded, settings)
    yield _key(settings, places, passphrase)
    yield _folder("settings", places.settings.parent)
    yield _folder("feed marks", places.marks)
    for module, use in _EXTRAS.items():
        yield _extra(module, use)
    grants = loaded.grants if loaded else Grants()
    yield from examine_gpu(grants, places.leases, allowed=settings.value("allow_gpu"))
    if loaded is not None:
        yield from _problem(loaded, settings, places)


def _isolation(loaded: LoadedProblem | None, settings: Settings) -> Iterator[Finding]:
    interpreter = executable_of(loaded.interpreter if loaded else "")
    try:
        wasm = settings.value("python_wasm")
        probe = probe_sandboxes(interpreter, tools=find_tools(wasm) if wasm else None, every=True)
    except ConsilienceError as error:
        yield Finding(name="isolation", health="failed", found=error.message, mend=error.hint)
        return
    minimum = settings.value("minimum_isolation")
    health: Health = "ok" if LEVEL_RANK[probe.level] >= LEVEL_RANK[minimum] else "failed"
    yield Finding(name="isolation", health=health, found=f"{probe.level} (policy demands {minimum})")
    for report in probe.reports:
        yield _level(report)
    yield _trees()


def _level(report: LevelReport) -> Finding:
    name = f"level {report.level}"
    if report.held:
        by = f" by {report.tool}" if report.tool else ""
        return Finding(name=name, health="ok", found=f"{len(report.canaries)} canaries held{by}")
    return Finding(name=name, health="warning", found=report.reason, mend=report.mend)


def _trees() -> Finding:
    """Say who keeps the limits of programs that start processes."""
    place = find_place()
    if isinstance(place, Lack):
        found = f"memory and process limits are soft, checked every 50 ms: {place.reason}"
        return Finding(name="process trees", health="warning", found=found, mend=place.mend)
    found = f"memory and process limits are hard: control groups (v{place.version})"
    return Finding(name="process trees", health="ok", found=found)


def _key(settings: Settings, places: UserPlaces, passphrase: str) -> Finding:
    path = Path(settings.value("key")).expanduser() if settings.value("key") else places.key
    if not path.exists():
        return Finding(name="key", health="ok", found=f"none yet; the first run makes {path}")
    try:
        return Finding(name="key", health="ok", found=load(path, passphrase).did)
    except ConsilienceError as error:
        return Finding(name="key", health="failed", found=error.message, mend=error.hint)


def _folder(name: str, folder: Path) -> Finding:
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not os.access(existing, os.W_OK):
        return Finding(name=name, health="failed", found=f"{existing} cannot be written", mend="make it writable")
    free_mb = shutil.disk_usage(existing).free // 2**20
    if free_mb < _LEAST_FREE_MB:
        return Finding(name=name, health="warning", found=f"{free_mb} MB free at {existing}", mend="free some space")
    return Finding(name=name, health="ok", found=f"{folder} ({free_mb} MB free)")


def _extra(module: str, use: str) -> Finding:
    if importlib.util.find_spec(module) is not None:
        return Finding(name=module, health="ok", found=f"installed ({use})")
    extra = "demo" if module == "sklearn" else "data"
    return Finding(name=module, health="warning", found=f"absent: no {use}", mend=f"pip install 'consilience[{extra}]'")


def _problem(loaded: LoadedProblem, settings: Settings, places: UserPlaces) -> Iterator[Finding]:
    problem = loaded.problem
    found = f"{problem.name}: {problem.objective.direction} {problem.objective.metric} ({problem.evaluator.kind})"
    yield Finding(name="problem", health="ok", found=found)
    for warning in loaded.warnings:
        yield Finding(name="problem", health="warning", found=warning)
    state = state_folder(loaded.root, settings.value("state"))
    yield _folder("state", state)
    if (state / JOURNAL_NAME).exists():
        yield _journal(state, places)
    yield from _baseline(loaded, settings, places, state)


def _journal(state: Path, places: UserPlaces) -> Finding:
    try:
        report = verify(state, places)
    except ConsilienceError as error:
        return Finding(name="journal", health="failed", found=error.message, mend=error.hint)
    if report.fault is not None:
        mend = "restore it from `consilience backup`"
        return Finding(name="journal", health="failed", found=str(report.fault), mend=mend)
    return Finding(name="journal", health="ok", found=f"{report.events} events, every signature and link holds")


def _baseline(loaded: LoadedProblem, settings: Settings, places: UserPlaces, state: Path) -> Iterator[Finding]:
    """Run the artifact as given once, outside the journal, and tell what it was denied."""
    study = settings.study(loaded.study.policy)
    try:
        outcome, denials = _watched(loaded, study, places, state / "doctor", settings.value("python_wasm"))
    except ConsilienceError as error:
        yield Finding(name="baseline", health="failed", found=error.message, mend=error.hint)
        return
    except OSError as error:
        yield Finding(name="baseline", health="failed", found=str(error), mend="make the folder writable")
        return
    yield _result(loaded, outcome)
    yield from denied(loaded, outcome, denials)


def _watched(
    loaded: LoadedProblem, study: StudySettings, places: UserPlaces, work_dir: Path, wasm: str
) -> tuple[Outcome, Denials]:
    """Run one trial under watch; where the watch may have stood in its way, once more without."""
    limits = loaded.problem.limits
    request = TrialRequest(artifact=loaded.baseline, seed=study.seed, limits=limits, fresh=True)
    observer = Observer()
    with open_executor(loaded, study, places, work_dir, Holding(python_wasm=wasm, observer=observer)) as executor:
        outcome = executor.run(request)
    denials = observer.denials()
    slowed = outcome.failure is not None and outcome.failure.reason in _SLOWED
    if not observer.watching or outcome.ok or (denials.complete and not slowed):
        return outcome, denials
    with open_executor(loaded, study, places, work_dir, Holding(python_wasm=wasm)) as executor:
        return executor.run(request), denials


def _result(loaded: LoadedProblem, outcome: Outcome) -> Finding:
    if outcome.failure is not None:
        message = outcome.failure.message
        last = next((line for line in outcome.log.strip().splitlines()[-1:] if line.strip() not in message), "")
        found = f"{outcome.failure.reason}: {message} {last}".strip()
        return Finding(name="baseline", health="failed", found=found, mend="mend the artifact or the evaluator")
    metric = loaded.problem.objective.metric
    score = outcome.metrics.get(metric)
    found = f"{metric} = {score:g}" if score is not None else f"no {metric} among {sorted(outcome.metrics)}"
    health: Health = "ok" if score is not None else "failed"
    return Finding(name="baseline", health=health, found=f"{found} in {outcome.resources.wall_ms} ms")
