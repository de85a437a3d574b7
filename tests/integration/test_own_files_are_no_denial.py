"""What our own scripts read on a crash is no wish of the problem's: no line is offered for it."""

from __future__ import annotations

from consilience.core.outcome import Isolation, Outcome, Resources
from consilience.node.wishes import wishes_of
from consilience.testing.trivial import command_problem
from consilience.trials.observing.denials import Denials
from consilience.trials.sandbox import launcher

HELD = Isolation(level="strong", domain="command")


def test_only_what_the_problem_reads_is_listed() -> None:
    denials = Denials(read=(launcher.__file__, "/usr/bin/env"))
    outcome = Outcome(metrics={"score": 1.0}, resources=Resources(wall_ms=1, cpu_ms=1, memory_kb=1), isolation=HELD)
    assert [wish.found for wish in wishes_of(command_problem(), outcome, denials)] == ["/usr/bin (read)"]
