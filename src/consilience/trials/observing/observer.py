"""The observer: makes a sandbox whose trials are watched, and gives back what they were denied.

Rules:
    1. Only a bubblewrap sandbox is watched: at other levels the host's files are in sight, if not in reach.
    2. Where the kernel does not let anybody watch, the sandbox stays as it is and `complete` says so.
    3. The watching filter takes the place of bubblewrap's own; it is put on by the launcher, before the target's
       first line.

Data flow: Observer.watch(sandbox) -> trial -> Observer.denials().
"""

from __future__ import annotations

import platform
import socket
from pathlib import Path

from msgspec import structs

from consilience.trials.observing.calls import WATCHED
from consilience.trials.observing.denials import Denials, Ledger
from consilience.trials.observing.listener import SECCOMP_CALL, can_ask
from consilience.trials.observing.supervisor import Supervisor
from consilience.trials.sandbox.bubblewrap import BubblewrapSandbox
from consilience.trials.sandbox.command import Command
from consilience.trials.sandbox.confinement import Confinement, Sandbox
from consilience.trials.sandbox.seccomp import FilterProfile, build_observing_filter
from consilience.trials.sandbox.spawn import Settings

_JOIN_SECONDS = 5.0


class Observer:
    """Watches the trials of one executor."""

    def __init__(self) -> None:
        self._home = Path.home()
        self._ledger = Ledger(self._home)
        self._supervisors: list[Supervisor] = []
        self._watching = False

    @property
    def watching(self) -> bool:
        """Tell whether trials are watched: whether `watch` found a sandbox that allows it."""
        return self._watching

    def watch(self, sandbox: Sandbox) -> Sandbox:
        """Return a sandbox like this one, whose processes are watched where that is possible."""
        if not isinstance(sandbox, BubblewrapSandbox) or not can_ask():
            return sandbox
        self._watching = True
        return _WatchedSandbox(sandbox, self)

    def attend(self, confinement: Confinement, channel: socket.socket, *, may_exec: bool) -> None:
        """Wait for the listener of a process that is about to start."""
        homes = (confinement.environment.get("HOME", confinement.scratch), self._home)
        self._supervisors.append(Supervisor(channel, self._ledger, homes, may_exec=may_exec))

    def denials(self) -> Denials:
        """Return what was denied, after the trials have ended. `complete` is False where any went unwatched."""
        for supervisor in self._supervisors:
            supervisor.join(_JOIN_SECONDS)
        complete = self._watching and all(supervisor.complete for supervisor in self._supervisors)
        return structs.replace(self._ledger.denials(), complete=complete)


class _WatchedSandbox(BubblewrapSandbox):
    """Level `strong`, with the filter that asks."""

    def __init__(self, sandbox: BubblewrapSandbox, observer: Observer) -> None:
        super().__init__(sandbox.binary, sandbox.interpreter, sandbox.place)
        self._observer = observer

    def _filtered(
        self, confinement: Confinement, command: Command, settings: Settings
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        machine = platform.machine()
        may_exec = confinement.may_fork or command.form == "exec"
        ours, theirs = socket.socketpair()
        descriptor = settings.adopting(theirs.detach())
        self._observer.attend(confinement, ours, may_exec=may_exec)
        profile = FilterProfile(may_fork=confinement.may_fork, may_exec=may_exec)
        instructions = build_observing_filter(profile, machine, tuple(WATCHED))
        return (), (f"observe={descriptor}:{SECCOMP_CALL[machine]}:{instructions.hex()}",)
