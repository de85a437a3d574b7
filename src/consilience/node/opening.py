"""Opening an executor on this machine: choose the sandbox, lay grants and devices over it, clean up afterwards.

Rules:
    1. The isolation level is proved before anything runs; below the policy's minimum nothing runs.
    2. What the problem opens of this machine is checked against what its score hangs on.
    3. Everything that an executor started, leased or wrote is gone when it is closed.

Data flow: LoadedProblem, StudySettings, Holding -> Sandbox -> Executor.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from consilience.core.ports import Executor, LoadedProblem
from consilience.core.study import StudySettings
from consilience.node.devices import guarded
from consilience.node.places import STATE_NAME, UserPlaces
from consilience.node.secrets import redactor
from consilience.problems.companion import grants_file
from consilience.problems.granting import check_secrets
from consilience.trials.environment import EnvironmentDescription, describe_environment, in_wasm
from consilience.trials.executors.factory import make_executor
from consilience.trials.executors.folders import remove
from consilience.trials.executors.interpreters import executable_of
from consilience.trials.executors.with_gpu import GpuExecutor, devices_of
from consilience.trials.observing.observer import Observer
from consilience.trials.sandbox.confinement import Sandbox
from consilience.trials.sandbox.probe import cached_probe, open_sandbox, require_level, unsafe_sandbox
from consilience.trials.sandbox.tools import Tools, find_tools
from consilience.trials.sandbox.wasm_module import runtime_name


class Holding(Struct, frozen=True, kw_only=True):
    """How this process wants candidates to be held, beyond the study's policy.

    Attributes:
        unsafe: the user asked by name for no sandbox.
        python_wasm: the user's own CPython-WASI; "" takes the packaged one.
        observer: watches the trials, to tell what they were denied.
    """

    unsafe: bool = False
    python_wasm: str = ""
    observer: Observer | None = None


_AS_THE_POLICY_SAYS = Holding()


def choose_sandbox(interpreter: str, study: StudySettings, places: UserPlaces, holding: Holding) -> Sandbox:
    """Return the sandbox that the policy allows on this machine.

    Args:
        interpreter: absolute path of the Python that will run confined.
        study: whose policy decides.
        places: the user's folders.
        holding: what this process asks for.

    Raises:
        IsolationError: the proved level is below the policy's minimum.
    """
    if holding.unsafe:
        return unsafe_sandbox(interpreter)
    probe = cached_probe(interpreter, cache_dir=places.cache, tools=tools_with(holding.python_wasm))
    require_level(probe, study.policy.minimum_isolation)
    sandbox = open_sandbox(probe)
    return holding.observer.watch(sandbox) if holding.observer is not None else sandbox


def tools_with(python_wasm: str) -> Tools | None:
    """Return what sandboxes are built from, with the user's own CPython-WASI; None for what the machine has."""
    return find_tools(python_wasm) if python_wasm else None


@contextmanager
def open_executor(
    loaded: LoadedProblem,
    study: StudySettings,
    places: UserPlaces,
    work_dir: Path,
    holding: Holding = _AS_THE_POLICY_SAYS,
) -> Iterator[Executor]:
    """Open the executor for a problem, in the strongest sandbox of this machine.

    Args:
        loaded: the problem.
        study: its policy decides over the sandbox, devices, and how candidates are started.
        places: the user's folders.
        work_dir: where temporary files lie; emptied first.
        holding: what this process asks for.

    Raises:
        ProblemError: a grant would open what the score hangs on.
        IsolationError, EnvironmentLacksError: the machine does not allow it.
    """
    sandbox = choose_sandbox(executable_of(loaded.interpreter), study, places, holding)
    with open_executor_in(sandbox, loaded, study, places, work_dir) as executor:
        yield executor


@contextmanager
def open_executor_in(
    sandbox: Sandbox, loaded: LoadedProblem, study: StudySettings, places: UserPlaces, work_dir: Path
) -> Iterator[Executor]:
    """Open the executor for a problem in a sandbox that was chosen.

    Raises:
        ProblemError: a grant would open what the score hangs on.
        EnvironmentLacksError: the machine lacks what the problem needs.
    """
    check_secrets(loaded, (places.key, places.marks, loaded.root / STATE_NAME, work_dir), grants_file(loaded.root))
    remove(work_dir)  # what a killed run left behind
    work_dir.mkdir(parents=True)
    with guarded(loaded.grants, study.policy, sandbox, places.leases) as guard:
        # a device cannot be handed on to a forked candidate
        inner = make_executor(loaded, guard or sandbox, work_dir, "fresh" if guard else study.policy.execution)
        executor = GpuExecutor(inner, guard) if guard else inner
        try:
            yield executor
        finally:
            executor.close()
            remove(work_dir)


def environment_of(loaded: LoadedProblem, executor: Executor, python_wasm: str = "") -> EnvironmentDescription:
    """Describe what an executor's trials are measured with; its digest names the description as it is stored, redacted.

    Raises:
        EnvironmentLacksError: the interpreter cannot be run.
    """
    environment = describe_environment(loaded.interpreter, loaded.problem.data, devices_of(executor))
    if executor.isolation.level == "wasm":
        environment = in_wasm(environment, runtime_name(find_tools(python_wasm).wasm))
    return msgspec.convert(redactor().value(msgspec.to_builtins(environment)), EnvironmentDescription)
