"""Metrics that a program prints: the objective by its pattern, others by their look.

Rules:
    1. The last match counts, as in a log that is searched from its end.
    2. Other metrics are lines of the shape ``name: number``; what is not finite is left out of them.
    3. This is text that candidate code prints: weak evidence, and outcomes say so (domain `command`). It must
       not hold us up either: our own pattern is linear, the problem's has a time limit.

Data flow: output text, metric, pattern -> metrics or Failure.
"""

from __future__ import annotations

import math
import re

import regex

from consilience.core.outcome import Failure
from consilience.trials.executors.classify import capped

MAX_METRICS = 64
MATCH_SECONDS = 2.0  # for the problem's pattern on one output: patterns can backtrack without end
_NUMBER = r"[-+]?(?:\d+(?:_\d+)*(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf|infinity)"
_SUMMARY_LINE = re.compile(rf"^([A-Za-z_][\w./-]{{0,63}}):[ \t]+({_NUMBER})[ \t]*$", re.MULTILINE | re.IGNORECASE)


def printed_metrics(output: str, metric: str, pattern: str) -> dict[str, float] | Failure:
    """Find the metrics in a program's output.

    Args:
        output: what it printed.
        metric: the objective's metric.
        pattern: a regular expression whose group 1 is the objective's value; ``^`` matches at each line.
    """
    try:
        matches = list(regex.finditer(pattern, output, regex.MULTILINE, timeout=MATCH_SECONDS))
    except TimeoutError:
        return Failure(reason="invalid_output", message=capped(f"{pattern!r} took too long on the output"))
    if not matches:
        return Failure(reason="missing_metric", message=capped(f"nothing in the output matches {pattern!r}"))
    text = matches[-1][1 if matches[-1].re.groups else 0]
    value = _number(text)
    if value is None:
        return Failure(reason="invalid_output", message=capped(f"{metric}: found {text!r}, expected a number"))
    if not math.isfinite(value):
        return Failure(reason="non_finite", message=f"{metric} = {value}")
    return {**_summary(output), metric: value}


def _summary(output: str) -> dict[str, float]:
    """Return the other metrics, by the last line that gives each."""
    found = {line[1]: _number(line[2]) for line in _SUMMARY_LINE.finditer(output)}
    finite = {name: value for name, value in found.items() if value is not None and math.isfinite(value)}
    return dict(list(finite.items())[-MAX_METRICS:])


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None
