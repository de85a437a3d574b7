"""What a problem opens of this machine, laid over each confinement: one place for every executor.

Rules:
    1. Executors know nothing of grants: the sandbox that they are given adds them to whatever it starts.
    2. Inside, ``HOME`` stays the trial's own scratch folder. A place below the user's home that may be read is linked
       there too, so that ``~/.cache/x`` is found by both of its names.
    3. A scratch place below the home is the trial's own folder at every level; any other needs mounts (`strong`).

Data flow: LoadedProblem.grants + Confinement -> `grant` -> Confinement -> the sandbox behind.
"""

from __future__ import annotations

from pathlib import Path

from msgspec import structs

from consilience.core.errors import EnvironmentLacksError
from consilience.core.outcome import IsolationLevel
from consilience.core.ports import Grants, LoadedProblem
from consilience.trials.sandbox.confinement import ConfinedProcess, Confinement, Sandbox
from consilience.trials.sandbox.interpreter import Interpreter


class GrantedSandbox:
    """A sandbox that adds one problem's grants to each process that it starts."""

    def __init__(self, sandbox: Sandbox, loaded: LoadedProblem) -> None:
        self._sandbox = sandbox
        self._loaded = loaded

    @property
    def level(self) -> IsolationLevel:
        """The level that its canaries proved."""
        return self._sandbox.level

    @property
    def interpreter(self) -> Interpreter:
        """The interpreter whose files are readable inside."""
        return self._sandbox.interpreter

    def start(self, confinement: Confinement, *, stdin: int, stdout: int, stderr: int) -> ConfinedProcess:
        """Start the process with three file descriptors and no other.

        Raises:
            EnvironmentLacksError: the machine could not start it.
        """
        granted = grant(confinement, self._loaded, self.level)
        return self._sandbox.start(granted, stdin=stdin, stdout=stdout, stderr=stderr)


def with_grants(sandbox: Sandbox, loaded: LoadedProblem) -> Sandbox:
    """Return the sandbox for this problem: as it is where nothing is granted.

    Raises:
        EnvironmentLacksError: a granted path is not on this machine.
    """
    require_granted(loaded.grants)
    closed = loaded.grants == Grants() and not loaded.problem.environment
    return sandbox if closed else GrantedSandbox(sandbox, loaded)


def grant(confinement: Confinement, loaded: LoadedProblem, level: IsolationLevel = "strong") -> Confinement:
    """Return the confinement with the problem's places and variables.

    Args:
        confinement: what the executor asks for.
        loaded: the problem.
        level: that of the sandbox; without mounts (all but `strong`) home is only what `HOME` says it is.
    """
    grants = loaded.grants
    home = Path.home()
    own = grants.scratch if level == "strong" else tuple(path for path in grants.scratch if not _at_home(path, grants))
    return structs.replace(
        confinement,
        readable=(*confinement.readable, *grants.readable),
        own_scratch=(*confinement.own_scratch, *own),
        scratch_mb=grants.scratch_mb or confinement.scratch_mb,
        late_environment={**confinement.late_environment, **loaded.problem.environment},
        links={**confinement.links, **home_links(grants, home)},
    )


def _at_home(path: str, grants: Grants) -> bool:
    """Tell whether the trial's own home folder stands for a scratch place: below the home, not in a read-only one."""
    return _below(path, Path.home()) and not any(_below(path, Path(each)) for each in grants.readable)


def home_links(grants: Grants, home: Path) -> dict[str, str]:
    """Return each readable place below the home, by its path there: the outermost ones.

    A scratch place below the home needs none: the trial's own home is empty and writable.
    """
    below = {str(Path(path).relative_to(home)): path for path in grants.readable if _below(path, home)}
    return {
        name: path for name, path in below.items() if not any(_below(path, Path(other)) for other in below.values())
    }


def require_granted(grants: Grants) -> None:
    """See that each granted path is here.

    Raises:
        EnvironmentLacksError: one is not.
    """
    for path in grants.readable:
        if not Path(path).exists():
            raise EnvironmentLacksError(
                f"sandbox.readable names {path}, which does not exist on this machine",
                hint="put it there (a trial has no network to fetch it), or take it out of [sandbox]",
            )
    for path in grants.scratch:
        above = next((each for each in grants.readable if _below(path, Path(each))), "")
        if above and not Path(path).is_dir():
            raise EnvironmentLacksError(
                f"sandbox.scratch names {path}, which does not exist in the read-only {above}",
                hint=f"make it once: mkdir -p {path}",
            )


def _below(path: str, folder: Path) -> bool:
    return Path(path) != folder and Path(path).is_relative_to(folder)
