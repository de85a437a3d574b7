"""Runs an OpenEvolve-style evaluator, which imports the candidate, inside the sandbox.

Rules:
    1. The layout's conventions hold: the evaluator's folder is first on the path and is the working folder,
       the program keeps its suffix, `evaluate` may be a coroutine, stages run as a cascade.
    2. The result leaves once, as strict JSON, by a descriptor that was taken away before foreign code ran.
       Candidate code shares this process and can forge it: outcomes say `shared-process`.
    3. Exceptions in any stage fail the trial; the score of an earlier stage is not used for a crashed program.

Data flow: start line {evaluator, program, seed, generators, thresholds} -> evaluate
    -> {numbers, non_finite, marks, artifacts} or {error, stage}.
"""

from __future__ import annotations

import math
import os
import sys
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from consilience.trials.harness import harness_wire
else:
    import harness_wire

MODULE_NAME = "evaluation_module"
ARTIFACT_CHARACTERS = 16 * 1024


class EvaluationResult:
    """Stands in for the class of the same name where the `openevolve` package is absent."""

    def __init__(self, metrics: dict[str, Any] | None = None, artifacts: dict[str, Any] | None = None) -> None:
        self.metrics = {} if metrics is None else metrics
        self.artifacts = {} if artifacts is None else artifacts

    @classmethod
    def from_dict(cls, metrics: dict[str, Any]) -> EvaluationResult:
        """Wrap a dict of metrics."""
        return cls(metrics=metrics)

    def to_dict(self) -> dict[str, Any]:
        """Return the metrics."""
        return self.metrics

    def has_artifacts(self) -> bool:
        """Tell whether there are artifacts."""
        return bool(self.artifacts)


def main() -> None:
    """Run one evaluation."""
    receive, send = harness_wire.open_channel()
    start = receive()
    if start is None:
        return
    sys.path[:0] = [os.path.dirname(start["evaluator"])]  # noqa: PTH120 - pathlib costs an import in each trial
    stage = "evaluator"
    try:
        harness_wire.load_generators(start["generators"])
        harness_wire.seed_all(start["seed"])
        module = _load(start["evaluator"])
        stage = "evaluate"
        harness_wire.seed_all(start["seed"])
        message = _message(*_evaluate(module, start["program"], start["thresholds"]))
    except BaseException as error:  # noqa: BLE001 - the named boundary: everything in there is foreign code
        message = _failed(error, stage)
    send(message)


def _load(path: str) -> Any:
    """Import the evaluator under the name that the layout's own runner gives it."""
    import importlib.util  # noqa: PLC0415 - after the path is set

    if importlib.util.find_spec("openevolve") is None:
        _stand_in()
    spec = importlib.util.spec_from_file_location(MODULE_NAME, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[MODULE_NAME] = module
    spec.loader.exec_module(module)
    return module


def _stand_in() -> None:
    """Let ``from openevolve.evaluation_result import EvaluationResult`` work without the package."""
    package = types.ModuleType("openevolve")
    package.__path__ = []
    result = types.ModuleType("openevolve.evaluation_result")
    for module in (package, result):
        module.EvaluationResult = EvaluationResult  # type: ignore[attr-defined]
    package.evaluation_result = result  # type: ignore[attr-defined]
    sys.modules["openevolve"], sys.modules["openevolve.evaluation_result"] = package, result


def _evaluate(module: Any, program: str, thresholds: list[float]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return metrics and artifacts of a direct evaluation, or of the cascade where one is asked for and defined."""
    if not thresholds or not hasattr(module, "evaluate_stage1"):
        return _split(_run(module.evaluate, program))
    metrics, artifacts = _split(_run(module.evaluate_stage1, program))
    for number, threshold in enumerate(thresholds[:2], start=2):
        stage = getattr(module, f"evaluate_stage{number}", None)
        if stage is None or not _passes(metrics, threshold):
            break
        further, more = _split(_run(stage, program))
        metrics, artifacts = {**metrics, **further}, {**artifacts, **more}
    return metrics, artifacts


def _run(stage: Callable[[str], Any], program: str) -> Any:
    result = stage(program)
    if hasattr(result, "__await__"):  # `inspect` would tell the same for 8 ms of CPU time in each trial
        import asyncio  # noqa: PLC0415 - only asynchronous evaluators pay for it

        async def wait() -> Any:
            return await result

        return asyncio.run(wait())
    return result


def _split(result: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tell metrics from artifacts in a dict, or in any object that has them."""
    if isinstance(result, dict):
        metrics = dict(result)
        artifacts = metrics.pop("artifacts", None)
    elif isinstance(getattr(result, "metrics", None), dict):
        metrics, artifacts = dict(result.metrics), getattr(result, "artifacts", None)
    else:
        raise TypeError(f"evaluate returned {type(result).__name__}, expected a dict or an object with .metrics")
    return metrics, dict(artifacts) if isinstance(artifacts, dict) else {}


def _passes(metrics: dict[str, Any], threshold: float) -> bool:
    """Apply the layout's threshold: on `combined_score`, else on the mean of the numbers but `error`."""
    numbers = {name: number for name, value in metrics.items() if (number := _number(value)) is not None}
    if "combined_score" in numbers:
        return numbers["combined_score"] >= threshold
    rest = [number for name, number in numbers.items() if name != "error"]
    return bool(rest) and sum(rest) / len(rest) >= threshold


def _number(value: Any) -> float | None:
    """Return a plain number, a NumPy one included; None for bools and everything else."""
    plain = value.item() if hasattr(value, "item") and getattr(value, "size", 1) == 1 else value
    if type(plain) not in (int, float):
        return None
    try:
        return float(plain)
    except OverflowError:
        return math.inf


def _message(metrics: dict[str, Any], artifacts: dict[str, Any]) -> dict[str, Any]:
    numbers = {str(name): number for name, value in metrics.items() if (number := _number(value)) is not None}
    return {
        "numbers": {name: number for name, number in numbers.items() if math.isfinite(number)},
        "non_finite": {name: str(number) for name, number in numbers.items() if not math.isfinite(number)},
        "marks": {str(name): _mark(value) for name, value in metrics.items() if str(name) not in numbers},
        "artifacts": {str(name): _text(value) for name, value in artifacts.items()},
    }


def _mark(value: Any) -> bool | str | None:
    """Return a metric that is no number: a bool, nothing, or its text."""
    plain = value.item() if hasattr(value, "item") and getattr(value, "size", 1) == 1 else value
    return plain if plain is None or type(plain) is bool else _text(plain)


def _text(value: Any) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text[:ARTIFACT_CHARACTERS]


def _failed(error: BaseException, stage: str) -> dict[str, Any]:
    import traceback  # noqa: PLC0415 - only failing trials pay for it

    traceback.print_exception(type(error), error, error.__traceback__, file=sys.__stderr__)
    return {"error": harness_wire.describe(error), "stage": stage}
