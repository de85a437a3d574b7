"""From what an OpenEvolve-style evaluator returned to metrics or a failure.

Rules:
    1. The score is the objective's metric; where that is `combined_score` and it is absent, the mean of the
       numbers, without bools and without the metrics that the problem excludes (feature dimensions).
    2. `timeout: true`, `error: true` and an `error` text mark failure. A number named `error` is a metric like
       any other, but for OpenEvolve's own marker: it stands where nothing else carries a score.
    3. A number that is not finite never takes part in a score; where it would have to, the trial fails.

Data flow: Evaluation (a line from the harness) -> `score` -> metrics or Failure, feedback.
"""

from __future__ import annotations

from msgspec import Struct

from consilience.core.outcome import Failure
from consilience.trials.executors.candidate_process import RaisedError
from consilience.trials.executors.classify import capped, raised
from consilience.trials.executors.logs import FEEDBACK_CHARACTERS

COMBINED = "combined_score"
_MARKERS = ("error", "timeout")
_NO_ERROR = ("", "none", "no error")  # texts by which evaluators say that nothing went wrong


class Evaluation(Struct, frozen=True, kw_only=True):
    """The harness's line: finite numbers, names of others, what is no number, texts; or an exception."""

    numbers: dict[str, float] = {}
    non_finite: dict[str, str] = {}
    marks: dict[str, bool | str | None] = {}
    artifacts: dict[str, str] = {}
    error: RaisedError | None = None
    stage: str = ""


def score(evaluation: Evaluation, metric: str, excluded: tuple[str, ...]) -> dict[str, float] | Failure:
    """Return the metrics with the objective among them, or why there is no score.

    Args:
        evaluation: what the evaluator returned.
        metric: the objective's metric.
        excluded: metrics that do not take part in the mean.
    """
    if evaluation.error is not None:
        return _exception(evaluation.error, evaluation.stage)
    marked = _marked(evaluation, metric)
    if marked:
        return marked
    if metric in evaluation.non_finite:
        return Failure(reason="non_finite", message=capped(f"{metric} = {evaluation.non_finite[metric]}"))
    if metric in evaluation.numbers:
        return evaluation.numbers
    if metric != COMBINED:
        return _missing(evaluation, metric)
    return _mean(evaluation, excluded)


def feedback(evaluation: Evaluation) -> str:
    """Return the artifacts as text for proposers, and what was set aside, capped."""
    parts = [f"{name}: {text}" for name, text in evaluation.artifacts.items()]
    parts += [f"{name}: {mark}" for name, mark in evaluation.marks.items() if mark is not None]
    parts += [f"{name} is not finite ({text})" for name, text in evaluation.non_finite.items()]
    return "\n".join(parts)[:FEEDBACK_CHARACTERS]


def _exception(error: RaisedError, stage: str) -> Failure:
    failure = raised(error.type, error.errno, error.message)
    if stage != "evaluator":
        return failure
    return Failure(reason="evaluator_error", message=capped(f"the evaluator cannot be imported: {failure.message}"))


def _marked(evaluation: Evaluation, metric: str) -> Failure | None:
    """Find a failure that the evaluator has marked itself."""
    if evaluation.marks.get("timeout") is True:
        return Failure(reason="timeout", message="the evaluator says that the program ran out of time")
    error = evaluation.marks.get("error")
    if error is True or (isinstance(error, str) and error.strip().lower() not in _NO_ERROR):
        return Failure(reason="crash", message=capped(f"the evaluator says: {error}"))
    for marker in _MARKERS:
        if _stands_for_failure(evaluation, marker, metric):
            message = f"the evaluator marks a failure: {marker} = {evaluation.numbers[marker]:g}"
            return Failure(reason="timeout" if marker == "timeout" else "crash", message=message)
    return None


def _stands_for_failure(evaluation: Evaluation, marker: str, metric: str) -> bool:
    """Tell a marker (``{"error": 0.0}``, ``{"combined_score": 0.0, "error": 1}``) from a metric of that name."""
    if marker not in evaluation.numbers or marker == metric:
        return False
    others = [number for name, number in evaluation.numbers.items() if name not in _MARKERS]
    scored = metric in evaluation.numbers
    return not any(others) and not evaluation.non_finite and (not scored or evaluation.numbers[marker] != 0)


def _mean(evaluation: Evaluation, excluded: tuple[str, ...]) -> dict[str, float] | Failure:
    """Average as OpenEvolve does where there is no combined score; over all numbers when all are excluded."""
    broken = [name for name in evaluation.non_finite if name not in excluded]
    if broken:
        return Failure(reason="non_finite", message=capped(f"{broken[0]} = {evaluation.non_finite[broken[0]]}"))
    counted = [number for name, number in evaluation.numbers.items() if name not in excluded]
    counted = counted or list(evaluation.numbers.values())
    if not counted:
        return _missing(evaluation, COMBINED)
    return {**evaluation.numbers, COMBINED: sum(counted) / len(counted)}


def _missing(evaluation: Evaluation, metric: str) -> Failure:
    found = ", ".join(sorted([*evaluation.numbers, *evaluation.marks])) or "nothing"
    return Failure(reason="missing_metric", message=capped(f"no metric {metric!r}; the evaluator returned {found}"))
