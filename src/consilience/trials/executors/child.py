"""One child process with its pipes: started, watched, and ended with nothing left over.

Rules:
    1. Whoever starts a child ends it; `end` kills the tree, reaps it, reads what is left and closes all.
    2. A child gets three descriptors and no other.

Data flow: Sandbox + Confinement -> `start_child` -> Child -> Exit, log, lines.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from consilience.trials.executors.pipes import ExitWatch, Lines, Outbox, Pump, Source, Tail
from consilience.trials.sandbox.confinement import ConfinedProcess, Confinement, Exit, Sandbox

GRACE_SECONDS = 0.2  # between a closed channel and the end of its process
FLOOD_FACTOR = 64  # a log this many times over `output_kb` is a flood, not a log

Starter = Callable[[int, int, int], ConfinedProcess]


class Child:
    """A running process and the recorder's ends of its pipes.

    Attributes:
        inbox: sends lines to it.
        answers: what it says on its channel (or its whole output, for `command`).
        log: the tail of what it prints.
        watch: closed once it has ended.
        killed: whether `end` found it running and killed it.
    """

    def __init__(self, starter: Starter, answers: Callable[[int], Source], *, log_keep: int | None = None) -> None:
        ends = [os.pipe() for _ in range(3)]
        (to_read, to_write), (out_read, out_write), (log_read, log_write) = ends
        try:
            self._process = starter(to_read, out_write, log_write)
        except BaseException:
            for descriptor in (to_write, out_read, log_read):
                os.close(descriptor)
            raise
        finally:
            for descriptor in (to_read, out_write, log_write):
                os.close(descriptor)
        self.inbox = Outbox(to_write)
        self.answers = answers(out_read)
        self.log = Tail(log_read, log_keep) if log_keep else Tail(log_read)
        self.watch = ExitWatch(self._process.exit_descriptor())
        self.killed = False
        self._exit: Exit | None = None

    @property
    def pid(self) -> int:
        """The outermost process id on the host."""
        return self._process.pid

    @property
    def sources(self) -> list[Source]:
        """Everything to read."""
        return [self.answers, self.log, self.watch]

    @property
    def ended(self) -> bool:
        """Tell whether the process has ended."""
        return self.watch.closed

    def join(self, pump: Pump) -> None:
        """Have the pump read and write this child's pipes."""
        pump.add(self.sources, self.inbox)

    def flooded(self, output_kb: int) -> bool:
        """Tell whether it prints far more than a log."""
        return self.flooded_by(self.log.total, output_kb)

    @staticmethod
    def flooded_by(size: int, output_kb: int) -> bool:
        """Tell whether this many bytes are a flood."""
        return size > FLOOD_FACTOR * 1024 * output_kb

    @staticmethod
    def flood_message(output_kb: int) -> str:
        """Say that it printed a flood: by the limit, which is the same in each run."""
        return f"it printed more than {FLOOD_FACTOR * output_kb} kB"

    def end(self, pump: Pump) -> Exit:
        """Kill what is left of the tree and return how the process ended. May be called again."""
        if self._exit is None:
            pump.remove(self.sources, self.inbox)
            own = self._process.wait(GRACE_SECONDS) if self.ended or self.answers.closed else None
            killed = self._process.kill()
            self.killed = own is None
            self._exit = own or killed
            for source in (self.answers, self.log):
                source.drain()
            self.inbox.close()
            for source in self.sources:
                source.close()
        return self._exit


def start_child(sandbox: Sandbox, confinement: Confinement, answers: Callable[[int], Source]) -> Child:
    """Start a confined process with pipes.

    Raises:
        EnvironmentLacksError: the machine could not start it.
    """

    def starter(stdin: int, stdout: int, stderr: int) -> ConfinedProcess:
        return sandbox.start(confinement, stdin=stdin, stdout=stdout, stderr=stderr)

    return Child(starter, answers)


def line_channel(output_kb: int, frame_kb: int | None = None) -> Callable[[int], Lines]:
    """Return a maker of line inboxes with this cap for a line, and this one with the arrays behind it."""
    return lambda descriptor: Lines(descriptor, 1024 * output_kb, 1024 * (frame_kb or output_kb))
