"""Runs the attack suite on this machine: proves the sandbox, tries every attack, and asks the other parts too.

Rules:
    1. The level is proved by canaries first; below what is demanded, nothing runs.
    2. Level `none` is never attacked: there, these programs would do what they try.

Data flow: machine -> probe -> suite -> rows + findings of other parts -> `consilience attack`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from consilience.core.errors import EnvironmentLacksError, IsolationError, UsageError
from consilience.core.outcome import Execution, IsolationLevel
from consilience.node.attack_parts import Show, part_findings
from consilience.node.places import UserPlaces
from consilience.trials.attacks.catalogue import choose_attacks
from consilience.trials.attacks.model import Attack, Finding, Row
from consilience.trials.attacks.suite import Suite, open_suite, run_suite
from consilience.trials.sandbox.mends import UNSAFE_MEND
from consilience.trials.sandbox.probe import Probe, cached_probe, open_sandbox, require_level

ExecutionChoice = Literal["both", "fresh", "fork"]
_WAYS: dict[ExecutionChoice, tuple[Execution, ...]] = {
    "both": ("fresh", "fork"),
    "fresh": ("fresh",),
    "fork": ("fork",),
}


class AttackReport(Struct, frozen=True, kw_only=True):
    """What came of the suite.

    Attributes:
        level: that was attacked.
        executions: how candidates of the split evaluator were started.
        lacks: why candidates were not forked as well, "" where they were or were not meant to be.
        rows: one for each attack.
    """

    level: IsolationLevel
    executions: tuple[Execution, ...]
    lacks: str
    rows: tuple[Row, ...]

    @property
    def through(self) -> int:
        """Count the attacks that got through the split evaluator."""
        return sum(not row.held for row in self.rows)

    @property
    def through_in_process(self) -> int:
        """Count those that got through an evaluator that imports the candidate."""
        return sum(row.in_process is not None and not row.in_process.held for row in self.rows)


def attack(
    numbers: Sequence[int],
    execution: ExecutionChoice,
    minimum: IsolationLevel,
    places: UserPlaces,
    show: Show,
    see: Callable[[Row], None],
) -> AttackReport:
    """Try attacks on this machine.

    Args:
        numbers: of the attacks; all for none.
        execution: how candidates of the split evaluator are started.
        minimum: the level that must be proved; not `none`.
        places: where the probe's answer is kept.
        show: how untrusted text is shown.
        see: called with each row as it comes.

    Raises:
        UsageError: an unknown number, or level `none`.
        IsolationError: the level is not to be had here.
        EnvironmentLacksError: candidates cannot be forked here, and that was demanded.
    """
    if minimum == "none":
        raise UsageError("attacks are never run without a sandbox", hint="--minimum-isolation restricted is the least")
    attacks = choose_attacks(numbers)
    probe = cached_probe(sys.executable, cache_dir=places.cache)
    _require(probe, minimum)
    with open_suite(open_sandbox(probe)) as suite:
        executions, lacks = _ways(suite, execution)
        rows = []
        for found, tried in zip(run_suite(suite, attacks, executions), attacks, strict=True):
            row = _with_parts(found, tried, show)
            rows.append(row)
            see(row)
    return AttackReport(level=probe.level, executions=executions, lacks=lacks, rows=tuple(rows))


def _require(probe: Probe, minimum: IsolationLevel) -> None:
    """Refuse below the level, without the way round that a run has: there is none here.

    Raises:
        IsolationError: the proved level is lower.
    """
    try:
        require_level(probe, minimum)
    except IsolationError as error:
        hint = error.hint.replace(UNSAFE_MEND, "").strip()
        raise IsolationError(error.message, hint=hint or "consilience doctor says what is missing") from error


def _ways(suite: Suite, choice: ExecutionChoice) -> tuple[tuple[Execution, ...], str]:
    """Return how candidates are started, and why not also forked where both were meant."""
    if choice == "both":
        try:
            suite.require("fork")
        except EnvironmentLacksError as error:
            return ("fresh",), error.message
    for execution in _WAYS[choice]:
        suite.require(execution)
    return _WAYS[choice], ""


def _with_parts(row: Row, tried: Attack, show: Show) -> Row:
    """Add what other parts let through to the first verdict."""
    findings = part_findings(tried, show)
    if not findings:
        return row
    first, *rest = row.split
    more = (Finding("part", what) for what in findings)
    first = msgspec.structs.replace(first, findings=(*first.findings, *more))
    return msgspec.structs.replace(row, split=(first, *rest))
