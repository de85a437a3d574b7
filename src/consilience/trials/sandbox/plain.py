"""Level `none`: an ordinary process below a warden, with resource limits. It is no sandbox.

Rules:
    1. Used only where the user asked for it by name; the level travels with every outcome.
    2. The code can read and write what its user can, and reach the network; `may_fork` is not enforced.
    3. Real root's powers are taken from it first.
    4. Its descendants are still found and killed, unless one of them kills the warden first.

Data flow: Confinement -> launcher's settings -> warden -> launcher -> target.
"""

from __future__ import annotations

from consilience.core.outcome import IsolationLevel
from consilience.trials.sandbox.cgroups import Place
from consilience.trials.sandbox.command import environment_settings, launcher_for, limit_settings, parse_command
from consilience.trials.sandbox.confinement import Confinement
from consilience.trials.sandbox.interpreter import Interpreter
from consilience.trials.sandbox.limits import resource_limits, room, sums, tree_group, whole_tree_ceiling
from consilience.trials.sandbox.process import HeldProcess
from consilience.trials.sandbox.root import is_real_root, without_root
from consilience.trials.sandbox.spawn import Settings, Streams, make_links, require_paths, spawn, warden_line


class PlainSandbox:
    """Starts processes with limits and without isolation."""

    level: IsolationLevel = "none"

    def __init__(self, interpreter: Interpreter, place: Place | None = None) -> None:
        self.interpreter = interpreter
        self.place = place

    def start(self, confinement: Confinement, *, stdin: int, stdout: int, stderr: int) -> HeldProcess:
        """Start the process below a warden; as root, without root's powers.

        Raises:
            EnvironmentLacksError: a path of the confinement does not exist, or nothing can be started.
            IsolationError: we are root, and there is no way to take root's powers from it.
        """
        require_paths(confinement)
        make_links(confinement.scratch, confinement.links)
        settings = [*limit_settings(resource_limits(confinement, count_tasks=False)), "with-parent=1"]
        settings += environment_settings(confinement.late_environment)
        if is_real_root():
            settings += without_root(confinement, self.interpreter)
        command = parse_command(confinement.argv, self.interpreter.executable)
        line = command.line(self.interpreter.executable, tuple(settings), launcher_for(self.interpreter))
        return start_below_warden(line, confinement, Streams(stdin, stdout, stderr), self.place)


def start_below_warden(
    line: tuple[str, ...], confinement: Confinement, streams: Streams, place: Place | None
) -> HeldProcess:
    """Start a command line in the confinement's folder and environment, below a warden."""
    with Settings() as settings, tree_group(confinement, place) as group:
        outer, report = warden_line(line, confinement.environment, settings)
        kept = sums(whole_tree_ceiling(confinement), room(confinement), group)
        process = spawn(
            group.entering(outer) if group else outer,
            streams,
            environment={},
            descriptors=settings.descriptors,
            folder=confinement.work_dir,
        )
        return HeldProcess(process, kept, report=settings.kept_copy(report))
