"""Level `none`: an ordinary process below a warden, with resource limits. It is no sandbox.

Rules:
    1. Used only where the user asked for it by name; the level travels with every outcome.
    2. The code can read and write what its user can, and reach the network; `may_fork` is not enforced.
    3. Its descendants are still found and killed, unless one of them kills the warden first.

Data flow: Confinement -> launcher's settings -> warden -> launcher -> target.
"""

from __future__ import annotations

from consilience.core.outcome import IsolationLevel
from consilience.trials.sandbox.command import environment_settings, limit_settings, parse_command
from consilience.trials.sandbox.confinement import Confinement
from consilience.trials.sandbox.interpreter import Interpreter
from consilience.trials.sandbox.limits import resource_limits, whole_tree_ceiling
from consilience.trials.sandbox.process import HeldProcess
from consilience.trials.sandbox.spawn import Settings, Streams, make_links, require_paths, spawn, warden_line


class PlainSandbox:
    """Starts processes with limits and without isolation."""

    level: IsolationLevel = "none"

    def __init__(self, interpreter: Interpreter) -> None:
        self.interpreter = interpreter

    def start(self, confinement: Confinement, *, stdin: int, stdout: int, stderr: int) -> HeldProcess:
        """Start the process below a warden.

        Raises:
            EnvironmentLacksError: a path of the confinement does not exist, or nothing can be started.
        """
        require_paths(confinement)
        make_links(confinement.scratch, confinement.links)
        command = parse_command(confinement.argv, self.interpreter.executable)
        variables = environment_settings(confinement.late_environment)
        limits = (*limit_settings(resource_limits(confinement, count_tasks=False)), *variables)
        return start_below_warden(
            command.line(self.interpreter.executable, limits), confinement, Streams(stdin, stdout, stderr)
        )


def start_below_warden(line: tuple[str, ...], confinement: Confinement, streams: Streams) -> HeldProcess:
    """Start a command line in the confinement's folder and environment, below a warden."""
    with Settings() as settings:
        outer, report = warden_line(line, confinement.environment, settings)
        process = spawn(outer, streams, environment={}, descriptors=settings.descriptors, folder=confinement.work_dir)
        return HeldProcess(process, ceiling=whole_tree_ceiling(confinement), report=settings.kept_copy(report))
