"""Text for people: numbers with a sensible precision, and untrusted text made harmless.

Rules:
    1. Whatever came from a candidate, evaluator or peer passes `printable` before it reaches a terminal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from consilience.core.outcome import Isolation
from consilience.core.untrusted import cap, escape_controls
from consilience.journal.quarantine import Proof

_HOUR, _MINUTE = 3600, 60
_ID = 12


def printable(text: str, limit: int = 0) -> str:
    """Return the text with characters that act or hide shown as escapes, cut at `limit`; 0 is no limit."""
    shown = escape_controls(text)
    return cap(shown, limit) if limit else shown


def one_line(text: str, limit: int = 80) -> str:
    """Return harmless text on one line."""
    return printable(" ".join(text.split()), limit)


def number(value: float | None) -> str:
    """Show a figure: six digits, a dash where there is none."""
    return "-" if value is None or math.isnan(value) else f"{value:.6g}"


def signed(value: float | None) -> str:
    """Show a difference with its sign."""
    return "-" if value is None or math.isnan(value) else f"{value:+.6g}"


def duration(milliseconds: int) -> str:
    """Show a duration: 950 ms, 12.3 s, 4m07s, 2h05m."""
    seconds = milliseconds / 1000
    if seconds < 1:
        return f"{milliseconds} ms"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    if seconds < _HOUR:
        return f"{int(seconds // _MINUTE)}m{int(seconds % _MINUTE):02d}s"
    return f"{int(seconds // _HOUR)}h{int(seconds % _HOUR // _MINUTE):02d}m"


def counts(values: dict[str, int]) -> str:
    """Show counts by name: ``ok 41, timeout 2``."""
    return ", ".join(f"{name} {count}" for name, count in values.items()) or "none"


def held(isolation: Isolation) -> str:
    """Show how a trial was held: ``strong/split/fresh``; a star marks what is weaker evidence than strong and split."""
    words = f"{isolation.level}/{isolation.domain}/{isolation.execution}{'/gpu' if isolation.gpu else ''}"
    return f"{words}*" if weaknesses(isolation) else words


def quarantine_lines(proofs: Sequence[Proof]) -> list[str]:
    """Say which authors are in quarantine and by which two events, one line for each proof."""
    return [
        f"in quarantine: {one_line(proof.author, 0)} ({_PROOFS[proof.reason]}): events "
        f"{' and '.join(name[:_ID] for name in proof.events[:2])}; of it counts only what lies before them"
        for proof in proofs
    ]


def weaknesses(isolation: Isolation) -> list[str]:
    """Say why a trial's isolation makes weaker evidence, one line for each reason; none for strong and split."""
    found = [_LEVELS.get(isolation.level, ""), _DOMAINS.get(isolation.domain, "")]
    found.append("gpu: a device of the machine was in reach, whose driver is a large piece of kernel" * isolation.gpu)
    return [line for line in found if line]


_PROOFS = {
    "forked-feed": "signed two events for one place of a feed",
    "two-spending-feeds": "opened two spending feeds",
    "two-rotations": "let two keys follow one",
}
_LEVELS = {
    "none": "none: candidate code ran without a sandbox",
    "wasm": "wasm: held by a WebAssembly machine in a process of ours, not by the kernel",
    "restricted": "restricted: no namespaces of its own, so that it can tell of processes outside (docs/isolation.md)",
}
_DOMAINS = {
    "shared-process": "shared-process: the evaluator imports the candidate, which can forge its own score",
    "command": "command: the candidate prints its own score",
    "told": "told: scored outside, by whoever told it",
}
