"""A sandbox at exactly one level, weaker ones than the strongest too: for tests and comparisons.

Rules:
    1. The level is proved by its canaries at once, from no cache: it was asked for by name.

Data flow: interpreter, level -> canaries at every level -> the one asked for, or the refusal.
"""

from __future__ import annotations

from consilience.core.errors import IsolationError
from consilience.core.outcome import IsolationLevel
from consilience.trials.sandbox.confinement import Sandbox
from consilience.trials.sandbox.probe import Probe, open_sandbox, probe_sandboxes
from consilience.trials.sandbox.tools import Tools


def exact_sandbox(interpreter: str, level: IsolationLevel, *, tools: Tools | None = None) -> Sandbox:
    """Return a sandbox of this level.

    Args:
        interpreter: absolute path of the Python that will run confined.
        level: any but `none`, which is no sandbox: see `probe.unsafe_sandbox`.
        tools: what to try; the default is what is found on this machine.

    Raises:
        IsolationError: the level's canaries do not hold here; says why and how to mend it.
    """
    probe = probe_sandboxes(interpreter, tools=tools, every=True)
    reports = [report for report in probe.reports if report.level == level]
    held = next((report for report in reports if report.held), None)
    if held is not None:
        return open_sandbox(Probe(level=level, interpreter=interpreter, reports=(held,)))
    reasons = "; ".join(report.reason for report in reports) or "there is no such level for this machine"
    mends = dict.fromkeys(report.mend for report in reports if report.mend)
    hint = " ".join(mends) or "`consilience doctor` lists what can be enforced here"
    raise IsolationError(f"isolation level {level!r} cannot be enforced here: {reasons}", hint=hint)
